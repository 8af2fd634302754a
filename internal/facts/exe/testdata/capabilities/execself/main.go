// Command execself replaces itself by another program.
package main

import (
	"os"
	"syscall"
)

func main() { syscall.Exec("/bin/true", []string{"true"}, os.Environ()) }
