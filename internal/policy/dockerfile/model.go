package dockerfile

import (
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// file is a Dockerfile as far as the rules ask about it.
type file struct {
	stages []*stage
	// global holds the arguments before the first FROM.
	global  *scope
	globals []assignment
	lex     *shell.Lex
}

// final is the stage that is built when none is asked for.
func (f *file) final() *stage { return f.stages[len(f.stages)-1] }

// builds returns every go build of the file.
func (f *file) builds() iter.Seq[*build] {
	return func(yield func(*build) bool) {
		for _, st := range f.stages {
			for _, b := range st.builds {
				if !yield(b) {
					return
				}
			}
		}
	}
}

// stage is what begins with FROM. What it says of files, packages and settings
// is only what its own lines do; chain leads to what it is based on.
type stage struct {
	name string
	line int
	// platform is the value of --platform as written.
	platform string
	base     image
	// from is the stage that it is based on, nil where that is an image.
	from *stage
	// used is true when another stage is based on it or copies from it.
	used bool

	vars *scope
	dir  string
	user user
	// entrypoint and cmd are what a container starts; nil where nothing says so.
	entrypoint, cmd *process
	posix           bool // RUN is for a shell that is understood

	assignments []assignment
	runs        []run
	copies      []copied
	builds      []*build
	programs    []program
	packages    []string
	// recommends is true when packages were installed with what they recommend.
	recommends bool
	// opaque is true when a RUN did what is not understood.
	opaque bool
}

// user is whom a container runs as, by the line that says so, 0 for the base's.
type user struct {
	name  string
	known bool
	line  int
}

// process is an ENTRYPOINT or CMD.
type process struct {
	line int
	// args are the program and its arguments; where shell is true, the only one
	// is a script.
	args  []string
	shell bool
}

// assignment is a variable of ARG or ENV.
type assignment struct {
	line        int
	name, value string
	// raw is the value as written; env is true for ENV.
	raw string
	env bool
	// empty is true for an ARG without a value.
	empty bool
}

// run is a RUN.
type run struct {
	line     int
	text     string
	commands []command
	// buildCache and modCache are true where a cache mount keeps the go build
	// cache and the modules.
	buildCache, modCache bool
}

// copied is a COPY or ADD.
type copied struct {
	line    int
	sources []string
	dest    string
	add     bool
	// checked is true for ADD with a checksum.
	checked bool
	// from is the stage it copies from; other is true where that is an image or
	// another context.
	from  *stage
	other bool
	// programs is true where every source is the file of a program that was built.
	programs bool
}

// chain returns st and the stages that it is based on.
func (st *stage) chain() iter.Seq[*stage] {
	return func(yield func(*stage) bool) {
		for ; st != nil && yield(st); st = st.from {
		}
	}
}

// any reports whether a stage of st's chain is as asked.
func (st *stage) any(is func(*stage) bool) bool {
	for s := range st.chain() {
		if is(s) {
			return true
		}
	}
	return false
}

func (st *stage) isOpaque() bool { return st.any(func(s *stage) bool { return s.opaque }) }

// installs reports whether st installs a package whose name is as asked.
func (st *stage) installs(is func(name string) bool) bool {
	return st.any(func(s *stage) bool { return slices.ContainsFunc(s.packages, is) })
}

func (st *stage) hasCompiler() answer {
	compiler := func(name string) bool {
		return slices.Contains([]string{"gcc", "g++", "clang", "build-base", "build-essential", "alpine-sdk"}, name) ||
			strings.HasPrefix(name, "gcc-")
	}
	switch {
	case st.base.compiler == yes || st.installs(compiler):
		return yes
	case st.base.compiler == no && !st.isOpaque():
		return no
	}
	return perhaps
}

// assigns reports whether ENV or ARG of st's chain set one of the names.
func (st *stage) assigns(names ...string) bool {
	return st.any(func(s *stage) bool {
		return slices.ContainsFunc(s.assignments, func(a assignment) bool { return slices.Contains(names, a.name) })
	})
}

// copiesPath reports whether a COPY or ADD of st's chain names a path as asked,
// as its source or destination.
func (st *stage) copiesPath(is func(path string) bool) bool {
	return st.any(func(s *stage) bool {
		return slices.ContainsFunc(s.copies, func(c copied) bool { return is(c.dest) || slices.ContainsFunc(c.sources, is) })
	})
}

// runsText reports whether a RUN of st's chain holds one of the words.
func (st *stage) runsText(words ...string) bool {
	return st.any(func(s *stage) bool {
		return slices.ContainsFunc(s.runs, func(r run) bool {
			return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(r.text, w) })
		})
	})
}

// platformArgs are the arguments that BuildKit gives their values.
var platformArgs = []string{
	"TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT",
}

func newFile(stages []instructions.Stage, args []instructions.ArgCommand, escape rune) *file {
	f := &file{global: newScope(nil), lex: shell.NewLex(escape)}
	for _, name := range platformArgs {
		f.global.vars[name] = variable{value: unknown}
	}
	for i := range args {
		f.globals = append(f.globals, f.args(f.global, &args[i])...)
	}
	for i := range stages {
		f.addStage(&stages[i])
	}
	return f
}

func lineOf(location []parser.Range) int {
	if len(location) == 0 {
		return 0
	}
	return location[0].Start.Line
}

// args adds the variables of an ARG to vars.
func (f *file) args(vars *scope, cmd *instructions.ArgCommand) []assignment {
	line := lineOf(cmd.Location())
	var list []assignment
	for _, kv := range cmd.Args {
		v := variable{exported: true, declared: line}
		global, isGlobal := f.global.lookup(kv.Key)
		switch {
		case slices.Contains(platformArgs, kv.Key):
			v.value = unknown
		case kv.Value != nil:
			v.value = vars.expand(f.lex, *kv.Value)
		case isGlobal:
			v.value, v.unset = global.value, global.unset
		default:
			v.unset = true
		}
		if old, ok := vars.lookup(kv.Key); !ok || !old.env { // ENV wins over ARG
			vars.vars[kv.Key] = v
		}
		list = append(list, assignment{line: line, name: kv.Key, value: v.value, raw: kv.ValueString(), empty: kv.Value == nil})
	}
	return list
}

// find returns the stage that name names, by name or number, nil for none.
func (f *file) find(name string) *stage {
	for _, st := range slices.Backward(f.stages) {
		if st.name != "" && strings.EqualFold(st.name, name) {
			return st
		}
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < len(f.stages) {
		return f.stages[n]
	}
	return nil
}

func (f *file) addStage(in *instructions.Stage) {
	st := &stage{name: in.Name, line: lineOf(in.Location), platform: in.Platform, posix: true}
	ref := f.global.expand(f.lex, in.BaseName)
	if from := f.find(ref); from != nil && !isNumber(ref) {
		from.used = true
		st.from, st.base, st.dir, st.user, st.posix = from, from.base, from.dir, from.user, from.posix
		st.entrypoint, st.cmd = from.entrypoint, from.cmd
		st.vars = newScope(from.vars)
	} else {
		st.base, st.dir, st.vars = imageOf(ref), "/", newScope(nil)
		st.user = user{name: st.base.user, known: st.base.userKnown}
		if !st.base.known {
			st.dir = unknown
		}
		if st.base.golang {
			st.dir = "/go"
			st.vars.set("GOPATH", "/go", true)
		}
	}
	f.stages = append(f.stages, st)
	for _, cmd := range in.Commands {
		f.add(st, cmd)
	}
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// add takes over one instruction.
func (f *file) add(st *stage, cmd instructions.Command) {
	line := lineOf(cmd.Location())
	switch c := cmd.(type) {
	case *instructions.ArgCommand:
		st.assignments = append(st.assignments, f.args(st.vars, c)...)
	case *instructions.EnvCommand:
		f.env(st, c)
	case *instructions.WorkdirCommand:
		st.dir = join(st.dir, st.vars.expand(f.lex, c.Path))
	case *instructions.UserCommand:
		name := st.vars.expand(f.lex, c.User)
		st.user = user{name: name, known: isKnown(name), line: line}
	case *instructions.ShellCommand:
		st.posix = len(c.Shell) > 0 && slices.Contains([]string{"sh", "bash", "ash", "dash"}, path.Base(c.Shell[0]))
	case *instructions.EntrypointCommand:
		st.entrypoint, st.cmd = newProcess(line, c.ShellDependantCmdLine), nil
	case *instructions.CmdCommand:
		st.cmd = newProcess(line, c.ShellDependantCmdLine)
	case *instructions.CopyCommand:
		in := copied{line: line}
		if c.From != "" {
			in.from = f.find(c.From)
			in.other = in.from == nil
		}
		f.copy(st, in, c.SourcesAndDest)
	case *instructions.AddCommand:
		f.copy(st, copied{line: line, add: true, checked: c.Checksum != ""}, c.SourcesAndDest)
	case *instructions.RunCommand:
		f.run(st, c)
	}
}

func newProcess(line int, c instructions.ShellDependantCmdLine) *process {
	return &process{line: line, args: c.CmdLine, shell: c.PrependShell}
}

func (f *file) env(st *stage, c *instructions.EnvCommand) {
	line := lineOf(c.Location())
	before := newScope(st.vars) // an ENV sees none of its own variables
	for _, kv := range c.Env {
		value := st.vars.expand(f.lex, kv.Value)
		before.vars[kv.Key] = variable{value: value, exported: true, declared: line, env: true}
		st.assignments = append(st.assignments, assignment{line: line, name: kv.Key, value: value, raw: kv.Value, env: true})
	}
	for name, v := range before.vars {
		st.vars.vars[name] = v
	}
}

func (f *file) run(st *stage, c *instructions.RunCommand) {
	r := run{line: lineOf(c.Location()), text: scriptOf(c)}
	expand := func(word string) (string, error) { return st.vars.expand(f.lex, word), nil }
	if err := c.Expand(expand); err != nil {
		r.buildCache, r.modCache = true, true // not known
	}
	for _, m := range instructions.GetMounts(c) {
		if m.Type == instructions.MountTypeCache {
			r.buildCache = r.buildCache || covers(m.Target, "go-build", st.vars.environ("GOCACHE"))
			r.modCache = r.modCache || covers(m.Target, "/pkg/mod", st.vars.environ("GOMODCACHE"))
		}
	}
	understood := st.posix
	switch {
	case !c.PrependShell && len(c.CmdLine) > 0:
		r.commands = []command{{args: c.CmdLine, vars: newScope(st.vars), dir: st.dir}}
	case understood:
		r.commands, understood = commands(r.text, st.vars, st.dir, st.base.known)
	}
	st.opaque = st.opaque || !understood
	for _, cmd := range r.commands {
		st.take(cmd, r)
	}
	st.runs = append(st.runs, r)
}

// covers reports whether a mount at target keeps a cache: whose directory has
// the given name, is dir, or lies below.
func covers(target, name, dir string) bool {
	return !isKnown(target) || strings.Contains(target, name) || strings.HasSuffix(target, "/.cache") || target == "/go" ||
		dir != "" && path.Clean(target) == path.Clean(dir)
}

// scriptOf returns the script of a RUN with its here-documents.
func scriptOf(c *instructions.RunCommand) string {
	text := strings.Join(c.CmdLine, " ")
	if len(c.Files) == 1 {
		if doc := parser.MustParseHeredoc(text); doc != nil {
			return c.Files[0].Data
		}
	}
	for _, file := range c.Files {
		text += "\n" + file.Data + file.Name
	}
	return text
}
