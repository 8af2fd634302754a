package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gopherwood-dev/gopherwood/internal/bench/build/command"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// prefix begins the names of benchmarks.
	prefix = "Benchmark"
	// maxSource is the largest test file that is looked into, in bytes.
	maxSource = 64 << 20
)

// listed is what go list says of a package.
type listed struct {
	ImportPath, Dir           string
	TestGoFiles, XTestGoFiles []string
	// Match are the patterns that the package matches.
	Match []string
	Error *struct{ Pos, Err string }

	benchmarks []string
}

// list returns the packages that have benchmarks which match, sorted by import
// path. Those that cannot be looked into are in failed.
func (s *Side) list(ctx context.Context, t *toolchain, opt BuildOptions, match matcher) (found []listed, failed []Failure, err error) {
	patterns, err := s.patterns(opt.Packages)
	if err != nil {
		return nil, nil, err
	}
	args := slices.Concat([]string{"list", "-e", "-find", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles,Match,Error"}, opt.Flags, []string{"--"}, patterns)
	out, err := t.Output(ctx, args...)
	if err != nil {
		return nil, nil, s.explain("list the "+s.opt.Name+"'s packages", strings.Join(opt.Packages, " "), err)
	}
	all, err := decode(out)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range all {
		switch err := p.look(match); {
		case err != nil:
			failed = append(failed, Failure{p.ImportPath, s.explain("find the "+s.opt.Name+"'s benchmarks of", p.ImportPath, err)})
		case len(p.benchmarks) > 0:
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b listed) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return found, failed, ctx.Err()
}

// decode reads the sequence of JSON values that go list prints.
func decode(data []byte) (all []listed, err error) {
	for dec := json.NewDecoder(bytes.NewReader(data)); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, &fault.Error{Code: fault.Internal, Op: "read", Input: "go list", Err: err}
		}
		all = append(all, p)
	}
}

// patterns are those of the user, for the go command in the side's directory.
func (s *Side) patterns(named []string) ([]string, error) {
	if len(named) == 0 {
		return []string{"."}, nil
	}
	out := slices.Clone(named)
	for i, p := range out {
		switch {
		case strings.HasSuffix(p, ".go"):
			return nil, &fault.Error{Code: fault.Usage, Op: "find benchmarks in", Input: p, Err: errors.New("it is a file"), Hint: "name its package"}
		case strings.HasPrefix(p, "-"):
			return nil, &fault.Error{Code: fault.Usage, Op: "find benchmarks in", Input: p, Err: errors.New("it is no package")}
		case filepath.IsAbs(p):
			dir, rest := p, ""
			if wild := strings.Index(p, "..."); wild >= 0 {
				dir, rest = p[:wild], p[wild:]
			}
			if rel, ok := within(s.repo.Top, dir); ok {
				out[i] = filepath.Join(s.Root, rel, rest)
			}
		}
	}
	return out, nil
}

// look finds the benchmarks of p that match. An error is that of a package which
// was named, or which has benchmarks.
func (p *listed) look(match matcher) error {
	files := slices.Concat(p.TestGoFiles, p.XTestGoFiles)
	if p.Error != nil && len(files) == 0 && p.Dir != "" {
		entries, _ := filepath.Glob(filepath.Join(p.Dir, "*_test.go"))
		for _, e := range entries {
			files = append(files, filepath.Base(e))
		}
	}
	for _, name := range files {
		names, err := benchmarksIn(filepath.Join(p.Dir, name))
		if err != nil {
			return err
		}
		for _, n := range names {
			if match(n) {
				p.benchmarks = append(p.benchmarks, n)
			}
		}
	}
	slices.Sort(p.benchmarks)
	p.benchmarks = slices.Compact(p.benchmarks)
	wanted := len(p.benchmarks) > 0 || slices.ContainsFunc(p.Match, func(m string) bool { return !strings.Contains(m, "...") }) || len(p.Match) == 0
	if p.Error != nil && wanted {
		message := p.Error.Err
		if p.Error.Pos != "" && !strings.HasPrefix(message, p.Error.Pos) {
			message = p.Error.Pos + ": " + message
		}
		return &command.Error{Message: message, Err: errors.New("go list failed")}
	}
	return nil
}

// executable is what go test -c calls the binary of p: by the last element of the
// import path that is no major version.
func (p *listed) executable() string {
	name := path.Base(p.ImportPath)
	if parent := path.Dir(p.ImportPath); isMajorVersion(name) && parent != "." {
		name = path.Base(parent)
	}
	return name + ".test"
}

// isMajorVersion says whether an element of an import path is v2, v3 and so on.
func isMajorVersion(element string) bool {
	digits, ok := strings.CutPrefix(element, "v")
	return ok && digits != "" && digits != "1" && digits[0] != '0' && strings.Trim(digits, "0123456789") == ""
}

// benchmarksIn returns the names of the benchmarks in a test file.
func benchmarksIn(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, readFailed(name, err)
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxSource+1))
	switch {
	case err != nil:
		return nil, readFailed(name, err)
	case len(src) > maxSource:
		return nil, &fault.Error{Code: fault.Limit, Op: "read", Input: name, Err: fmt.Errorf("it has more than %d bytes", maxSource)}
	}
	return benchmarks(src), nil
}

func readFailed(name string, err error) error {
	return &fault.Error{Code: fault.CodeOf(err), Op: "read", Input: name, Err: err}
}

// benchmarks returns the names of the benchmarks in the source of a test file. Of
// a file that does not compile it returns those that can be seen.
func benchmarks(src []byte) (names []string) {
	if !bytes.Contains(src, []byte(prefix)) {
		return nil
	}
	file, _ := parser.ParseFile(token.NewFileSet(), "", src, parser.SkipObjectResolution) // what is wrong with it, the compiler says better
	if file == nil {
		return nil
	}
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && isBenchmark(f) {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

// isBenchmark says whether the go command takes f for a benchmark: by its name,
// and a parameter *testing.B, whatever the name of package testing.
func isBenchmark(f *ast.FuncDecl) bool {
	rest, ok := strings.CutPrefix(f.Name.Name, prefix)
	if first, _ := utf8.DecodeRuneInString(rest); !ok || f.Recv != nil || rest != "" && unicode.IsLower(first) {
		return false
	}
	params := f.Type.Params.List
	if f.Type.TypeParams != nil || f.Type.Results != nil && len(f.Type.Results.List) > 0 || len(params) != 1 || len(params[0].Names) > 1 {
		return false
	}
	star, ok := params[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	switch x := star.X.(type) {
	case *ast.SelectorExpr:
		return x.Sel.Name == "B"
	case *ast.Ident:
		return x.Name == "B"
	}
	return false
}
