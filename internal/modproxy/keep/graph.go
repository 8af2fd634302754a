package keep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// GoCommand is a go command and the environment that it runs in.
type GoCommand struct {
	// Name is found along PATH; "" stands for go.
	Name string
	// Environ is the whole environment, as KEY=VALUE.
	Environ []string
}

// ReadGraph adds the versions that the main module in dir, or its workspace,
// selects, and those that their go.sum and go.work.sum files name. The go command
// may get go.mod files from its own GOPROXY for that.
func (s *Set) ReadGraph(ctx context.Context, dir string, command GoCommand) error {
	err := s.readGraph(ctx, dir, command)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return canceled(ctx)
	}
	hint := fault.HintOf(err)
	if hint == "" {
		hint = "name the directory of a go.mod or go.work file in which 'go list -m all' works, or its go.sum file"
	}
	return &fault.Error{Code: fault.CodeOf(err), Op: "list modules of", Input: dir, Err: err, Hint: hint}
}

// listed is what 'go list -m -json' says of a module.
type listed struct {
	Path, Version string
	Main          bool
	Dir           string
	Replace       *module.Version
}

func (s *Set) readGraph(ctx context.Context, dir string, command GoCommand) error {
	// A vendor directory does not list all modules; nothing is to change go.mod.
	out, err := command.run(ctx, dir, "list", "-mod=readonly", "-m", "-json=Path,Version,Main,Dir,Replace", "all")
	if err != nil {
		return err
	}
	dirs := []string{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		err := dec.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &fault.Error{Code: fault.Internal, Op: "read what the go command printed", Err: err}
		}
		if l.Main {
			dirs = append(dirs, l.Dir)
			continue
		}
		if m := l.version(); artifact.CheckVersion(m) == nil { // a directory in its place has no version
			s.Add(m)
		}
	}
	return s.readSums(ctx, dir, dirs, command)
}

// version returns what is built for the module.
func (l *listed) version() module.Version {
	if l.Replace != nil {
		return *l.Replace
	}
	return module.Version{Path: l.Path, Version: l.Version}
}

// readSums reads the go.sum files of the main modules in dirs, and go.work.sum.
func (s *Set) readSums(ctx context.Context, dir string, dirs []string, command GoCommand) error {
	work, err := command.run(ctx, dir, "env", "GOWORK")
	if err != nil {
		return err
	}
	var files []string
	for _, d := range dirs {
		files = append(files, filepath.Join(d, "go.sum"))
	}
	if name := strings.TrimSpace(string(work)); filepath.IsAbs(name) {
		files = append(files, name+".sum")
	}
	for _, name := range files {
		if err := s.ReadGoSumFile(name); err != nil && fault.CodeOf(err) != fault.NotFound {
			return err
		}
	}
	return nil
}

// ReadGoSumFile is ReadGoSum of the file name. The error has the code NotFound
// when there is none.
func (s *Set) ReadGoSumFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "read go.sum", Err: err, Hint: "check the file's name"}
	}
	defer f.Close()
	return s.ReadGoSum(name, f)
}

// The limits of a go command.
const (
	maxListing  = 64 << 20
	maxMessages = 16 << 10
	goGrace     = 5 * time.Second
)

// run runs the go command in dir and returns what it prints.
func (c GoCommand) run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	name := c.Name
	if name == "" {
		name = "go"
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	stdout := &capture{max: maxListing, over: cancel}
	stderr := &capture{max: maxMessages, over: func() {}}
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, c.Environ, goGrace
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	switch {
	case stdout.full:
		return nil, &fault.Error{Code: fault.Limit, Err: fmt.Errorf("the go command printed more than %d bytes", maxListing)}
	case errors.Is(err, exec.ErrNotFound):
		return nil, &fault.Error{Code: fault.Unsupported, Err: err, Hint: "install Go, or name a go.sum file instead of a directory"}
	case err != nil:
		if text := strings.TrimSpace(stderr.String()); text != "" {
			err = errors.New(text)
		}
		return nil, &fault.Error{Code: fault.Invalid, Err: err}
	}
	return stdout.Bytes(), nil
}

// capture keeps the first max bytes that are written to it, and calls over when
// there are more.
type capture struct {
	bytes.Buffer
	max  int
	over func()
	full bool
}

// Write never fails.
func (c *capture) Write(p []byte) (int, error) {
	n := len(p)
	if room := c.max - c.Len(); n > room {
		if !c.full {
			c.full = true
			c.over()
		}
		p = p[:room]
	}
	c.Buffer.Write(p)
	return n, nil
}
