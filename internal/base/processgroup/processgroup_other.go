//go:build !unix

package processgroup

import "os/exec"

// Own does nothing: without process groups, the end of the context kills the
// program itself.
func Own(*exec.Cmd) (end func()) { return func() {} }
