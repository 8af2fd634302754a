package dockerfile

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// maxScript is the longest script of a RUN that is looked into, in bytes; it
// also bounds how deep the shell parser can recurse.
const maxScript = 64 << 10

// command is a simple command of a script.
type command struct {
	// args are its words; never empty.
	args []string
	// vars is what it sees.
	vars *scope
	// dir is where it runs.
	dir string
	// maybe is true where something decides at run time whether it runs.
	maybe bool
}

// name is the program's name without its directory.
func (c command) name() string { return path.Base(c.args[0]) }

// script is a shell script on its way.
type script struct {
	vars *scope
	dir  string
	// closed is true where variables that nothing declares are surely not set.
	closed   bool
	commands []command
}

// commands returns the simple commands of text in their order, and false when it
// is not understood.
func commands(text string, vars *scope, dir string, closed bool) ([]command, bool) {
	if len(text) > maxScript {
		return nil, false
	}
	tree, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, false
	}
	s := &script{vars: newScope(vars), dir: dir, closed: closed}
	s.statements(tree.Stmts, false)
	return s.commands, true
}

func (s *script) statements(list []*syntax.Stmt, maybe bool) {
	for _, stmt := range list {
		s.statement(stmt, maybe)
	}
}

func (s *script) statement(stmt *syntax.Stmt, maybe bool) {
	switch c := stmt.Cmd.(type) {
	case *syntax.CallExpr:
		s.call(c, maybe)
	case *syntax.DeclClause:
		for _, a := range c.Args {
			s.assign(a, c.Variant.Value == "export", maybe)
		}
	case *syntax.BinaryCmd:
		s.statement(c.X, maybe)
		s.statement(c.Y, maybe || c.Op == syntax.OrStmt || isTest(c.X.Cmd))
	case *syntax.TimeClause:
		if c.Stmt != nil {
			s.statement(c.Stmt, maybe)
		}
	case *syntax.Block:
		s.statements(c.Stmts, maybe)
	case *syntax.Subshell:
		outer, dir := s.vars, s.dir
		s.vars = newScope(outer)
		s.statements(c.Stmts, maybe)
		s.vars, s.dir = outer, dir
	case *syntax.IfClause:
		for ; c != nil; c = c.Else {
			s.statements(c.Cond, maybe)
			s.statements(c.Then, true)
		}
	case *syntax.WhileClause:
		s.statements(c.Cond, maybe)
		s.statements(c.Do, true)
	case *syntax.ForClause:
		if loop, ok := c.Loop.(*syntax.WordIter); ok {
			s.vars.set(loop.Name.Value, unknown, false)
		}
		s.statements(c.Do, true)
	case *syntax.CaseClause:
		for _, item := range c.Items {
			s.statements(item.Stmts, true)
		}
	}
}

// isTest reports whether a command only asks something.
func isTest(c syntax.Command) bool {
	switch c := c.(type) {
	case *syntax.TestClause:
		return true
	case *syntax.CallExpr:
		return len(c.Args) > 0 && slices.Contains([]string{"[", "test", "command", "which", "grep"}, c.Args[0].Lit())
	}
	return false
}

// assign gives a variable its value; a value that is perhaps given is unknown.
func (s *script) assign(a *syntax.Assign, exported, maybe bool) {
	if a.Name == nil {
		return
	}
	switch {
	case a.Naked:
		if v, ok := s.vars.lookup(a.Name.Value); ok && exported {
			s.vars.set(a.Name.Value, v.value, true)
		}
	case maybe || a.Append || a.Array != nil || a.Index != nil:
		s.vars.set(a.Name.Value, unknown, exported)
	default:
		s.vars.set(a.Name.Value, s.word(a.Value), exported)
	}
}

func (s *script) call(c *syntax.CallExpr, maybe bool) {
	if len(c.Args) == 0 {
		for _, a := range c.Assigns {
			s.assign(a, false, maybe)
		}
		return
	}
	var args []string
	for _, w := range c.Args {
		args = append(args, s.fields(w)...)
	}
	vars := newScope(s.vars)
	for _, a := range c.Assigns {
		if a.Name != nil {
			vars.set(a.Name.Value, s.word(a.Value), true)
		}
	}
	args = unwrap(args, vars)
	if len(args) == 0 {
		return
	}
	if args[0] == "cd" && len(args) == 2 {
		s.dir = join(s.dir, args[1])
		if maybe {
			s.dir = unknown
		}
		return
	}
	s.commands = append(s.commands, command{args: args, vars: vars, dir: s.dir, maybe: maybe})
}

// unwrap takes off the commands that only run another one, and gives vars what
// env assigns.
func unwrap(args []string, vars *scope) []string {
	for len(args) > 0 {
		switch args[0] {
		case "exec", "command", "nice", "sudo":
			args = args[1:]
		case "env", "/usr/bin/env":
			for args = args[1:]; len(args) > 0; args = args[1:] {
				name, value, ok := strings.Cut(args[0], "=")
				if !ok || name == "" {
					break
				}
				vars.set(name, value, true)
			}
		default:
			return args
		}
	}
	return args
}

// join returns name as seen from dir; unknown where either is.
func join(dir, name string) string {
	switch {
	case !isKnown(name):
		return unknown
	case path.IsAbs(name):
		return path.Clean(name)
	case !isKnown(dir):
		return unknown
	}
	return path.Join("/", dir, name)
}

// fields returns what a word becomes: one field, or those of a variable that is
// not quoted.
func (s *script) fields(w *syntax.Word) []string {
	if len(w.Parts) == 1 {
		if p, ok := w.Parts[0].(*syntax.ParamExp); ok {
			return strings.Fields(s.param(p))
		}
	}
	return []string{s.word(w)}
}

// word returns the value of a word without quotes, "" for none.
func (s *script) word(w *syntax.Word) string {
	if w == nil {
		return ""
	}
	return bounded(s.parts(w.Parts, false))
}

func (s *script) parts(parts []syntax.WordPart, quoted bool) string {
	var b strings.Builder
	for _, p := range parts {
		if b.Len() > maxValue {
			return unknown
		}
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(unescape(p.Value, quoted))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			b.WriteString(s.parts(p.Parts, true))
		case *syntax.ParamExp:
			b.WriteString(s.param(p))
		default:
			b.WriteString(unknown)
		}
	}
	return b.String()
}

// unescape takes the backslashes out of a literal; within double quotes only
// those before what has a meaning there.
func unescape(text string, quoted bool) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) && (!quoted || strings.IndexByte("$`\"\\\n", text[i+1]) >= 0) {
			i++
			if text[i] == '\n' {
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// param returns the value of $name, ${name}, ${name-word} and ${name:-word}.
func (s *script) param(p *syntax.ParamExp) string {
	if p.Excl || p.Length || p.Width || p.Index != nil || p.Slice != nil || p.Repl != nil || p.Names != 0 {
		return unknown
	}
	v, ok := s.vars.lookup(p.Param.Value)
	set := ok && !v.unset
	switch {
	case p.Exp == nil && set:
		return v.value
	case p.Exp == nil && !ok && s.closed && !isSpecial(p.Param.Value):
		return ""
	case p.Exp == nil:
		return unknown
	case p.Exp.Op != syntax.DefaultUnset && p.Exp.Op != syntax.DefaultUnsetOrNull:
		return unknown
	case !set && !ok && !s.closed:
		return unknown
	case !set || v.value == "" && p.Exp.Op == syntax.DefaultUnsetOrNull:
		return s.word(p.Exp.Word)
	}
	return v.value
}

// isSpecial reports whether the shell or the container runtime gives a variable
// its value.
func isSpecial(name string) bool {
	return len(name) == 1 && !isLetter(name[0]) ||
		slices.Contains([]string{"HOME", "HOSTNAME", "PATH", "PWD", "OLDPWD", "USER", "RANDOM", "UID", "EUID", "PPID"}, name)
}

func isLetter(c byte) bool { return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' }
