// Command xmmap maps memory through golang.org/x/sys.
package main

import "golang.org/x/sys/unix"

func main() { unix.Mmap(-1, 0, 4096, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE) }
