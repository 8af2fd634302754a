package dockerfile

import (
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// unknown stands in a value for a part that only a build or a run of the shell
// knows. No Dockerfile that is read has this byte.
const unknown = "\x00"

// maxValue is the longest value that is kept, in bytes: values that name
// themselves twice would double with every line.
const maxValue = 4096

func isKnown(s string) bool { return !strings.Contains(s, unknown) }

// bounded returns s, or unknown when it is longer than what is kept.
func bounded(s string) string {
	if len(s) > maxValue {
		return unknown
	}
	return s
}

// variable is a variable of a Dockerfile or a shell.
type variable struct {
	value string
	// unset is true for a build argument without a default.
	unset bool
	// exported is true when programs see it.
	exported bool
	// declared is the line of ARG or ENV, 0 for others; env is true for ENV.
	declared int
	env      bool
}

// scope holds variables; what it does not have, its parent may.
type scope struct {
	vars   map[string]variable
	parent *scope
}

func newScope(parent *scope) *scope { return &scope{vars: map[string]variable{}, parent: parent} }

func (s *scope) lookup(name string) (variable, bool) {
	for ; s != nil; s = s.parent {
		if v, ok := s.vars[name]; ok {
			return v, true
		}
	}
	return variable{}, false
}

// set gives name a value as an assignment of the shell does: it stays exported.
func (s *scope) set(name, value string, exported bool) {
	old, _ := s.lookup(name)
	old.value, old.unset = bounded(value), false
	old.exported = old.exported || exported
	s.vars[name] = old
}

// environ returns what a program sees as name; it is unknown for an argument
// without a default.
func (s *scope) environ(name string) string {
	switch v, ok := s.lookup(name); {
	case !ok || !v.exported:
		return ""
	case v.unset:
		return unknown
	default:
		return v.value
	}
}

// getter lets BuildKit's lexer read a scope, and remembers which arguments
// without a default it asked for.
type getter struct {
	scope *scope
	unset map[string]bool
}

func (g *getter) Get(name string) (string, bool) {
	v, ok := g.scope.lookup(name)
	if ok && v.unset {
		g.unset[name] = true
		return "", false
	}
	return v.value, ok
}

func (g *getter) Keys() []string {
	all := map[string]bool{}
	for s := g.scope; s != nil; s = s.parent {
		for name := range s.vars {
			all[name] = true
		}
	}
	return slices.Collect(maps.Keys(all))
}

// expand returns word as BuildKit expands it in a scope, unknown where it fails
// or needs an argument that has no default.
func (s *scope) expand(lex *shell.Lex, word string) string {
	if !strings.ContainsAny(word, `$\'"`) {
		return bounded(word)
	}
	g := &getter{scope: s, unset: map[string]bool{}}
	result, err := lex.ProcessWordWithMatches(word, g)
	if err != nil {
		return unknown
	}
	for name := range g.unset {
		if !strings.Contains(word, "${"+name+":") && !strings.Contains(word, "${"+name+"-") {
			return unknown
		}
	}
	return bounded(result.Result)
}
