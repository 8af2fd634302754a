package cli

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/config"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// project is the directory of a configuration and what that says; without a
// configuration file it is the working directory.
type project struct {
	// dir and cwd are absolute.
	dir, cwd string
	api.Config
}

// loadProject reads the configuration file, or for an empty name the one that is
// found at the working directory or above.
func loadProject(file string) (*project, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "find the working directory", Err: err}
	}
	p := &project{dir: cwd, cwd: cwd}
	if file == "" {
		if file, err = config.Find(cwd); err != nil || file == "" {
			return p, err
		}
	}
	data, err := readDocument("read configuration", file)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(file, data)
	if err != nil {
		return nil, err
	}
	p.Config = *cfg
	p.dir, err = filepath.Abs(filepath.Dir(file))
	return p, err
}

// within returns the path of a file that is named from the working directory as
// one from the project's directory, where the configuration's own begin. No file stays none.
func (p *project) within(file string) string {
	if file == "" || p.dir == p.cwd || filepath.IsAbs(file) {
		return file
	}
	rel, err := filepath.Rel(p.dir, filepath.Join(p.cwd, file))
	if err != nil { // on another volume
		return filepath.Join(p.cwd, file)
	}
	return rel
}

// file returns a path of the configuration as one from the working directory.
// No file stays none.
func (p *project) file(path string) string {
	if path == "" || p.dir == p.cwd || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(p.dir, path)
}

// patterns returns package patterns that are given at the working directory as
// patterns for the project's.
func (p *project) patterns(args []string) []string {
	if len(args) == 0 {
		args = []string{"."}
	}
	patterns := make([]string, len(args))
	for i, arg := range args {
		patterns[i] = arg
		if p.dir != p.cwd && isRelative(arg) {
			patterns[i] = "./" + filepath.ToSlash(p.within(arg))
		}
	}
	return patterns
}

// isRelative reports whether a package pattern is a path from a directory.
func isRelative(pattern string) bool {
	slashed := filepath.ToSlash(pattern)
	return slashed == "." || slashed == ".." || strings.HasPrefix(slashed, "./") || strings.HasPrefix(slashed, "../")
}
