package gate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/policy/document"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// state is what the files say. It is not changed once it is in force.
type state struct {
	rules           []*rule
	exemptions      []*exemption
	known           known
	vulnerabilities vulnerabilities
	// stamp tells whether the files have changed since.
	stamp string
}

// Reload reads the files again if one of them has changed; call it as often as
// changes are to be noticed. When one cannot be read, all stays as it was, and
// the error says why.
func (g *Gate) Reload() error {
	stamp, err := g.opt.stamp()
	if err != nil {
		return err
	}
	if old := g.state.Load(); old != nil && old.stamp == stamp {
		return nil
	}
	s, err := load(g.opt)
	if err != nil {
		return err
	}
	s.stamp = stamp
	g.state.Store(s)
	return nil
}

func load(opt Options) (*state, error) {
	s := &state{known: known{}, vulnerabilities: vulnerabilities{}}
	if opt.Policy != "" {
		data, err := readFile("read module policy", opt.Policy, document.MaxSize)
		if err != nil {
			return nil, err
		}
		if err := s.loadPolicy(opt.Policy, data); err != nil {
			return nil, err
		}
	}
	for _, name := range opt.Known {
		data, err := readFile("read known versions", name, maxSumFile)
		if err != nil {
			return nil, err
		}
		if err := s.known.parse(name, data); err != nil {
			return nil, err
		}
	}
	for _, name := range opt.OSV {
		if err := s.vulnerabilities.load(name); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readFile reads a file of at most limit bytes.
func readFile(op, name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: op, Input: name, Err: reasonOf(err)}
	}
	defer f.Close()
	return readAll(op, name, f, limit)
}

func readAll(op, name string, r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: op, Input: name, Err: reasonOf(err)}
	}
	if int64(len(data)) > limit {
		return nil, &fault.Error{Code: fault.Limit, Op: op, Input: name,
			Err: fmt.Errorf("the file has more than %d bytes", limit)}
	}
	return data, nil
}

// reasonOf takes the name out of an error that says it.
func reasonOf(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// stamp describes the files of opt so that it changes when they do.
func (opt Options) stamp() (string, error) {
	var stamp string
	names := opt.Known
	if opt.Policy != "" {
		names = append([]string{opt.Policy}, names...)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return "", &fault.Error{Code: fault.CodeOf(err), Op: "read", Input: name, Err: reasonOf(err)}
		}
		stamp += fileStamp(name, info)
	}
	for _, name := range opt.OSV {
		err := eachFile(name, func(name string, info os.FileInfo) error {
			stamp += fileStamp(name, info)
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return stamp, nil
}

func fileStamp(name string, info os.FileInfo) string {
	return fmt.Sprintf("%s\x00%d\x00%s\n", name, info.Size(), info.ModTime().Format(time.RFC3339Nano))
}
