package bench

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// Bounds of what is compared beside test binaries: where there is more, benchmarks
// are measured instead.
const (
	maxFiles     = 5000
	maxFileBytes = 256 << 20
)

var errTooMuch = errors.New("too much to compare")

// sameFiles reports whether two directories have the same files below them, besides
// source code, of which the test binaries are. Benchmarks may read all of them.
func sameFiles(a, b string) bool {
	ofA, err := dataFiles(a)
	if err != nil {
		return false
	}
	ofB, err := dataFiles(b)
	if err != nil || !maps.Equal(ofA, ofB) {
		return false
	}
	for name := range ofA {
		if !sameContent(filepath.Join(a, name), filepath.Join(b, name)) {
			return false
		}
	}
	return true
}

// dataFiles returns the sizes of the files below a directory that are not source
// code of Go, by their names; that of a symbolic link is of its target's name.
func dataFiles(dir string) (map[string]int64, error) {
	sizes := map[string]int64{}
	left := int64(maxFileBytes)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case d.IsDir() || strings.HasSuffix(name, ".go"):
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		sizes[rel] = info.Size()
		if left -= info.Size(); left < 0 || len(sizes) > maxFiles {
			return errTooMuch
		}
		return err
	})
	return sizes, err
}

// sameContent compares files of the same size, or symbolic links.
func sameContent(a, b string) bool {
	ofA, errA := content(a)
	ofB, errB := content(b)
	return errA == nil && errB == nil && bytes.Equal(ofA, ofB)
}

// content returns what a file holds, or where a symbolic link leads. Other kinds of
// files are the same as nothing.
func content(name string) ([]byte, error) {
	info, err := os.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case info.Mode().IsRegular():
		return os.ReadFile(name)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		return []byte(target), err
	}
	return nil, errTooMuch
}
