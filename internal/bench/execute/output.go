package execute

import (
	"bytes"
	"cmp"
	"errors"
	"strings"
)

const (
	// maxOutput is how much a process may print on standard output.
	maxOutput = 256 << 20
	// maxLine is how much is kept of a line: its begin, where a name is, and its
	// end, where a result is.
	maxLine = 64 << 10
	// maxExcerpt is how much is kept of the begin and of the end of an output.
	maxExcerpt = 4 << 10
)

var errOutputLimit = errors.New("too much output")

// lines is a writer that tells a listener each line.
type lines struct {
	listen   listener
	excerpt  *excerpt
	line     []byte
	total    int64
	exceeded bool
}

// Write fails when more than maxOutput were written: the process then gets an
// error when it prints.
func (l *lines) Write(p []byte) (int, error) {
	if l.total += int64(len(p)); l.total > maxOutput {
		l.exceeded = true
		return 0, errOutputLimit
	}
	_, _ = l.excerpt.Write(p) // it writes to memory
	for rest := p; len(rest) > 0; {
		part, after, found := bytes.Cut(rest, []byte("\n"))
		l.add(part)
		if found {
			l.flush()
		}
		rest = after
	}
	return len(p), nil
}

// add appends to the line, and drops of its middle what is over the limit.
func (l *lines) add(part []byte) {
	for len(part) > 0 {
		n := min(len(part), maxLine-len(l.line))
		l.line = append(l.line, part[:n]...)
		part = part[n:]
		if len(l.line) == maxLine {
			l.line = append(l.line[:maxLine/4], l.line[maxLine/2:]...)
		}
	}
}

// flush tells the listener the line.
func (l *lines) flush() {
	l.listen(bytes.TrimSuffix(l.line, []byte("\r")))
	l.line = l.line[:0]
}

// excerpt is a writer that keeps the begin and the end of what is written.
type excerpt struct {
	head, tail []byte
	cut        bool
}

// Write always succeeds.
func (e *excerpt) Write(p []byte) (int, error) {
	n := len(p)
	room := min(len(p), maxExcerpt-len(e.head))
	e.head = append(e.head, p[:room]...)
	if p = p[room:]; len(p) > 2*maxExcerpt {
		p, e.cut = p[len(p)-2*maxExcerpt:], true
	}
	e.tail = append(e.tail, p...)
	if over := len(e.tail) - maxExcerpt; over > maxExcerpt {
		e.tail, e.cut = append(e.tail[:0], e.tail[over:]...), true
	}
	return n, nil
}

// String returns what was kept, as valid UTF-8.
func (e *excerpt) String() string {
	between := ""
	if e.cut {
		between = "\n[...]\n"
	}
	return strings.ToValidUTF8(string(e.head)+between+string(e.tail), "\uFFFD")
}

// cause returns the first line in which a Go program says why it ends, and the
// last line.
func (e *excerpt) cause() (said, last string) {
	for line := range strings.Lines(e.String()) {
		line = strings.TrimSpace(line)
		for _, prefix := range []string{"panic: ", "fatal error: ", "flag provided but not defined: "} {
			if said == "" && strings.HasPrefix(line, prefix) {
				said = line
			}
		}
		if line != "" {
			last = line
		}
	}
	return said, last
}

// panickedIn returns the name of the benchmark that called panic by the trace of
// the goroutine: the function that package testing called. It is empty when
// that is no function of this kind, such as that of a sub-benchmark.
func panickedIn(trace string) string {
	_, trace, _ = strings.Cut(trace, "\ngoroutine ")
	trace, _, _ = strings.Cut(trace, "\n\n")
	before, _, found := strings.Cut(trace, "\ntesting.(*B).runN(")
	if !found {
		return ""
	}
	calls := strings.Split(before, "\n") // a function, then its file, for each call
	if len(calls) < 2 {
		return ""
	}
	function, _, _ := strings.Cut(calls[len(calls)-2], "(")
	_, name, found := strings.Cut(function[strings.LastIndexByte(function, '/')+1:], ".Benchmark")
	if !found || strings.Contains(name, ".") {
		return ""
	}
	return name
}

// reason returns the last line that package testing logged with its file and line
// number, since that is how a benchmark fails; else the last line.
func reason(said string) string {
	logged, last := "", ""
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line == "" || line == "FAIL" {
			continue
		}
		last = line
		if file, _, found := strings.Cut(line, ": "); found && strings.Contains(file, ".go:") {
			logged = line
		}
	}
	return cmp.Or(logged, last)
}
