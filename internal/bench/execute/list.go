package execute

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// maxNames is how many benchmarks a test binary may have.
	maxNames = 100_000
	// maxDeaths is how many benchmarks may end the process while they are listed.
	maxDeaths = 50
	// maxSuspects is how many benchmarks are run alone to see which one panics.
	maxSuspects = 8
)

// Listing is what a test binary has of benchmarks.
type Listing struct {
	// Benchmarks are those that can be measured, in the order in which they run.
	Benchmarks []Found
	// Skipped are names of those that skip themselves.
	Skipped []string
	// Failures are those that cannot be measured. The errors wrap ErrFailed,
	// ErrDied or ErrHung.
	Failures []Failure
}

// Found is a benchmark that can be measured.
type Found struct {
	Name string
	// Procs is GOMAXPROCS when it ran.
	Procs int
	// Once has the values of one iteration, the first in its process, by unit.
	Once map[string]float64
}

// Failure is a benchmark that cannot be measured.
type Failure struct {
	Name string
	Err  error
	// Output is an excerpt of what was printed.
	Output string
}

// List returns the benchmarks that match pattern, as -test.bench has it: regular
// expressions separated by slashes. Sub-benchmarks exist at run time only, so
// each benchmark runs once; one that ends the process is passed over in the
// next. When none matches, the listing is empty. The error says that the test
// binary cannot be run, ended before or after its benchmarks, or that ctx ended.
func List(ctx context.Context, p Program, pattern string) (*Listing, error) {
	all := &Listing{}
	var skip []string
	for range maxDeaths {
		pass, e, err := p.listOnce(ctx, pattern, skip)
		if err != nil {
			return nil, err
		}
		all.add(pass, e)
		if e.err == nil || pass.ended && !e.panicked() {
			return all, afterwards(p, pass, e)
		}
		if len(pass.started) == 0 {
			return nil, beforeBenchmarks(p, pattern, e)
		}
		culprit, err := p.culprit(ctx, pass, e)
		if err != nil {
			return nil, err
		}
		all.blame(culprit, e)
		skip = append(append(skip, pass.before(culprit)...), culprit)
	}
	return nil, &fault.Error{Code: fault.Limit, Op: "list benchmarks", Input: p.Path,
		Err:  fmt.Errorf("%w while each of %d benchmarks ran", ErrDied, maxDeaths),
		Hint: "name benchmarks that work with -bench"}
}

// listOnce runs one process that runs each benchmark that matches pattern once,
// but those that are skipped.
func (p Program) listOnce(ctx context.Context, pattern string, skip []string) (*pass, *ended, error) {
	args := append(arguments(pattern, 1, 1), "-test.v=test2json")
	if len(skip) > 0 {
		patterns := make([]string, len(skip))
		for i, name := range skip {
			patterns[i] = Pattern(name)
		}
		args = append(args, "-test.skip="+strings.Join(patterns, "|"))
	}
	found := &pass{}
	e, err := p.run(ctx, p.timeout(benchmarkTimeout), args, func(alive func()) listener {
		found.alive = alive
		return found.line
	})
	if err == nil && found.tooMany {
		err = &fault.Error{Code: fault.Limit, Op: "list benchmarks", Input: p.Path,
			Err: fmt.Errorf("there are more than %d", maxNames), Hint: "name fewer with -bench"}
	}
	return found, e, err
}

// culprit returns the benchmark that ended the process of a pass: the one that
// was running. But when one panics, package testing goes on with the next ones until
// the runtime has printed the panic; then it is found in the stack, or by
// running the last ones alone.
func (p Program) culprit(ctx context.Context, found *pass, e *ended) (string, error) {
	if !e.panicked() {
		return found.running(), nil
	}
	if top := panickedIn(e.stderr.String()); slices.Contains(found.started, top) {
		return top, nil
	}
	for i, name := range slices.Backward(found.started) {
		if i < len(found.started)-maxSuspects {
			break
		}
		if _, alone, err := p.listOnce(ctx, Pattern(name), nil); err != nil {
			return "", err
		} else if alone.panicked() {
			return name, nil
		}
	}
	return found.running(), nil
}

// add adds what a pass found and is not known yet.
func (l *Listing) add(p *pass, e *ended) {
	known := map[string]bool{}
	for _, b := range l.Benchmarks {
		known[b.Name] = true
	}
	for _, name := range l.Skipped {
		known[name] = true
	}
	for _, b := range p.found {
		if !known[b.Name] {
			l.Benchmarks = append(l.Benchmarks, b)
		}
	}
	for _, name := range p.skipped {
		if !known[name] {
			l.Skipped = append(l.Skipped, name)
		}
	}
	for _, f := range p.failed {
		if l.hasFailure(f.name) {
			continue // of its sub-benchmark, or known
		}
		l.remove(f.name)
		l.Failures = append(l.Failures, Failure{Name: f.name, Err: e.failure(f.name, ErrFailed, reason(f.said)), Output: f.said})
	}
}

// blame adds the failure of a benchmark that ended the process. What has been
// found of its sub-benchmarks is no use: it would end their processes, too.
func (l *Listing) blame(culprit string, e *ended) {
	l.remove(culprit)
	l.Failures = append(l.Failures, Failure{Name: culprit, Err: e.failure(culprit, ErrDied, ""), Output: e.output()})
}

// remove removes a benchmark and its sub-benchmarks from those that work.
func (l *Listing) remove(name string) {
	l.Benchmarks = slices.DeleteFunc(l.Benchmarks, func(b Found) bool { return within(b.Name, name) })
}

// hasFailure says whether a benchmark or one of its sub-benchmarks has failed.
func (l *Listing) hasFailure(name string) bool {
	return slices.ContainsFunc(l.Failures, func(f Failure) bool { return within(f.Name, name) })
}

// within says whether a benchmark is parent or one of its sub-benchmarks.
func within(name, parent string) bool {
	return name == parent || strings.HasPrefix(name, parent+"/")
}

// beforeBenchmarks is the error of a process that ended before a benchmark ran.
func beforeBenchmarks(p Program, pattern string, e *ended) error {
	if _, message, found := strings.Cut(e.output(), "testing: invalid regexp "); found {
		message, _, _ = strings.Cut(message, "\n")
		return &fault.Error{Code: fault.Usage, Op: "read -bench", Input: pattern,
			Err: errors.New(message), Hint: "write regular expressions as for go test -bench"}
	}
	return outside(p, e, "see what TestMain and the init functions of the package need, such as flags or services")
}

// pass is what one process showed that listed benchmarks.
type pass struct {
	alive   func()
	found   []Found
	skipped []string
	failed  []failedBenchmark
	// started are all that were started; the last has ended when lastEnded.
	started   []string
	lastEnded bool
	// ended says that all benchmarks have.
	ended   bool
	tooMany bool
	// said is what was printed since the last was started.
	said excerpt
}

// failedBenchmark is a benchmark, and what it printed.
type failedBenchmark struct{ name, said string }

// The marks of package testing, as it prints them for test2json.
const (
	markRun  = "\x16=== RUN   Benchmark"
	markFail = "\x16--- FAIL: Benchmark"
	markSkip = "\x16--- SKIP: Benchmark"
	markPass = "\x16PASS"
	markEnd  = "\x16FAIL"
)

func (p *pass) line(line []byte) {
	if mark := bytes.IndexByte(line, '\x16'); mark >= 0 {
		p.alive()
		p.marked(string(line[mark:]))
		return
	}
	procs, ok := printedProcs(line, p.last())
	s, isResult := parseResult(line, 1)
	switch {
	case !ok || !isResult || p.lastEnded || len(p.started) == 0:
		_, _ = p.said.Write(append(line, '\n')) // it writes to memory
		return
	case s.iterations == 0: // it left its function
		p.skip(p.last())
	default:
		p.found = append(p.found, Found{Name: p.last(), Procs: procs, Once: s.values})
	}
	p.alive()
	p.lastEnded = true
}

func (p *pass) marked(mark string) {
	if name, ok := strings.CutPrefix(mark, markRun); ok {
		p.start(strings.ToValidUTF8(name, "\uFFFD"))
	} else if printed, ok := strings.CutPrefix(mark, markFail); ok {
		p.fail(printed)
	} else if name, ok := strings.CutPrefix(mark, markSkip); ok {
		p.skip(name)
	} else if mark == markPass || mark == markEnd {
		p.ended = true
	}
}

func (p *pass) start(name string) {
	if len(p.started) >= maxNames {
		p.tooMany = true
		return
	}
	p.started, p.lastEnded, p.said = append(p.started, name), false, excerpt{}
}

// last is the name of the benchmark that was started last; empty before the first.
func (p *pass) last() string {
	if len(p.started) == 0 {
		return ""
	}
	return p.started[len(p.started)-1]
}

func (p *pass) skip(name string) {
	p.lastEnded = true
	if len(p.skipped) < maxNames {
		p.skipped = append(p.skipped, name)
	}
}

// fail notes a failure; of a benchmark that was measured, the name has the suffix
// with GOMAXPROCS.
func (p *pass) fail(printed string) {
	name := printed
	if _, ok := printedProcs([]byte("Benchmark"+printed+"\t"), p.last()); ok && !p.lastEnded {
		name = p.last()
	}
	p.lastEnded = true
	if len(p.failed) < maxNames {
		said := strings.TrimPrefix(p.said.String(), "Benchmark"+name+"\n")
		p.failed = append(p.failed, failedBenchmark{name: name, said: strings.TrimSpace(said)})
	}
}

// running is the benchmark that was running last; when the one that was started
// last has ended, the one that started it, if one did.
func (p *pass) running() string {
	if parent := strings.LastIndexByte(p.last(), '/'); p.lastEnded && parent >= 0 {
		return p.last()[:parent]
	}
	return p.last()
}

// before returns the benchmarks that ran before name, but no sub-benchmarks.
func (p *pass) before(name string) []string {
	var tops []string
	for _, started := range p.started {
		if within(name, started) {
			break
		}
		if !strings.Contains(started, "/") {
			tops = append(tops, started)
		}
	}
	return tops
}

// afterwards is the error of a process of which no benchmark failed, but that did
// not end as package testing ends it.
func afterwards(p Program, found *pass, e *ended) error {
	switch {
	case !found.ended:
		return &fault.Error{Code: fault.Invalid, Op: "list benchmarks", Input: p.Path,
			Err:  fmt.Errorf("%w: it ended well without the PASS of package testing", ErrOutput),
			Hint: "see whether TestMain calls m.Run and leaves os.Stdout as it is"}
	case e.err == nil || len(found.failed) > 0:
		return nil
	}
	return outside(p, e, "see what TestMain does after it has run the benchmarks")
}

// outside is the error of a process that ended when no benchmark was running.
func outside(p Program, e *ended, hint string) error {
	return &fault.Error{Code: fault.Invalid, Op: "list benchmarks", Input: p.Path, Hint: hint,
		Err: fmt.Errorf("%w: %s (%w)", ErrDied, e.cause(), e.err)}
}
