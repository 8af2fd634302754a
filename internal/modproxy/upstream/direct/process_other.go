//go:build !unix

package direct

import "os/exec"

// ownGroup does nothing: without process groups, the end of the context kills
// the command alone.
func ownGroup(*exec.Cmd) (end func()) { return func() {} }
