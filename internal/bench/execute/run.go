package execute

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Slice is one measurement that is asked for.
type Slice struct {
	// Benchmark is a name.
	Benchmark string
	// N is how many iterations are measured; at least 1.
	N int64
	// Count is how often they are measured in the process; 0 is once.
	Count int
	// Expected is how long the process is thought to take; 0 when not known.
	Expected time.Duration
}

// Measurement is what one process measured.
type Measurement struct {
	// Samples has an entry for each of Count, values by unit as Go prints
	// them: ns/op, B/op, allocs/op, …
	Samples []map[string]float64
	// N is how many iterations each sample has, Procs GOMAXPROCS.
	N     int64
	Procs int
	// Took is how long the process was there, CPU what it used of processors,
	// both with its start and what the benchmark does besides its iterations.
	Took, CPU time.Duration
	// Skipped says that the benchmark skipped itself; there are no samples then.
	Skipped bool
	// Odd has the values that are no finite number, in none of the samples.
	Odd []OddValue
	// Output is an excerpt of what the process printed.
	Output string
}

// OddValue is a value that cannot be compared: NaN or an infinity.
type OddValue struct {
	Unit  string
	Value string
}

// Pattern returns the value of -test.bench that matches the benchmark of this
// name, and its sub-benchmarks if it has any.
func Pattern(name string) string {
	elements := strings.Split("Benchmark"+name, "/")
	for i, e := range elements {
		elements[i] = "^" + regexp.QuoteMeta(e) + "$"
	}
	return strings.Join(elements, "/")
}

// Run measures a slice in a process of its own. When the benchmark does not give
// the result, the error wraps one of ErrFailed, ErrDied, ErrHung, ErrMissing and
// ErrOutput, and the measurement has the output; it is the cause of the end of ctx
// when that ended. The measurement is never nil.
func Run(ctx context.Context, p Program, s Slice) (*Measurement, error) {
	m := &Measurement{N: s.N}
	if s.N < 1 || s.Count < 0 {
		return m, &fault.Error{Code: fault.Usage, Op: "run", Input: "Benchmark" + s.Benchmark,
			Err: fmt.Errorf("%d iterations, %d times", s.N, s.Count)}
	}
	count := max(s.Count, 1)
	c := &collector{name: s.Benchmark, n: s.N, count: count}
	limit := p.timeout(max(10*time.Second, 100*s.Expected))
	pattern := Pattern(s.Benchmark)
	args := append(arguments(pattern, s.N, count), "-test.skip="+pattern+"/") // "a/b" is no part of "a"
	e, err := p.run(ctx, limit, args, func(func()) listener { return c.line })
	if err != nil {
		return m, err
	}
	m.Took, m.CPU, m.Output = e.took, e.cpu, e.output()
	if err := c.check(e); err != nil {
		return m, err
	}
	if len(c.samples) == 0 && !c.skipped {
		return m, p.whyNothing(ctx, m, c)
	}
	m.Skipped, m.Procs = c.skipped, c.procs
	for _, sample := range c.samples {
		m.Samples = append(m.Samples, sample.values)
		for _, unit := range slices.Sorted(maps.Keys(sample.odd)) {
			m.Odd = append(m.Odd, OddValue{Unit: unit, Value: sample.odd[unit]})
		}
	}
	return m, nil
}

// arguments returns the flags of a test binary that runs benchmarks only. An exit
// with 0 amid a benchmark is made a panic, as the go command does.
func arguments(pattern string, n int64, count int) []string {
	return []string{"-test.paniconexit0", "-test.run=^$", "-test.bench=" + pattern, "-test.benchmem",
		"-test.benchtime=" + strconv.FormatInt(n, 10) + "x", "-test.count=" + strconv.Itoa(count)}
}

// collector finds the results of one benchmark in the lines that a process prints.
type collector struct {
	name string
	// n iterations are measured count times.
	n     int64
	count int

	procs   int
	samples []sample
	// running says that the benchmark's name was printed.
	running bool
	// skipped says that it skipped itself while it was measured; wrong is another
	// number of iterations than was asked for.
	skipped bool
	wrong   int64
	// failed says that it failed, if the process did; said is what it said, which
	// is read while reading.
	failed, reading bool
	said            excerpt
}

const failMark = "--- FAIL: Benchmark"

func (c *collector) line(line []byte) {
	if bytes.Contains(line, []byte(failMark)) {
		c.reading = !c.failed // the others are of those that started it
		c.failed = true
	} else if c.reading {
		c.reading = string(line) != "FAIL"
		_, _ = c.said.Write(append(line, '\n')) // it writes to memory
	}
	if procs, ok := printedProcs(line, c.name); ok {
		c.running, c.procs = true, procs
	}
	if c.running {
		c.result(line)
	}
}

func (c *collector) result(line []byte) {
	s, ok := parseResult(line, c.n)
	switch {
	case !ok || len(c.samples) > c.count: // too many already
	case s.iterations == c.n:
		c.samples = append(c.samples, s)
	case s.iterations == 0: // it has left the function before it was measured
		c.skipped = true
	default:
		c.wrong = s.iterations
	}
}

// check says why what was collected is not the results, if something was.
func (c *collector) check(e *ended) error {
	switch {
	case e.hung:
		return e.failure(c.name, ErrHung, "")
	case e.err != nil && c.failed:
		return e.failure(c.name, ErrFailed, reason(c.said.String()))
	case e.err != nil:
		return e.failure(c.name, ErrDied, "")
	case len(c.samples) > c.count:
		return e.failure(c.name, ErrOutput, "it prints lines that look like its results")
	case len(c.samples) == 0 && c.wrong > 0:
		return e.failure(c.name, ErrOutput, fmt.Sprintf("it measured %d iterations instead of %d", c.wrong, c.n))
	case len(c.samples) > 0 && len(c.samples) < c.count:
		return e.failure(c.name, ErrOutput, fmt.Sprintf("%d results instead of %d", len(c.samples), c.count))
	}
	return nil
}

// whyNothing finds out why a benchmark was not measured by a process that ended
// well: the test binary says so only when it is verbose.
func (p Program) whyNothing(ctx context.Context, m *Measurement, c *collector) error {
	found, e, err := p.listOnce(ctx, Pattern(c.name), nil)
	if err != nil {
		return err
	}
	if slices.Contains(found.skipped, c.name) {
		m.Skipped = true
		return nil
	}
	switch same := func(b Found) bool { return b.Name == c.name }; {
	case e.err != nil && !found.ended:
		return e.failure(c.name, ErrDied, "")
	case !found.ended:
		return afterwards(p, found, e)
	case slices.ContainsFunc(found.found, same):
		return e.failure(c.name, ErrOutput, "it printed no result")
	case len(found.found) > 0:
		return e.failure(c.name, ErrMissing, "it has sub-benchmarks, such as Benchmark"+found.found[0].Name)
	}
	return e.failure(c.name, ErrMissing, "")
}
