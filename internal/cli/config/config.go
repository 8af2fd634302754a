// Package config reads .gopherwood.yaml, which says how the packages of a module
// become images, whose attachments are trusted, and how benchmarks are judged. The format is described in
// docs/formats/config.md.
package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/document"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Name is the file's name in a module.
const Name = ".gopherwood.yaml"

// Find returns the configuration file of the module that dir is in: it looks in
// dir and above, up to the first directory that holds go.mod or .git. It returns
// "" when there is none.
func Find(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", &fault.Error{Code: fault.CodeOf(err), Op: "find " + Name, Err: err}
	}
	for {
		file := filepath.Join(dir, Name)
		switch found, err := exists(file); {
		case err != nil:
			return "", &fault.Error{Code: fault.CodeOf(err), Op: "find " + Name, Err: err}
		case found:
			return file, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir || isRoot(dir) {
			return "", nil
		}
		dir = parent
	}
}

func exists(file string) (bool, error) {
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// isRoot reports whether dir is where a module or a repository begins.
func isRoot(dir string) bool {
	for _, mark := range []string{"go.mod", ".git"} {
		if found, _ := exists(filepath.Join(dir, mark)); found {
			return true
		}
	}
	return false
}

// Load reads the configuration in data; name is the file's name in errors, which
// name line and column and have the code fault.Invalid.
func Load(name string, data []byte) (*api.Config, error) {
	var file api.Config
	doc, err := document.Decode("load configuration", name, data, api.KindConfig, &file)
	if err != nil {
		return nil, err
	}
	c := checker{doc}
	c.build(&file.Build)
	c.texts(file.Trust.Keys, document.Path{"trust", "keys"}, "a file's name")
	c.bench(&file.Bench)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return &file, nil
}
