//go:build linux && cgo

package main

/*
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void nothing(void) {}
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"
	"unsafe"
)

// call is one way to ask for a file's metadata.
type call struct {
	name string
	// times runs the call n times.
	times func(n int) error
}

// calls are the ways that are compared, all for the same file.
func calls(path string) (all []call, release func()) {
	prepared := C.CString(path)
	all = []call{
		{"pure Go: `syscall.Stat`", repeat(func() error {
			var info syscall.Stat_t
			return syscall.Stat(path, &info)
		})},
		{"pure Go: `os.Stat`", repeat(func() error {
			_, err := os.Stat(path)
			return err
		})},
		{"cgo: `stat()`, path converted once", repeat(func() error { return statC(prepared) })},
		{"cgo: `stat()`, path converted by each call", repeat(func() error {
			converted := C.CString(path)
			defer C.free(unsafe.Pointer(converted))
			return statC(converted)
		})},
		{"cgo: an empty function", repeat(func() error {
			C.nothing()
			return nil
		})},
	}
	return all, func() { C.free(unsafe.Pointer(prepared)) }
}

func statC(path *C.char) error {
	var info C.struct_stat
	if result, err := C.stat(path, &info); result != 0 {
		return err
	}
	return nil
}

func repeat(once func() error) func(int) error {
	return func(n int) error {
		for range n {
			if err := once(); err != nil {
				return err
			}
		}
		return nil
	}
}

// statPath is a file that every system has, so that figures can be compared.
const statPath = "/etc/passwd"

// callCost is what one kind of call took.
type callCost struct {
	name string
	// nanoseconds are those of a call, one value a round.
	nanoseconds []float64
	// allocations and bytes are those of a call on Go's heap.
	allocations, bytes float64
}

// measureCalls runs all kinds of calls in turns, perRound calls at a time, once
// unmeasured and then in the given number of rounds.
func measureCalls(rounds, perRound int) ([]callCost, error) {
	kinds, release := calls(statPath)
	defer release()
	costs := make([]callCost, len(kinds))
	var before, after runtime.MemStats
	for round := range rounds + 1 {
		for i, kind := range kinds {
			runtime.ReadMemStats(&before)
			start := time.Now()
			err := kind.times(perRound)
			spent := time.Since(start)
			runtime.ReadMemStats(&after)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", kind.name, err)
			}
			if round == 0 {
				continue
			}
			c := &costs[i]
			c.name = kind.name
			c.nanoseconds = append(c.nanoseconds, float64(spent.Nanoseconds())/float64(perRound))
			c.allocations = float64(after.Mallocs-before.Mallocs) / float64(perRound)
			c.bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(perRound)
		}
	}
	return costs, nil
}

// quantile returns the value below which the share q of values lies, between
// two of them by linear interpolation.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// readC reads one byte in C.
func readC(fd int) error {
	var b C.char
	if n, err := C.read(C.int(fd), unsafe.Pointer(&b), 1); n < 0 {
		return err
	}
	return nil
}
