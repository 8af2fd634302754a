// Package start predicts whether a program will start in a root file system,
// without running anything: it follows execve(2) as the kernel does and then
// the dynamic loader of the C library that the program names.
//
// The rules it follows are written down where they are public: execve(2),
// ld.so(8) and the source of glibc's and musl's loaders, whose behaviour
// differs (see glibc.go and musl.go).
package start

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
)

// Options is what the machine that runs the program is like.
type Options struct {
	// CPULevel is the x86-64 level of the CPU, 1 to 4; 0 means that it is not
	// known, and nothing is said about it.
	CPULevel int
}

// Check returns what speaks against s starting, in the order in which the
// kernel and the loader would stumble over it, and then warnings about what it
// will miss once it runs. There is no finding of severity deny when it starts.
//
// A subject without a Root gets the findings that its executable alone allows.
func Check(s *facts.Subject, opt Options) []api.Finding {
	c := &check{subject: s, opt: opt}
	if s.Root == nil {
		for i := range s.Files {
			c.cpuLevel(name(s.Files[i].Path, s.Ref), goLevel(&s.Files[i]))
		}
		return c.findings
	}
	if c.exec() {
		c.surroundings()
	}
	return c.findings
}

// check is one prediction under way.
type check struct {
	subject  *facts.Subject
	opt      Options
	findings []api.Finding
}

// report adds a finding of the rule id about the file at path. The message
// names the values; an empty hint means the rule's own.
func (c *check) report(id, path, hint, format string, args ...any) {
	rule := Rules[slices.IndexFunc(Rules, func(r Rule) bool { return r.ID == id })]
	if hint == "" {
		hint = rule.Hint
	}
	c.findings = append(c.findings, api.Finding{
		Rule:     id,
		Severity: rule.Severity,
		Path:     path,
		Message:  fmt.Sprintf(format, args...),
		Hint:     hint,
	})
}

// denied reports whether something found so far keeps the program from starting.
func (c *check) denied() bool {
	return slices.ContainsFunc(c.findings, func(f api.Finding) bool { return f.Severity == api.Deny })
}

// cpuLevel compares the x86-64 level that the file at path needs with the CPU's.
func (c *check) cpuLevel(path string, need int) {
	if c.opt.CPULevel != 0 && need > c.opt.CPULevel {
		c.report(CPULevel, path, "", "%s needs an x86-64-v%d CPU; the target is x86-64-v%d", path, need, c.opt.CPULevel)
	}
}

// goLevel is the x86-64 level that the Go runtime in a file insists on (GOAMD64),
// 0 when there is none.
func goLevel(f *api.Facts) int {
	level, err := strconv.Atoi(strings.TrimPrefix(f.Platform.Level, "v"))
	if err != nil || f.Platform.Arch != "amd64" {
		return 0
	}
	return level
}

// name is how a file is called in a message.
func name(path, ref string) string {
	if path == "" {
		return ref
	}
	return path
}
