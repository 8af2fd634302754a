package results

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The limits of one input. MaxBytes is also what one document of Write may
// have to be read back.
const (
	MaxBytes = 256 << 20
	// MaxLine is in bytes; benchfmt gives up a file at 64 KiB.
	MaxLine   = 32 << 10
	maxRuns   = 10_000
	maxBlocks = 100_000
	// maxErrors is how many are named; the rest is counted.
	maxErrors = 100
)

// Read reads results in any of the formats that the package knows, found out
// from the content. The name is that of the input, for messages.
//
// What cannot be read of the input is in Errors, and the rest is kept. An error
// is returned, always a *fault.Error, when the input cannot be read, has more
// than MaxBytes bytes (code limit), or has no result at all (code invalid).
func Read(r io.Reader, name string) (*api.BenchResults, error) {
	return read(r, name, MaxBytes)
}

func read(r io.Reader, name string, limit int64) (*api.BenchResults, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "read benchmark results", Input: name, Err: err}
	}
	if int64(len(data)) > limit {
		return nil, &fault.Error{
			Code: fault.Limit, Op: "read benchmark results", Input: name,
			Err:  fmt.Errorf("more than %d MiB", limit>>20),
			Hint: "split it, and merge the parts after reading",
		}
	}
	data = decodeBOM(data)
	problems := &problems{name: name}
	runs, jsonErr := readDocuments(data, problems)
	if errors.Is(jsonErr, errNotDocuments) {
		runs = readLines(data, problems)
	} else if jsonErr != nil {
		return nil, &fault.Error{Code: fault.Invalid, Op: "read benchmark results", Input: name, Err: jsonErr, Hint: formatsHint}
	}
	if !haveSamples(runs) {
		return nil, problems.nothing(jsonErr)
	}
	return &api.BenchResults{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBenchResults, Runs: runs, Notes: problems.notes, Errors: problems.list(),
	}, nil
}

const formatsHint = "give what `go test -bench` prints, with or without -json, or a BenchResults document"

func haveSamples(runs []api.BenchRun) bool {
	for i := range runs {
		for j := range runs[i].Series {
			if len(runs[i].Series[j].Samples) > 0 {
				return true
			}
		}
	}
	return false
}

// decodeBOM removes the byte order mark that some shells write before redirected
// output, and makes UTF-8 of their UTF-16.
func decodeBOM(data []byte) []byte {
	if rest, ok := bytes.CutPrefix(data, []byte("\xef\xbb\xbf")); ok {
		return rest
	}
	if !bytes.HasPrefix(data, []byte("\xff\xfe")) {
		return data
	}
	data = data[2:]
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = uint16(data[2*i]) | uint16(data[2*i+1])<<8
	}
	return []byte(string(utf16.Decode(units)))
}

// problems collects what cannot be read of one input.
type problems struct {
	name string
	// notes are those of the documents that were read.
	notes []string
	items []api.Error
	more  int
}

// add notes a problem; line is 0 where there are no lines.
func (p *problems) add(code fault.Code, line int, hint, format string, args ...any) {
	if len(p.items) == maxErrors {
		p.more++
		return
	}
	input := p.name
	if line > 0 {
		input = fmt.Sprintf("%s:%d", p.name, line)
	}
	p.items = append(p.items, api.Error{
		SchemaVersion: api.SchemaVersion, Kind: api.KindError, Code: string(code), Input: input,
		Message: "read benchmark results " + input + ": " + fmt.Sprintf(format, args...), Hint: hint,
	})
}

func (p *problems) list() []api.Error {
	if p.more == 0 {
		return p.items
	}
	return append(p.items, api.Error{
		SchemaVersion: api.SchemaVersion, Kind: api.KindError, Code: string(fault.Invalid), Input: p.name,
		Message: fmt.Sprintf("read benchmark results %s: %d more lines could not be read", p.name, p.more),
	})
}

// nothing is the error of an input without results; jsonErr says what is wrong
// with it as a JSON document.
func (p *problems) nothing(jsonErr error) error {
	err := errors.New("no benchmark results in it")
	var syntax *syntaxError
	switch {
	case errors.As(jsonErr, &syntax):
		err = fmt.Errorf("no benchmark results in it; as JSON: %w", syntax.err)
	case len(p.items) > 0:
		_, reason, _ := strings.Cut(p.items[0].Message, p.items[0].Input+": ")
		err = fmt.Errorf("no benchmark results in it; the first of %d problems: %s", len(p.items)+p.more, reason)
	}
	return &fault.Error{Code: fault.Invalid, Op: "read benchmark results", Input: p.name, Err: err, Hint: formatsHint}
}
