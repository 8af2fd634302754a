//go:build !unix

package compile

import "os/exec"

// ownGroup does nothing: without process groups, the end of the context kills
// the go command alone, and its compilers end by themselves.
func ownGroup(*exec.Cmd) (end func()) { return func() {} }

// giveWay does nothing.
func giveWay(*exec.Cmd) {}
