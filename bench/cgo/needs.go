//go:build !linux || !cgo

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench/cgo: this measures cgo on Linux: install a C compiler (apt-get install gcc libc6-dev) and run: CGO_ENABLED=1 go run ./bench/cgo")
	os.Exit(1)
}
