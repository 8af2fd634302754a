package report

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// maxSource bounds the size of a file that is read for its benchmarks, in bytes.
const maxSource = 8 << 20

// FindPlaces looks for the benchmarks of packages in a repository's files. dirs
// has the directory of each package within root, by import path, with slashes.
// Files that cannot be read or parsed have no benchmarks; a directory that does
// not exist is no error.
func FindPlaces(root fs.FS, dirs map[string]string) (Places, error) {
	places := Places{}
	for pkg, dir := range dirs {
		entries, err := fs.ReadDir(root, path.Clean(dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &fault.Error{Code: fault.CodeOf(err), Op: "look for benchmarks in", Input: dir, Err: err}
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Size() <= maxSource && strings.HasSuffix(e.Name(), "_test.go") {
				places.addFile(root, pkg, path.Join(dir, e.Name()))
			}
		}
	}
	return places, nil
}

// addFile adds the benchmarks of one file. What stands before a syntax error counts.
func (p Places) addFile(root fs.FS, pkg, name string) {
	source, err := fs.ReadFile(root, name)
	if err != nil {
		return
	}
	files := token.NewFileSet()
	file, _ := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
	if file == nil {
		return
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Recv == nil && isBenchmark(f.Name.Name) {
			// Not of PositionFor with line directives: the line of this very file.
			p[Declared{pkg, f.Name.Name}] = Place{name, files.PositionFor(f.Pos(), false).Line}
		}
	}
}

// isBenchmark follows package testing: what follows the prefix does not begin
// with a lower-case letter.
func isBenchmark(name string) bool {
	rest, ok := strings.CutPrefix(name, "Benchmark")
	r, _ := utf8.DecodeRuneInString(rest)
	return ok && (rest == "" || !unicode.IsLower(r))
}

// of returns where a benchmark is declared; a sub-benchmark stands where its
// function does.
func (p Places) of(pkg, name string) Place {
	function, _, _ := strings.Cut(name, "/")
	return p[Declared{pkg, "Benchmark" + function}]
}
