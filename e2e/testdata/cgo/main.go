// Command cgo calls C code of its own and so needs the C library only.
package main

// static int seven(void) { return 7; }
import "C"

import "fmt"

func main() {
	if C.seven() == 7 {
		fmt.Println("started")
	}
}
