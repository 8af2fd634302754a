package results

import (
	"bytes"
	"encoding/json"
	"regexp"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// event is one line of `go test -json` (go doc test2json).
type event struct {
	Time    time.Time
	Action  string
	Package string
	Test    string
	Output  string
}

// readLines reads text, events of `go test -json`, or events with text between
// them, as it is when standard error went to the same file.
func readLines(data []byte, problems *problems) []api.BenchRun {
	text := &stream{problems: problems}
	streams := map[string]*stream{}
	order := []*stream{text}
	var began time.Time
	for number := 1; len(data) > 0; number++ {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		e, ok := parseEvent(line)
		if !ok {
			text.line(bytes.TrimSuffix(line, []byte("\r")), number, true)
			continue
		}
		if !e.Time.IsZero() && (began.IsZero() || e.Time.Before(began)) {
			began = e.Time
		}
		if e.Action != "output" {
			continue
		}
		s := streams[e.Package]
		if s == nil {
			s = &stream{problems: problems, pkg: e.Package}
			streams[e.Package] = s
			order = append(order, s)
		}
		s.write(e, number)
	}
	parser := newParser(problems)
	for _, s := range order {
		s.end()
		parser.read(s)
	}
	runs := parser.runs()
	for i := range runs {
		if runs[i].Time == "" && !began.IsZero() {
			runs[i].Time = began.UTC().Format(time.RFC3339)
		}
	}
	return runs
}

func parseEvent(line []byte) (event, bool) {
	if !bytes.HasPrefix(line, []byte(`{"`)) || !bytes.Contains(line, []byte(`"Action":`)) {
		return event{}, false
	}
	var e event
	err := json.Unmarshal(line, &e)
	return e, err == nil && e.Action != ""
}

// stream takes the output of one test binary line by line, and keeps what is of
// the benchmark format. Results that a benchmark's own output tore apart are put
// together again.
type stream struct {
	problems *problems
	// pkg is what the events say; empty for text.
	pkg string
	// text has the kept lines, origin the number of each in the input, and
	// config the positions among them of configuration lines.
	text   bytes.Buffer
	origin []int
	config []int
	// pending is the name of a benchmark whose result has not come yet.
	pending     []byte
	pendingLine int
	// partial is a line of events that has not ended; long says that it is over MaxLine.
	partial []byte
	long    bool
	// size has the length of each configuration line in force, total their sum.
	size  map[string]int
	total int
}

// The limits of the configuration in force at one time.
const (
	maxConfig      = 256
	maxConfigBytes = 64 << 10
)

// write takes the output of one event, which may be a part of a line.
func (s *stream) write(e event, number int) {
	output := []byte(e.Output)
	for len(output) > 0 {
		part, rest, ended := bytes.Cut(output, []byte("\n"))
		output = rest
		if s.long = s.long || len(s.partial)+len(part) > MaxLine; !s.long {
			s.partial = append(s.partial, part...)
		}
		if !ended {
			return
		}
		if s.long {
			s.tooLong(s.partial, number)
		} else {
			// What the testing package says of its configuration belongs to no test.
			s.line(bytes.TrimSuffix(s.partial, []byte("\r")), number, e.Test == "")
		}
		s.partial, s.long = s.partial[:0], false
	}
}

// end says that no more lines come.
func (s *stream) end() {
	if len(s.partial) > 0 && !s.long {
		s.line(s.partial, 0, false)
	}
	s.lost()
}

// lost notes that the pending benchmark has no result.
func (s *stream) lost() {
	if s.pending != nil {
		s.problems.add(fault.Invalid, s.pendingLine, "run it alone to see why", "%s has no result", s.pending)
		s.pending = nil
	}
}

func (s *stream) tooLong(line []byte, number int) {
	if isResultStart(line) {
		s.problems.add(fault.Limit, number, "", "a result of more than %d KiB", MaxLine>>10)
	}
}

var (
	benchmark = []byte("Benchmark")
	// tail is the end of a result as the testing package prints it: iterations,
	// then values with units, separated by tabs.
	tail = regexp.MustCompile(`([0-9]+(?:\t *[-+0-9.eEInfNa]+ \S+)+)[ \t]*$`)
	// whole is a result with other output before it on its line.
	whole = regexp.MustCompile(`(Benchmark(?:[^\sa-z]\S*)?) *\t *([0-9]+(?:\t *[-+0-9.eEInfNa]+ \S+)+)[ \t]*$`)
	timed = []byte(" ns/op")
)

// maxTorn is how much of the end of a line a torn result is looked for in, in bytes.
const maxTorn = 2 << 10

// line takes one line without its end. Only a line with config may be a
// configuration line.
func (s *stream) line(line []byte, number int, config bool) {
	switch {
	case len(line) > MaxLine:
		s.tooLong(line, number)
	case isResultStart(line):
		s.result(line, number)
	case bytes.HasPrefix(line, []byte("Unit")):
		s.keep(number, line)
	case bytes.HasPrefix(line, []byte("--- FAIL: Benchmark")):
		s.failed(line[len("--- FAIL: "):], number)
	case bytes.HasPrefix(line, []byte("FAIL\t")):
		s.failed(line[len("FAIL\t"):], number)
	case bytes.HasSuffix(line, timed) || bytes.Contains(line, []byte(" ns/op\t")):
		s.torn(line, number)
	case config && s.pending == nil:
		s.configuration(line, number)
	}
}

// isResultStart says whether the line begins with the name of a benchmark, in
// which no lower-case letter follows "Benchmark".
func isResultStart(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, benchmark)
	if !ok {
		return false
	}
	r, _ := utf8.DecodeRune(rest)
	return !unicode.IsLower(r)
}

// result takes a line that begins with the name of a benchmark.
func (s *stream) result(line []byte, number int) {
	end := bytes.IndexAny(line, " \t")
	if end < 0 {
		// With -v the name alone is printed when a benchmark begins.
		return
	}
	s.lost()
	name, rest := line[:end], bytes.TrimLeft(line[end:], " \t")
	switch {
	case bytes.HasPrefix(rest, []byte("--- SKIP: ")):
	case bytes.HasPrefix(rest, []byte("--- FAIL: ")):
		s.failed(name, number)
	case isNumber(rest):
		s.keep(number, line)
	default:
		s.pending, s.pendingLine = bytes.Clone(name), number
		if bytes.Contains(rest, timed) {
			s.torn(rest, number)
		}
	}
}

// isNumber says whether the first field of the text is digits.
func isNumber(text []byte) bool {
	field, _, _ := bytes.Cut(text, []byte("\t"))
	field, _, _ = bytes.Cut(field, []byte(" "))
	return len(field) > 0 && len(bytes.Trim(field, "0123456789")) == 0
}

// torn takes a line that has a result somewhere: with its name after other
// output, or the rest of the pending one.
func (s *stream) torn(line []byte, number int) {
	line = line[max(0, len(line)-maxTorn):]
	if m := whole.FindSubmatch(line); m != nil {
		s.lost()
		s.keep(number, m[1], []byte("\t"), m[2])
		return
	}
	if m := tail.FindSubmatch(line); m != nil && s.pending != nil {
		s.keep(number, s.pending, []byte("\t"), m[1])
		s.pending = nil
	}
}

func (s *stream) failed(what []byte, number int) {
	s.pending = nil
	s.problems.add(fault.Invalid, number, "what it measured before is kept", "%s failed", bytes.TrimSpace(what))
}

// configuration takes what may be a line "key: value".
func (s *stream) configuration(line []byte, number int) {
	key, value, ok := configLine(line)
	if !ok {
		return
	}
	if s.size == nil {
		s.size = map[string]int{}
	}
	total := s.total - s.size[key]
	if len(value) == 0 {
		delete(s.size, key)
	} else {
		total += len(line)
		if _, known := s.size[key]; total > maxConfigBytes || !known && len(s.size) == maxConfig {
			s.problems.add(fault.Limit, number, "", "more than %d lines or %d KiB of configuration", maxConfig, maxConfigBytes>>10)
			return
		}
		s.size[key] = len(line)
	}
	s.total = total
	s.config = append(s.config, len(s.origin))
	s.keep(number, line)
}

// configLine takes a configuration line apart: a key that begins with a
// lower-case letter and has neither space nor upper case, a colon, and a value
// after a space; without a value, the key ends.
func configLine(line []byte) (key string, value []byte, ok bool) {
	before, after, found := bytes.Cut(line, []byte(":"))
	first, _ := utf8.DecodeRune(before)
	if !found || !unicode.IsLower(first) || string(before) == "panic" {
		return "", nil, false
	}
	if bytes.ContainsFunc(before, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsUpper(r) }) {
		return "", nil, false
	}
	value = bytes.TrimLeft(after, " \t")
	return string(before), value, len(after) == 0 || len(value) < len(after)
}

func (s *stream) keep(number int, parts ...[]byte) {
	for _, p := range parts {
		s.text.Write(p)
	}
	s.text.WriteByte('\n')
	s.origin = append(s.origin, number)
}
