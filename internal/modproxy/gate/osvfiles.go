package gate

import (
	"archive/zip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// What known vulnerabilities may take.
const (
	maxEntry   = 8 << 20   // bytes of one entry
	maxEntries = 1_000_000 // entries of one source
)

const opOSV = "read known vulnerabilities"

// load adds what name holds, which is an entry (.json), an archive of entries
// (.zip), or a directory with both.
func (v vulnerabilities) load(name string) error {
	r := &osvReader{index: v}
	err := eachFile(name, func(name string, _ os.FileInfo) error {
		if strings.EqualFold(filepath.Ext(name), ".zip") {
			return r.archive(name)
		}
		data, err := readFile(opOSV, name, maxEntry)
		if err != nil {
			return err
		}
		return r.entry(name, data)
	})
	if err == nil && r.entries == 0 {
		err = &fault.Error{Code: fault.Invalid, Op: opOSV, Input: name, Err: errors.New("there is no entry about Go modules"),
			Hint: "give files of the OSV schema whose ecosystem is Go, or drop the option"}
	}
	return err
}

// osvReader reads one source.
type osvReader struct {
	index vulnerabilities
	// files counts what was read, and entries those that are about Go modules.
	files, entries int
}

func (r *osvReader) entry(name string, data []byte) error {
	if r.files++; r.files > maxEntries {
		return &fault.Error{Code: fault.Limit, Op: opOSV, Input: name, Err: fmt.Errorf("there are more than %d entries", maxEntries)}
	}
	isGo, err := r.index.add(data)
	if err != nil {
		return &fault.Error{Code: fault.Invalid, Op: opOSV, Input: name, Err: err}
	}
	if isGo {
		r.entries++
	}
	return nil
}

func (r *osvReader) archive(name string) error {
	z, err := zip.OpenReader(name)
	if err != nil {
		return &fault.Error{Code: fault.Invalid, Op: opOSV, Input: name, Err: reasonOf(err)}
	}
	defer z.Close()
	for _, f := range z.File {
		if !isEntry(f.Name) {
			continue
		}
		if err := r.member(name+":"+f.Name, f); err != nil {
			return err
		}
	}
	return nil
}

func (r *osvReader) member(name string, f *zip.File) error {
	in, err := f.Open()
	if err != nil {
		return &fault.Error{Code: fault.Invalid, Op: opOSV, Input: name, Err: err}
	}
	defer in.Close()
	data, err := readAll(opOSV, name, in, maxEntry)
	if err != nil {
		return err
	}
	return r.entry(name, data)
}

// isEntry reports whether a name, with slashes, is that of an entry. The Go
// vulnerability database has tables of contents beside them, which are none.
func isEntry(name string) bool {
	tables := []string{"index/db.json", "index/modules.json", "index/vulns.json"}
	return strings.EqualFold(path.Ext(name), ".json") &&
		!slices.ContainsFunc(tables, func(t string) bool { return name == t || strings.HasSuffix(name, "/"+t) })
}

// eachFile calls f with name, or with all entries and archives in the directory
// name. Links to files are followed, what begins with a dot is skipped: that is
// how Kubernetes mounts a ConfigMap.
func eachFile(name string, f func(name string, info os.FileInfo) error) error {
	root, err := os.Stat(name)
	if err != nil {
		return osvError(name, err)
	}
	if !root.IsDir() {
		return f(name, root)
	}
	return filepath.WalkDir(name, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return osvError(file, err)
		case file == name:
			return nil
		case strings.HasPrefix(d.Name(), ".") && d.IsDir():
			return fs.SkipDir
		case strings.HasPrefix(d.Name(), ".") || d.IsDir():
			return nil
		case !isEntry(filepath.ToSlash(file)) && !strings.EqualFold(filepath.Ext(file), ".zip"):
			return nil
		}
		info, err := os.Stat(file)
		if err != nil {
			return osvError(file, err)
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		return f(file, info)
	})
}

func osvError(name string, err error) error {
	return &fault.Error{Code: fault.CodeOf(err), Op: opOSV, Input: name, Err: reasonOf(err)}
}
