// Command mmap has the capability it is named after.
package main

import "syscall"

func main() { syscall.Mmap(-1, 0, 4096, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE) }
