// Command zlib calls a library that is neither Go's nor the C library's.
package main

// #cgo LDFLAGS: -lz
// #include <zlib.h>
import "C"

import "fmt"

func main() {
	if C.GoString(C.zlibVersion()) != "" {
		fmt.Println("started")
	}
}
