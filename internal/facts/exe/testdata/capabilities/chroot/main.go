// Command chroot has the capability it is named after.
package main

import "syscall"

func main() { syscall.Chroot("/") }
