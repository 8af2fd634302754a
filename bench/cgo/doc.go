// Command cgo measures what a call through cgo costs beside the same call in
// pure Go: time and allocations of stat(2), and the memory and threads of many
// goroutines that are blocked in a call. It prints a Markdown table with the
// machine that it comes from; docs/cost-of-cgo.md says what the figures mean.
//
//	go run ./bench/cgo
//
// It needs Linux, a C compiler and CGO_ENABLED=1.
package main
