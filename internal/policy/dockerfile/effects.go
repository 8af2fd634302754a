package dockerfile

import (
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// program is where the program of a go build lies within a stage: a file, or
// where exact is false some file in the directory path.
type program struct {
	path  string
	exact bool
	build *build
}

// maxPrograms bounds how many programs a stage keeps.
const maxPrograms = 256

func (st *stage) addProgram(p program) {
	if isKnown(p.path) && len(st.programs) < maxPrograms {
		st.programs = append(st.programs, p)
	}
}

// plain are the commands that neither install libraries or certificates nor
// change the user's rights.
var plain = []string{
	"[", ":", "adduser", "addgroup", "apk", "apt", "apt-get", "cat", "chmod", "chown", "cp", "date", "echo", "export", "find", "git", "go",
	"groupadd", "install", "ldd", "ln", "ls", "mkdir", "mv", "printf", "pwd", "rm", "set", "setcap", "sort", "strip",
	"test", "touch", "true", "uname", "upx", "useradd", "usermod", "update-ca-certificates", "xx-go", "xx-verify",
}

// take follows what a command does to the stage.
func (st *stage) take(c command, r run) {
	switch name := c.name(); {
	case installer(c) != "":
		st.install(c)
	case name == "go" && len(c.args) > 3 && c.args[1] == "env" && c.args[2] == "-w":
		for _, a := range c.args[3:] {
			if key, value, ok := strings.Cut(a, "="); ok && st.vars.environ(key) == "" {
				st.vars.set(key, value, true)
			}
		}
	case (name == "cp" || name == "mv" || name == "install") && len(c.args) >= 3:
		words := slices.DeleteFunc(slices.Clone(c.args[1:]), func(a string) bool { return strings.HasPrefix(a, "-") })
		if len(words) == 2 {
			st.place(st, join(c.dir, words[0]), join(c.dir, words[1]), strings.HasSuffix(words[1], "/"))
		}
	case !slices.Contains(plain, name):
		st.opaque = true
	}
	if b := newBuild(c, st, r.line, r.buildCache); b != nil {
		st.builds = append(st.builds, b)
		if b.output != unknown {
			st.addProgram(program{b.output, b.exact, b})
		}
	}
}

// installer returns the package manager that c installs packages with.
func installer(c command) string {
	name := c.name()
	switch {
	case name == "apk" && slices.Contains(c.args, "add"),
		slices.Contains([]string{"apt-get", "apt", "dnf", "microdnf", "yum", "tdnf", "zypper", "xx-apt", "xx-apt-get"}, name) &&
			slices.Contains(c.args, "install"),
		name == "xx-apk" && slices.Contains(c.args, "add"):
		return name
	}
	return ""
}

func (st *stage) install(c command) {
	quiet := false
	for _, a := range c.args[1:] {
		switch {
		case strings.HasPrefix(a, "-"):
			quiet = quiet || strings.Contains(strings.ToLower(a), "no-install-recommends")
		case !isKnown(a), strings.Contains(a, "/"), strings.Contains(a, "*"):
			st.opaque = true
		case a != "add" && a != "install":
			name := strings.FieldsFunc(a, func(r rune) bool { return strings.ContainsRune("=<>~@:", r) })
			st.packages = append(st.packages, strings.Join(name[:min(1, len(name))], ""))
		}
	}
	if installer(c) != "apk" && !quiet {
		st.recommends = true
	}
}

// copy takes over a COPY or ADD.
func (f *file) copy(st *stage, in copied, paths instructions.SourcesAndDest) {
	dest := st.vars.expand(f.lex, paths.DestPath)
	in.dest = join(st.dir, dest)
	isDir := strings.HasSuffix(dest, "/") || dest == "." || len(paths.SourcePaths) > 1
	if in.programs = in.from != nil; in.programs {
		in.from.used = true
	}
	for _, s := range paths.SourcePaths {
		source := st.vars.expand(f.lex, s)
		in.sources = append(in.sources, source)
		if in.from != nil {
			in.programs = st.place(in.from, join("/", source), in.dest, isDir) && in.programs
		}
	}
	st.copies = append(st.copies, in)
}

// place adds the programs of from that copying source to dest brings to st. It
// reports whether source is one program's file.
func (st *stage) place(from *stage, source, dest string, isDir bool) (isProgram bool) {
	if !isKnown(source) || !isKnown(dest) {
		return false
	}
	target := dest
	if isDir {
		target = path.Join(dest, path.Base(source))
	}
	for s := range from.chain() {
		for _, p := range slices.Clone(s.programs) {
			isProgram = isProgram || p.path == source && p.exact
			if p.path == source && p.exact || !p.exact && path.Dir(source) == p.path && path.Ext(source) == "" {
				st.addProgram(program{target, true, p.build})
			} else if rest, ok := below(p.path, source); ok {
				st.addProgram(program{path.Join(dest, rest), p.exact, p.build})
			} else if ok, err := path.Match(source, p.path); err == nil && ok {
				st.addProgram(program{path.Join(dest, path.Base(p.path)), p.exact, p.build})
			}
		}
	}
	return isProgram
}

// below returns name as seen from dir, when it is dir or lies in it.
func below(name, dir string) (string, bool) {
	if dir == "/" {
		return strings.TrimPrefix(name, "/"), true
	}
	rest, ok := strings.CutPrefix(name, dir)
	return strings.TrimPrefix(rest, "/"), ok && (rest == "" || rest[0] == '/')
}
