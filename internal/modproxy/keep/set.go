package keep

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// MaxGoSum is the largest go.sum file that is read, in bytes.
const MaxGoSum = 64 << 20

// Set is a set of versions, with the hashes that go.sum files have of them. The
// zero Set is empty and ready to use.
type Set struct{ sums map[module.Version]sums }

// sums are the hashes of a version; each is empty where no file has it.
type sums struct{ zip, mod string }

// Add adds a version without hashes.
func (s *Set) Add(m module.Version) {
	if s.sums == nil {
		s.sums = map[module.Version]sums{}
	}
	if !s.Has(m) { // a hash that is known stays
		s.sums[m] = sums{}
	}
}

// Len returns how many versions there are.
func (s *Set) Len() int { return len(s.sums) }

// Has reports whether m is in the set.
func (s *Set) Has(m module.Version) bool {
	_, ok := s.sums[m]
	return ok
}

// Versions returns all versions, by module and in the order of semver.
func (s *Set) Versions() []module.Version {
	return slices.SortedFunc(maps.Keys(s.sums), compare)
}

// Check returns an error with the code Invalid when a go.sum file has other
// hashes of v. What no file has is not held against v.
func (s *Set) Check(v *store.Version) error {
	want := s.sums[v.Version]
	const hint = "one of the two has been tampered with, or the version was published again: find out which before you change anything"
	if want.zip != "" && want.zip != v.Sum {
		return invalid(v.Version, hint, "its zip has the hash %s, and go.sum says %s", v.Sum, want.zip)
	}
	if want.mod != "" && want.mod != v.GoModSum {
		return invalid(v.Version, hint, "its go.mod has the hash %s, and go.sum says %s", v.GoModSum, want.mod)
	}
	return nil
}

// ReadGoSum adds the versions of a go.sum or go.work.sum file called name. A
// version of which the file has only the go.mod file is added too: the go command
// needs it, and a store has versions whole or not at all. A file that is
// none, or that has another hash of a version than a file read before, is an
// error with the code Invalid and the line.
func (s *Set) ReadGoSum(name string, r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, MaxGoSum+1))
	if err == nil && len(data) > MaxGoSum {
		err = &fault.Error{Code: fault.Limit, Err: fmt.Errorf("it is larger than %d bytes", MaxGoSum)}
	}
	if err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "read", Input: name, Err: err}
	}
	scan := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; scan.Scan(); n++ {
		err = s.line(scan.Text())
		if err != nil {
			return goSumFault(name, n, err)
		}
	}
	if err := scan.Err(); err != nil {
		return goSumFault(name, 0, err)
	}
	return nil
}

func goSumFault(name string, line int, err error) error {
	if line > 0 {
		name = fmt.Sprintf("%s:%d", name, line)
	}
	return &fault.Error{Code: fault.Invalid, Op: "read", Input: name, Err: err, Hint: "name a go.sum or go.work.sum file"}
}

// emptyModSum is the hash of an empty go.mod file, which old go commands wrote
// by mistake and new ones pass over.
const emptyModSum = "h1:G7mAYYxgmS0lVkHyy2hEOLQCFB0DlQFTMLWggykrydY="

func (s *Set) line(text string) error {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil
	}
	if len(fields) != 3 {
		return fmt.Errorf("it has %d fields and not 3", len(fields))
	}
	version, isMod := strings.CutSuffix(fields[1], "/go.mod")
	m := module.Version{Path: fields[0], Version: version}
	if err := artifact.CheckVersion(m); err != nil {
		return err
	}
	hash := fields[2]
	if !strings.HasPrefix(hash, "h1:") || isMod && hash == emptyModSum {
		return nil
	}
	s.Add(m)
	known := s.sums[m]
	field := &known.zip
	if isMod {
		field = &known.mod
	}
	if *field != "" && *field != hash {
		return fmt.Errorf("%s has the hash %s here, and %s before", m, hash, *field)
	}
	*field = hash
	s.sums[m] = known
	return nil
}

// ParseVersion reads MODULE@VERSION. Without @VERSION, or with another query than
// a canonical version, such as the name of a branch, ok is false.
func ParseVersion(s string) (m module.Version, ok bool, err error) {
	path, version, _ := strings.Cut(s, "@")
	if err := module.CheckPath(path); err != nil {
		return m, false, err
	}
	m = module.Version{Path: path, Version: version}
	if strings.HasSuffix(s, "@") {
		return m, false, errors.New("there is no version after the @")
	}
	return m, artifact.CheckVersion(m) == nil, nil
}
