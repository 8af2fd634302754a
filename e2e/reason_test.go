//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
)

// started is what every program prints when it really runs.
const started = "started\n"

// reasons are the rules that foretell a program that does not start, except for
// CPULevel, which a fast machine knows no example of.
var reasons = []string{
	start.EntrypointMissing,
	start.UserUnknown,
	start.NotExecutable,
	start.ExecFormat,
	start.Arch,
	start.ScriptInterpreterMissing,
	start.InterpreterMissing,
	start.InterpreterInvalid,
	start.LibraryMissing,
	start.LibraryInvalid,
	start.SymbolVersion,
	start.SymbolMissing,
}

// loaderMessages says which rule should foretell what the loaders of glibc and
// musl, the Go runtime or env(1) complain of.
var loaderMessages = []struct {
	rule    string
	message *regexp.Regexp
}{
	{start.LibraryMissing, regexp.MustCompile(`error while loading shared libraries: \S+: cannot open shared object file`)},
	{start.LibraryMissing, regexp.MustCompile(`Error loading shared library \S+: No such file or directory`)},
	{start.LibraryInvalid, regexp.MustCompile(`error while loading shared libraries: \S+: (file too short|invalid ELF header|wrong ELF class)`)},
	{start.LibraryInvalid, regexp.MustCompile(`Error loading shared library \S+: Exec format error`)},
	{start.CPULevel, regexp.MustCompile(`CPU ISA level is lower than required`)},
	{start.CPULevel, regexp.MustCompile(`This program can only be run on AMD64 processors with v\d microarchitecture support`)},
	{start.SymbolVersion, regexp.MustCompile("version `\\S+' not found \\(required by")},
	{start.SymbolMissing, regexp.MustCompile(`symbol lookup error: .*undefined symbol: `)},
	{start.SymbolMissing, regexp.MustCompile(`Error relocating \S+: \S+: symbol not found`)},
	{start.NotExecutable, regexp.MustCompile(`sh: .*cannot open \S+: Permission denied`)},
	{start.ScriptInterpreterMissing, regexp.MustCompile(`env: .*(No such file or directory|not found)`)},
}

// classify says which rule should have foretold how an executed program ended.
func classify(stdout, stderr string, err error) (outcome, error) {
	said := strings.TrimSpace(stderr)
	if stdout == started && err == nil {
		return outcome{Detail: said}, nil
	}
	for _, m := range loaderMessages {
		if line := m.message.FindString(stderr); line != "" {
			return outcome{m.rule, line}, nil
		}
	}
	return outcome{}, fmt.Errorf("the program ended in a way that no rule is about: %w\nstdout: %s\nstderr: %s", err, stdout, said)
}
