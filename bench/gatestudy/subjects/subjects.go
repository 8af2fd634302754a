// Package subjects has the benchmarks that the study of the benchmark gate
// measures: real work of the standard library and golang.org/x/mod, that can be
// made slower by a known amount.
//
// One operation of each is 100 pieces of work and as many more as Percent says,
// so that a build with 10 does 10 % more of the same kind of work. The number is
// text of two characters that the linker sets. Each piece has data of its own: a
// processor learns what it has seen, and does it faster the second time.
//
//	go test -c -ldflags "-X github.com/gopherwood-dev/gopherwood/bench/gatestudy/subjects.percent=10"
//
// Two builds with different numbers differ in nothing else: not in the code, not
// in where it lies.
package subjects

import "strconv"

// Set by the linker, or in the copies of this file of which the study makes commits.
var (
	// percent is how much more work an operation does.
	percent = "00"
	// label tells builds apart that do the same.
	label = "base"
)

// Pieces is how many pieces of work one operation is when nothing is added, Most
// how many can be added.
const (
	Pieces = 100
	Most   = 20
)

// Percent returns by how much this build is slower, in percent. It panics when
// the linker was given something else than a number up to Most.
func Percent() int {
	n, err := strconv.Atoi(percent)
	if err != nil || n < 0 || n > Most {
		panic("subjects: percent is " + strconv.Quote(percent))
	}
	return n
}

// Label returns the name of this build.
func Label() string { return label }
