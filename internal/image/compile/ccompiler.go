package compile

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// orCGOOff is the way out that ends the hints about missing C compilers.
const orCGOOff = ", or build with --cgo off"

// compiler is a C compiler that was found, and how the go command is told of it.
type compiler struct {
	api.CCompiler
	// fields are the command and its arguments.
	fields []string
	env    []string
}

// nativeCompilers are what C compilers for the machine itself are called, the
// best first.
var nativeCompilers = []string{"gcc", "clang", "cc"}

// crossPrefixes are what Debian's C compilers for other machines begin with, by
// GOOS/GOARCH. They are in the packages gcc-PREFIX, "_" written as "-".
var crossPrefixes = map[string]string{
	"linux/386":      "i686-linux-gnu",
	"linux/amd64":    "x86_64-linux-gnu",
	"linux/arm":      "arm-linux-gnueabihf",
	"linux/arm64":    "aarch64-linux-gnu",
	"linux/loong64":  "loongarch64-linux-gnu",
	"linux/mips":     "mips-linux-gnu",
	"linux/mips64":   "mips64-linux-gnuabi64",
	"linux/mips64le": "mips64el-linux-gnuabi64",
	"linux/mipsle":   "mipsel-linux-gnu",
	"linux/ppc64":    "powerpc64-linux-gnu",
	"linux/ppc64le":  "powerpc64le-linux-gnu",
	"linux/riscv64":  "riscv64-linux-gnu",
	"linux/s390x":    "s390x-linux-gnu",
	"windows/386":    "i686-w64-mingw32",
	"windows/amd64":  "x86_64-w64-mingw32",
}

// debianPackage is the package with the C compiler of a prefix.
func debianPackage(prefix string) string {
	if machine, ok := strings.CutSuffix(prefix, "-w64-mingw32"); ok {
		return "gcc-mingw-w64-" + strings.ReplaceAll(machine, "_", "-")
	}
	return "gcc-" + strings.ReplaceAll(prefix, "_", "-")
}

// findCompiler returns the C compiler for the platform: the one that CC names,
// the machine's own, or Debian's for another machine.
func (b *build) findCompiler(ctx context.Context) (*compiler, error) {
	if cc := b.tool.settings["CC"]; b.tool.variable("CC") != "" || cc != "" && !slices.Contains(nativeCompilers, cc) {
		return b.namedCompiler(ctx, cc)
	}
	if b.platform.OS == b.tool.settings["GOHOSTOS"] && b.platform.Arch == b.tool.settings["GOHOSTARCH"] {
		for _, name := range nativeCompilers {
			if _, err := b.tool.lookPath(name); err == nil {
				return b.identify(ctx, []string{name}, "CC="+name)
			}
		}
		return nil, b.noCompiler("gcc", "libc6-dev")
	}
	prefix := crossPrefixes[b.platform.OS+"/"+b.platform.Arch]
	if prefix == "" {
		return nil, &fault.Error{Code: fault.Unsupported, Op: "find a C compiler for", Input: b.platform.String(),
			Err: errors.New("none is known"), Hint: "name one with CC" + orCGOOff}
	}
	if prefix == "arm-linux-gnueabihf" && strings.HasPrefix(b.tool.settings["GOARM"], "5") {
		prefix = "arm-linux-gnueabi" // GOARM=5 has no floating point unit
	}
	name := prefix + "-gcc"
	if _, err := b.tool.lookPath(name); err != nil {
		return nil, b.noCompiler(debianPackage(prefix), "")
	}
	env := []string{"CC=" + name}
	if b.tool.variable("CXX") == "" {
		env = append(env, "CXX="+prefix+"-g++")
	}
	return b.identify(ctx, []string{name}, env...)
}

func (b *build) namedCompiler(ctx context.Context, cc string) (*compiler, error) {
	fields := splitFields(cc)
	if len(fields) == 0 {
		return nil, &fault.Error{Code: fault.Usage, Op: "read CC", Input: cc, Err: errors.New("it names no command")}
	}
	if _, err := b.tool.lookPath(fields[0]); err != nil {
		return nil, &fault.Error{Code: fault.Unsupported, Op: "find the C compiler", Input: cc, Err: err,
			Hint: "install it, or unset CC" + orCGOOff}
	}
	return b.identify(ctx, fields, "CC="+cc)
}

func (b *build) noCompiler(packages ...string) error {
	install := strings.TrimSpace(strings.Join(packages, " "))
	return &fault.Error{Code: fault.Unsupported, Op: "find a C compiler for", Input: b.platform.String(),
		Err: errors.New("cgo needs one and there is none on PATH"), Hint: "install one (Debian: apt install " + install + "), name one with CC" + orCGOOff}
}

// identify asks a C compiler what it is.
func (b *build) identify(ctx context.Context, fields []string, env ...string) (*compiler, error) {
	c := &compiler{fields: fields, env: env}
	c.Command = strings.Join(fields, " ")
	version, err := b.ask(ctx, c, "--version")
	if err == nil {
		c.Target, err = b.ask(ctx, c, "-dumpmachine")
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.Unsupported, Op: "ask the C compiler", Input: c.Command, Err: err, Hint: "name another with CC" + orCGOOff}
	}
	c.Version, _, _ = strings.Cut(version, "\n")
	return c, nil
}

func (b *build) ask(ctx context.Context, c *compiler, question string) (string, error) {
	command, err := b.tool.lookPath(c.fields[0])
	if err != nil {
		return "", err
	}
	out, err := b.tool.exec(ctx, []string{"LC_ALL=C"}, command, append(slices.Clone(c.fields[1:]), question)...)
	return strings.TrimSpace(string(out)), err
}

// checkStatic returns an error unless c can link static-pie: that takes the
// static C library and its start file for such programs. A compiler that does
// not have a file answers with the bare name.
func (b *build) checkStatic(ctx context.Context, c *compiler) error {
	for _, file := range []string{"rcrt1.o", "libc.a"} {
		found, err := b.ask(ctx, c, "-print-file-name="+file)
		if err != nil || !filepath.IsAbs(found) {
			return &fault.Error{Code: fault.Unsupported, Op: "use", Input: c.Command, Err: fmt.Errorf("its static C library lacks %s", file),
				Hint: "install the static C library (Debian: apt install libc6-dev, with a cross compiler libc6-dev-ARCH-cross)"}
		}
	}
	return nil
}

// splitFields splits the value of CC as the go command does: fields may be
// quoted as a whole.
func splitFields(s string) []string {
	const space = " \t\r\n"
	var fields []string
	for s = strings.TrimLeft(s, space); s != ""; s = strings.TrimLeft(s, space) {
		if quote := s[:1]; quote == "'" || quote == `"` {
			field, rest, _ := strings.Cut(s[1:], quote)
			fields, s = append(fields, field), rest
			continue
		}
		end := strings.IndexAny(s, space)
		if end < 0 {
			end = len(s)
		}
		fields, s = append(fields, s[:end]), s[end:]
	}
	return fields
}
