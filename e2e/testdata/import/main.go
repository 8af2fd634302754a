// Command import refers to the C function that the macro IMPORT names, whatever
// its type, so that the program needs the symbol's version.
package main

// #define STRING(x) #x
// #define EXPANDED(x) STRING(x)
// extern void imported(void) __asm__(EXPANDED(IMPORT));
// static void *address(void) { return (void *)imported; }
import "C"

import "fmt"

func main() {
	if C.address() != nil {
		fmt.Println("started")
	}
}
