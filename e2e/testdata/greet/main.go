// Command greet is linked with libgreet.so and calls it only when it is given an
// argument, so that a missing function matters at start only to a program that
// binds all symbols then.
package main

// #cgo LDFLAGS: -lgreet
// int greet(void);
import "C"

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) > 1 && C.greet() != 7 {
		os.Exit(1)
	}
	fmt.Println("started")
}
