package gate

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// maxSumFile is the largest go.sum file that is read, in bytes.
const maxSumFile = 32 << 20

// known are the versions in go.sum files with their hashes.
type known map[module.Version]sums

// sums are the hashes of a version, each empty where a file does not have it.
type sums struct{ zip, mod string }

// has reports whether c is among the known versions and is what they were: no
// hash of it that both sides have differs.
func (k known) has(c Candidate) bool {
	s, ok := k[module.Version{Path: c.Path, Version: c.Version}]
	return ok && agree(s.zip, c.Sum) && agree(s.mod, c.GoModSum)
}

func agree(a, b string) bool { return a == "" || b == "" || a == b }

// parse adds the content of a go.sum file to k. Blank lines are skipped, as
// the go command does.
func (k known) parse(name string, data []byte) error {
	in := bufio.NewScanner(bytes.NewReader(data))
	in.Buffer(nil, 64<<10)
	line := 0
	for in.Scan() {
		line++
		fields := strings.Fields(in.Text())
		if len(fields) == 0 {
			continue
		}
		if err := k.add(fields); err != nil {
			return sumError(name, line, err)
		}
	}
	if err := in.Err(); err != nil {
		return sumError(name, line+1, err)
	}
	return nil
}

func sumError(name string, line int, err error) error {
	return &fault.Error{Code: fault.Invalid, Op: "read known versions", Input: fmt.Sprintf("%s:%d", name, line), Err: err,
		Hint: "give files in the form of go.sum"}
}

func (k known) add(fields []string) error {
	if len(fields) != 3 {
		return fmt.Errorf("the line has %d words, want path, version and hash", len(fields))
	}
	version, isMod := strings.CutSuffix(fields[1], "/go.mod")
	m := module.Version{Path: fields[0], Version: version}
	if err := module.Check(m.Path, m.Version); err != nil {
		return err
	}
	if !strings.HasPrefix(fields[2], "h1:") {
		return errors.New("the hash has not the form h1:…")
	}
	s := k[m]
	have := &s.zip
	if isMod {
		have = &s.mod
	}
	if *have != "" && *have != fields[2] {
		return fmt.Errorf("%s %s has another hash than it had before", fields[0], fields[1])
	}
	*have = fields[2]
	k[m] = s
	return nil
}
