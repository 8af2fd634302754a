//go:build !linux

package machine

import "errors"

func allowedCPUs() ([]int, error) { return nil, errors.ErrUnsupported }

func bindThread([]int) (restore func() error, err error) { return nil, errors.ErrUnsupported }
