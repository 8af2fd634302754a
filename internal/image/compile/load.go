package compile

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// maxNamed is how many packages an error names.
const maxNamed = 10

// Load finds the main packages that patterns name, sorted. A pattern with "..."
// leaves out what is no main package; one without it that names none is an error.
// No pattern is the package in Options.Dir.
func Load(ctx context.Context, patterns []string, opt Options) ([]Package, error) {
	if len(patterns) == 0 {
		patterns = []string{"."}
	}
	tool, err := newToolchain(opt)
	if err != nil {
		return nil, err
	}
	if opt.Go != "" {
		if err := tool.choose(ctx, opt.Go); err != nil {
			return nil, err
		}
	}
	found, err := list(ctx, tool, opt.Tags, patterns)
	if err != nil {
		return nil, err
	}
	var mains []Package
	for _, p := range found {
		if p.Name == "main" && p.Error == nil {
			mains = append(mains, Package{ImportPath: p.ImportPath, Dir: p.Dir, Rel: relative(tool.dir, p.Dir)})
			continue
		}
		if err := refuse(ctx, tool, p); err != nil {
			return nil, err
		}
	}
	if len(mains) == 0 {
		return nil, &fault.Error{Code: fault.NotFound, Op: "find main packages", Input: strings.Join(patterns, " "),
			Err: errors.New("none of the packages is one"), Hint: "name a package with package main, for example ./cmd/app"}
	}
	slices.SortFunc(mains, func(a, b Package) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return slices.Compact(mains), nil
}

// listed is what go list says of a package.
type listed struct {
	ImportPath string
	Name       string
	Dir        string
	// Match are the patterns that the package matches.
	Match []string
	Error *struct{ Pos, Err string }
}

// list finds packages without looking at what they import. They are looked at
// as a linux build with cgo sees them, so that no main package is missing.
func list(ctx context.Context, tool toolchain, tags, patterns []string) ([]listed, error) {
	args := []string{"list", "-find", "-e", "-json=ImportPath,Name,Dir,Match,Error"}
	if tag := (flags{tags: tags}).tagsFlag(); tag != "" {
		args = append(args, tag)
	}
	args = append(append(args, "--"), patterns...)
	var env []string
	for _, entry := range []string{"GOOS=linux", "CGO_ENABLED=1"} {
		if name, _, _ := strings.Cut(entry, "="); tool.variable(name) == "" {
			env = append(env, entry)
		}
	}
	out, err := tool.run(ctx, env, args...)
	if err != nil {
		return nil, asFault(err)
	}
	return decode[listed](out)
}

// refuse returns why p, which is no main package or a broken one, may not be
// passed over; nil when only patterns with "..." name it.
func refuse(ctx context.Context, tool toolchain, p listed) error {
	named := slices.IndexFunc(p.Match, func(pattern string) bool { return !strings.Contains(pattern, "...") })
	switch {
	case p.Error != nil && (named >= 0 || p.Name == "main" || len(p.Match) == 0):
		message := p.Error.Err
		if p.Error.Pos != "" {
			message = p.Error.Pos + ": " + message
		}
		return asFault(&commandError{message: message, err: errors.New("go list failed")})
	case named < 0:
		return nil
	}
	return &fault.Error{Code: fault.Invalid, Op: "build", Input: p.Match[named],
		Err: fmt.Errorf("%s is package %s, not a main package", p.ImportPath, p.Name), Hint: mainsBelow(ctx, tool, p)}
}

// mainsBelow is the hint that names the main packages in directories below p.
func mainsBelow(ctx context.Context, tool toolchain, p listed) string {
	const none = "name a package with package main"
	found, err := list(ctx, tool, nil, []string{p.ImportPath + "/..."})
	if err != nil {
		return none
	}
	var mains []string
	for _, q := range found {
		if q.Name == "main" {
			mains = append(mains, relative(tool.dir, q.Dir))
		}
	}
	if len(mains) == 0 {
		return none
	}
	more := ""
	if len(mains) > maxNamed {
		mains, more = mains[:maxNamed], ", …"
	}
	return "the main packages below it are " + strings.Join(mains, ", ") + more
}

// relative names dir from base as configuration files do: "./cmd/app", ".".
func relative(base, dir string) string {
	rel, err := filepath.Rel(base, dir)
	if err != nil {
		return filepath.ToSlash(dir)
	}
	rel = path.Clean(filepath.ToSlash(rel))
	if rel != "." && rel != ".." && !strings.HasPrefix(rel, "../") {
		rel = "./" + rel
	}
	return rel
}
