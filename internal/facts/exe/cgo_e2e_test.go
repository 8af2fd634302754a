//go:build e2e

package exe

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
)

// These programs need a C compiler, for glibc and for musl.
var (
	cgo       = []string{"CGO_ENABLED=1"}
	cgoMusl   = []string{"CGO_ENABLED=1", "CC=musl-gcc"}
	glibcProg = build{program: "cgo", env: cgo}
	plugins   = build{program: "plugin", env: cgo}
	shared    = build{program: "cgo", env: cgo, args: []string{"-buildmode=c-shared", "-ldflags=-s -w"}}
	pieExt    = build{program: "cgo", env: cgo, args: []string{"-buildmode=pie", "-ldflags=-linkmode=external -s -w"}}
	staticPIE = build{program: "cgo", env: cgo, args: []string{"-buildmode=pie", "-ldflags=-linkmode=external -extldflags=-static-pie"}}
	muslProg  = build{program: "cgo", env: cgoMusl, args: []string{"-ldflags=-linkmode=external"}}
	muslStat  = build{program: "cgo", env: cgoMusl, args: []string{"-ldflags=-linkmode=external -extldflags=-static"}}
)

func TestLinkWithC(t *testing.T) {
	const gnuLoader, muslLoader = "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"
	for _, c := range []struct {
		build
		mode, interp, libc, caps string
		program                  bool
	}{
		{glibcProg, api.LinkDynamic, gnuLoader, api.LibcGNU, "cgo", true},
		{plugins, api.LinkDynamic, gnuLoader, api.LibcGNU, "cgo plugin", true},
		{shared, api.LinkLibrary, "", api.LibcGNU, "cgo", false},
		{pieExt, api.LinkDynamic, gnuLoader, api.LibcGNU, "cgo", true},
		{staticPIE, api.LinkStaticPIE, "", api.LibcNone, "cgo", true},
		{muslProg, api.LinkDynamic, muslLoader, api.LibcMusl, "cgo", true},
		{muslStat, api.LinkStatic, "", api.LibcNone, "cgo", true},
	} {
		obj := c.measure(t)
		f := obj.Facts
		got := []any{f.Link.Mode, f.Link.Interpreter, f.Link.Libc, strings.Join(f.Capabilities, " "), obj.Program}
		if diff := cmp.Diff([]any{c.mode, c.interp, c.libc, c.caps, c.program}, got); diff != "" {
			t.Errorf("%v (-want +got)\n%s", c.build, diff)
		}
		if f.Go == nil || f.Go.Main != "example.com/capabilities/"+c.build.program || len(f.Notes) != 0 {
			t.Errorf("%v: Go facts %+v, notes %q", c.build, f.Go, f.Notes)
		}
	}
}

// The oracle of the dynamic section is readelf, on programs of ours and on the
// machine's own libraries.
func TestDynamicAgainstReadelf(t *testing.T) {
	files := []string{glibcProg.path(t), shared.path(t), pieExt.path(t), muslProg.path(t)}
	for _, pattern := range []string{"libc.so.6", "libm.so.6", "libstdc++.so.6", "ld-linux-x86-64.so.2"} {
		found, err := filepath.Glob("/lib/x86_64-linux-gnu/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		obj, err := measureBytes(content, Options{Links: true})
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		checkDynamic(t, file, obj.ELF.Dynamic)
	}
}

var (
	elfNeeded  = regexp.MustCompile(`\(NEEDED\).*\[(.*)\]`)
	elfDefines = regexp.MustCompile(`Rev: 1  Flags: (?:none|WEAK) .*Cnt: \d+  Name: (\S+)`)
	elfRequire = regexp.MustCompile(`0x[0-9a-f]+:   Name: (\S+)  Flags:`)
)

func checkDynamic(t *testing.T, file string, got *Dynamic) {
	t.Helper()
	dynamic, versions := readelf(t, "-d", file), readelf(t, "-V", file)
	if diff := cmp.Diff(submatches(elfNeeded, dynamic), got.Needed); diff != "" {
		t.Errorf("%s: needed (-readelf +got)\n%s", file, diff)
	}
	var names []string
	for _, r := range got.Requires {
		for _, v := range r.Versions {
			names = append(names, v.Name)
		}
	}
	if diff := cmp.Diff(submatches(elfRequire, versions), names); diff != "" {
		t.Errorf("%s: versions required (-readelf +got)\n%s", file, diff)
	}
	if diff := cmp.Diff(submatches(elfDefines, versions), got.Defines); diff != "" {
		t.Errorf("%s: versions defined (-readelf +got)\n%s", file, diff)
	}
	exports, imports := readSymbols(t, file)
	if diff := cmp.Diff(NewSymbolSet(exports), got.Exports); diff != "" {
		t.Errorf("%s: %d exports, readelf has %d", file, len(got.Exports), len(exports))
	}
	// What no relocation refers to is no import; nothing else may be missing.
	relocated := readelf(t, "-r", file)
	var want, have []string
	for _, name := range imports {
		if regexp.MustCompile(` ` + regexp.QuoteMeta(name) + `(@| |$)`).MatchString(relocated) {
			want = append(want, name)
		}
	}
	for _, i := range got.Imports {
		if !got.Exports.Has(i.Name) { // a copied symbol is both
			have = append(have, i.Name)
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if diff := cmp.Diff(slices.Compact(want), slices.Compact(have)); diff != "" {
		t.Errorf("%s: imports (-readelf +got)\n%s", file, diff)
	}
}

func submatches(re *regexp.Regexp, text string) (names []string) {
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// readSymbols returns the names of the global dynamic symbols that are defined,
// and of those that are not.
func readSymbols(t *testing.T, file string) (defined, undefined []string) {
	t.Helper()
	for line := range strings.Lines(readelf(t, "--dyn-syms", file)) {
		f := strings.Fields(line) // number, value, size, type, bind, visibility, section, name
		if len(f) < 8 || f[4] == "LOCAL" || f[0] == "Num:" {
			continue
		}
		name, _, _ := strings.Cut(f[7], "@")
		switch {
		case f[6] == "UND":
			undefined = append(undefined, name)
		case strings.Trim(f[1], "0") != "" || f[6] == "ABS" || f[3] == "TLS":
			defined = append(defined, name)
		}
	}
	return defined, undefined
}

func readelf(t *testing.T, flag, file string) string {
	t.Helper()
	cmd := exec.Command("readelf", "-W", flag, file)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("readelf %s %s: %v\n%s", flag, file, err, stderr.Bytes())
	}
	return string(out)
}
