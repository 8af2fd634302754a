// Package dockerfile finds what goes wrong in the life of a Go service because
// of how its Dockerfile is written: a program that cannot start on the image it
// is copied to, missing certificates, secrets that stay in the image, a Go
// version that nobody mends.
//
// The file is read with BuildKit's own parser and RUN lines with a shell parser;
// nothing is run and no registry is asked. What base images hold is knowledge of
// this package (base.go). Where a value depends on what only a build knows, such
// as a build argument without a default, nothing is said: silence is no proof.
package dockerfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The limits of what is read.
const (
	// MaxSize is the largest Dockerfile, in bytes.
	MaxSize = 1 << 20
	// maxStages is the highest number of FROM lines.
	maxStages = 256
)

// Setting is what the findings depend on besides the file.
type Setting struct {
	// Today is when the file is checked; its day in UTC counts.
	Today time.Time
	// Matrix says which Go versions are supported.
	Matrix *matrix.Matrix
}

// IsDockerfile reports whether path has a name that Dockerfiles go by:
// Dockerfile, Containerfile, with a suffix (Dockerfile.dev) or as one
// (app.Dockerfile), whatever the case of the latter.
func IsDockerfile(name string) bool {
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	lower := strings.ToLower(base)
	for _, kind := range []string{"Dockerfile", "Containerfile"} {
		if base == kind || strings.HasPrefix(base, kind+".") || strings.HasSuffix(lower, "."+strings.ToLower(kind)) {
			return true
		}
	}
	return false
}

// Check returns what is wrong with the Dockerfile in data, sorted by line. name
// is the file's, for errors. The findings have no Path: they are about the file
// itself.
//
// The error has the code fault.Invalid, with name and line, when data is no
// Dockerfile, and fault.Limit when it is too large.
func Check(name string, data []byte, set Setting) ([]api.Finding, error) {
	if set.Matrix == nil || set.Today.IsZero() {
		return nil, failure(fault.Usage, name, errors.New("the version matrix or the day is not given"))
	}
	f, err := parse(name, data)
	if err != nil {
		return nil, err
	}
	c := &check{file: f, set: set}
	for _, rules := range []func(*check){
		(*check).bases, (*check).secrets, (*check).linking, (*check).platforms, (*check).practice, (*check).runtime,
	} {
		rules(c)
	}
	slices.SortStableFunc(c.findings, func(a, b api.Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
	return slices.Compact(c.findings), nil
}

// check is the checking of one file.
type check struct {
	file     *file
	set      Setting
	findings []api.Finding
}

// report adds a finding of the rule id about a line. The message names the values.
func (c *check) report(id string, line int, format string, args ...any) {
	rule := Rules[slices.IndexFunc(Rules, func(r Rule) bool { return r.ID == id })]
	c.findings = append(c.findings, api.Finding{
		Rule: id, Severity: rule.Severity, Line: line, Message: fmt.Sprintf(format, args...), Hint: rule.Hint,
	})
}

// parse reads the file into its model.
func parse(name string, data []byte) (*file, error) {
	switch {
	case len(data) > MaxSize:
		return nil, failure(fault.Limit, name, fmt.Errorf("the file has %d bytes, the limit is %d", len(data), MaxSize))
	case bytes.IndexByte(data, 0) >= 0:
		line := 1 + bytes.Count(data[:bytes.IndexByte(data, 0)], []byte("\n"))
		return nil, failure(fault.Invalid, fmt.Sprintf("%s:%d", name, line), errors.New("a NUL byte: this is no text file"))
	}
	result, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, syntaxError(name, err)
	}
	stages, global, err := instructions.Parse(result.AST, nil)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	switch {
	case len(stages) == 0:
		return nil, failure(fault.Invalid, name, errors.New("no FROM line"))
	case len(stages) > maxStages:
		return nil, failure(fault.Limit, name, fmt.Errorf("%d stages, the limit is %d", len(stages), maxStages))
	}
	return newFile(stages, global, result.EscapeToken), nil
}

func failure(code fault.Code, input string, err error) error {
	e := &fault.Error{Code: code, Op: "check Dockerfile", Input: input, Err: err}
	if code == fault.Invalid {
		e.Hint = "the file must be one that `docker build` accepts"
	}
	return e
}

// syntaxError names the line of BuildKit's error, where that knows one.
func syntaxError(name string, err error) error {
	var at *parser.LocationError
	if errors.As(err, &at) {
		for _, ranges := range at.Locations {
			if line := lineOf(ranges); line > 0 {
				name = fmt.Sprintf("%s:%d", name, line)
				err = errors.New(strings.TrimPrefix(err.Error(), fmt.Sprintf("dockerfile parse error on line %d: ", line)))
				break
			}
		}
	}
	return failure(fault.Invalid, name, err)
}
