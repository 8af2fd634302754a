// Command exec has the capability it is named after.
package main

import "os/exec"

func main() { exec.Command("true").Run() }
