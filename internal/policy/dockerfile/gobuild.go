package dockerfile

import (
	"path"
	"slices"
	"strings"
)

// cgoState is whether a go build uses cgo.
type cgoState int

const (
	cgoUnknown cgoState = iota
	cgoOff
	// cgoDefault is on because nothing turns it off and a C compiler is there.
	cgoDefault
	cgoOn
)

// build is a go build or go install.
type build struct {
	stage *stage
	line  int
	vars  *scope
	// vague is true where it is not known whether it runs or with what flags.
	vague bool
	// cross is true where a helper (xx-go) chooses the target.
	cross bool
	cgo   cgoState
	// goos and goarch are as the go command sees them; empty means the builder's own.
	goos, goarch string
	tags         []string
	ldflags      []string
	mode         string
	trimpath     bool
	// cached is true where a cache mount keeps the go build cache.
	cached bool
	// tool is true for a module of others at a version, PACKAGE@VERSION.
	tool bool
	// output is the program's path, or where exact is false the directory it lies in.
	output string
	exact  bool
}

// valueFlags are the flags of go build that take the next word as their value.
var valueFlags = []string{
	"o", "tags", "ldflags", "gcflags", "asmflags", "gccgoflags", "mod", "modfile", "p", "pkgdir", "buildmode",
	"compiler", "installsuffix", "overlay", "pgo", "toolexec", "C", "covermode", "coverpkg",
}

// goCommand returns what follows the name of the go command in c and whether a
// helper for cross-compilation stands in for it; nil for another command.
func goCommand(c command) (args []string, cross bool) {
	switch c.name() {
	case "go", "go.exe":
		return c.args[1:], false
	case "xx-go":
		return c.args[1:], true
	}
	return nil, false
}

// newBuild returns the build that c is, nil when it is none that makes a program.
func newBuild(c command, st *stage, line int, cached bool) *build {
	args, cross := goCommand(c)
	if len(args) > 1 && args[0] == "-C" {
		c.dir = join(c.dir, args[1])
		args = args[2:]
	}
	if len(args) == 0 || args[0] != "build" && args[0] != "install" {
		return nil
	}
	b := &build{stage: st, line: line, vars: c.vars, vague: c.maybe, cross: cross, cached: cached,
		goos: c.vars.environ("GOOS"), goarch: c.vars.environ("GOARCH")}
	goflags := c.vars.environ("GOFLAGS")
	b.vague = b.vague || !isKnown(goflags)
	output := ""
	flag := func(name, value string) {
		switch name {
		case "o":
			output = value
		case "C":
			c.dir = join(c.dir, value)
		default:
			b.flag(name, value)
		}
	}
	parseFlags(strings.Fields(goflags), flag)
	packages, ok := parseFlags(args[1:], flag)
	b.vague = b.vague || !ok
	b.tool = slices.ContainsFunc(packages, func(p string) bool { return strings.Contains(p, "@") })
	b.cgo = b.decideCGO()
	b.place(args[0], output, c.dir, packages)
	return b
}

// parseFlags calls flag for every flag and returns what follows them; false when
// a word is not known.
func parseFlags(args []string, flag func(name, value string)) (rest []string, ok bool) {
	for len(args) > 0 {
		arg := args[0]
		if arg == unknown {
			return nil, false
		}
		if !strings.HasPrefix(arg, "-") {
			return args, true
		}
		args = args[1:]
		name, value, assigned := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !assigned && slices.Contains(valueFlags, name) {
			if len(args) == 0 {
				return nil, false
			}
			value, args = args[0], args[1:]
		}
		flag(name, value)
	}
	return nil, true
}

// flag takes over a flag of the go command.
func (b *build) flag(name, value string) {
	switch name {
	case "tags":
		b.tags = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
	case "ldflags":
		if _, flags, ok := strings.Cut(value, "="); ok && !strings.HasPrefix(value, "-") {
			value = flags // pattern=flags
		}
		b.ldflags = splitQuoted(value)
	case "buildmode":
		b.mode = value
	case "trimpath":
		b.trimpath = value != "false"
	}
	// What only fills a -X is not of interest; a whole flag is.
	if name == "tags" && !isKnown(value) || name == "buildmode" && !isKnown(value) || name == "ldflags" && hidesFlag(b.ldflags) {
		b.vague = true
	}
}

// hidesFlag reports whether a linker flag itself is unknown.
func hidesFlag(flags []string) bool {
	for i, f := range flags {
		value := i > 0 && flags[i-1] == "-X" || strings.HasPrefix(f, "-X=")
		if !value && !isKnown(f) {
			return true
		}
	}
	return false
}

// splitQuoted splits s at white space; a field that begins with a quote ends
// with it, as in the go command's own flags.
func splitQuoted(s string) []string {
	var fields []string
	for s = strings.TrimLeft(s, " \t\n"); s != ""; s = strings.TrimLeft(s, " \t\n") {
		if quote := s[0]; quote == '"' || quote == '\'' {
			field, rest, _ := strings.Cut(s[1:], string(quote))
			fields, s = append(fields, field), rest
			continue
		}
		end := strings.IndexAny(s, " \t\n")
		if end < 0 {
			end = len(s)
		}
		fields, s = append(fields, s[:end]), s[end:]
	}
	return fields
}

// decideCGO follows the go command: CGO_ENABLED decides, and without it cgo is
// on where the target is the machine's own and a C compiler is there.
func (b *build) decideCGO() cgoState {
	switch v := b.vars.environ("CGO_ENABLED"); {
	case v == "0":
		return cgoOff
	case v == "1":
		return cgoOn
	case !isKnown(v):
		return cgoUnknown
	}
	native := b.goarch == "" || b.goarch == "amd64" || !isKnown(b.goarch)
	linux := b.goos == "" || b.goos == "linux" || !isKnown(b.goos)
	switch {
	case b.cross || b.stage.opaque || !native || !linux:
		return cgoUnknown
	case b.stage.hasCompiler() == yes:
		return cgoDefault
	case b.stage.hasCompiler() == no && b.stage.base.goAtLeast(1, 20):
		return cgoOff // since Go 1.20
	}
	return cgoUnknown
}

// place finds out where the program is put.
func (b *build) place(verb, output, dir string, packages []string) {
	switch {
	case verb == "install":
		b.output = join("/", b.bin())
	case output == "" && len(packages) > 1, output == "" && len(packages) == 1 && strings.HasSuffix(packages[0], "..."):
		b.output = unknown // of several packages, or perhaps several, nothing is kept
		return
	case output == "":
		b.output = dir
	case strings.HasSuffix(output, "/") || output == ".":
		b.output = join(dir, output)
	default:
		b.output, b.exact = join(dir, output), true
		return
	}
	if len(packages) == 1 && isKnown(b.output) {
		if name := programName(packages[0]); name != "" {
			b.output, b.exact = path.Join(b.output, name), true
		}
	}
}

// bin is where go install puts programs.
func (b *build) bin() string {
	if dir := b.vars.environ("GOBIN"); dir != "" {
		return dir
	}
	if dir := b.vars.environ("GOPATH"); dir != "" {
		return path.Join(dir, "bin")
	}
	return unknown
}

// programName is the name of what a package argument becomes, "" when the
// argument does not tell.
func programName(arg string) string {
	arg, _, _ = strings.Cut(arg, "@")
	name := path.Base(arg)
	switch {
	case !isKnown(arg), name == ".", name == "..", name == "...", name == "/":
		return ""
	case strings.HasSuffix(name, ".go"):
		return strings.TrimSuffix(name, ".go")
	case len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "":
		return path.Base(path.Dir(arg)) // a major version
	}
	return name
}

func (b *build) hasTag(tag string) bool { return slices.Contains(b.tags, tag) }

// ldflag returns the value of a linker flag that takes one.
func (b *build) ldflag(name string) string {
	value := ""
	for i, f := range b.ldflags {
		switch n, v, ok := strings.Cut(strings.TrimLeft(f, "-"), "="); {
		case !strings.HasPrefix(f, "-") || n != name:
		case ok:
			value = v
		case i+1 < len(b.ldflags):
			value = b.ldflags[i+1]
		}
	}
	return value
}

// external reports whether the C compiler links.
func (b *build) external() bool { return b.ldflag("linkmode") == "external" }

// asksStatic reports whether the C linker is told to link statically.
func (b *build) asksStatic() bool { return strings.Contains(b.ldflag("extldflags"), "-static") }

// plainCompiler reports whether the builder's own C compiler is used, whose C
// library is known.
func (b *build) plainCompiler() bool {
	cc := b.vars.environ("CC")
	return slices.Contains([]string{"", "gcc", "cc", "clang"}, cc)
}

// dynamic reports whether the program surely needs the C library of its builder:
// cgo is on, and nothing makes it static. A program that is built with cgo on by
// default needs it because of the packages net and os/user, unless tags take
// these out.
func (b *build) dynamic() bool {
	switch {
	case b.vague || b.cross || !b.plainCompiler() || b.asksStatic():
		return false
	case b.mode != "" && b.mode != "default" && b.mode != "exe" && b.mode != "pie":
		return false
	}
	return b.cgo == cgoOn || b.cgo == cgoDefault && !b.hasTag("netgo") && !b.hasTag("osusergo")
}
