package exe

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// capabilitiesOf says of every program in testdata/capabilities that is built
// without cgo exactly what is linked into it.
var capabilitiesOf = map[string]string{
	"none":                   "",
	"fmtprint":               "reflect-unsafe-pointer",
	"chroot":                 "chroot",
	"embedded-ca-roots":      "embedded-ca-roots net reflect-unsafe-pointer system-ca-roots tls",
	"exec":                   "exec",
	"execself":               "exec",
	"expvar":                 "expvar http-server http2 net net-listen reflect-unsafe-pointer system-ca-roots tls",
	"grpc":                   "grpc http2 net reflect-method reflect-unsafe-addr reflect-unsafe-pointer system-ca-roots",
	"http-client":            "http-client http2 net reflect-unsafe-pointer system-ca-roots tls",
	"http-server":            "http-server http2 net net-listen reflect-unsafe-pointer system-ca-roots tls",
	"mmap":                   "mmap",
	"xmmap":                  "mmap",
	"mount":                  "mount",
	"namespaces":             "namespaces",
	"net":                    "net",
	"net-listen":             "net net-listen",
	"plugin":                 "", // the stub of programs without cgo
	"pprof":                  "http-server http2 net net-listen pprof reflect-unsafe-pointer system-ca-roots tls",
	"ptrace":                 "ptrace",
	"reflect-method":         "reflect-method reflect-unsafe-addr reflect-unsafe-pointer",
	"reflect-unsafe-addr":    "reflect-unsafe-addr",
	"reflect-unsafe-pointer": "reflect-unsafe-pointer",
	"setuid":                 "setuid",
	"sql":                    "reflect-unsafe-pointer sql",
	"system-ca-roots":        "reflect-unsafe-pointer system-ca-roots",
	"thread-lock":            "thread-lock",
	"timezone":               "timezone",
	"tls":                    "net reflect-unsafe-pointer system-ca-roots tls",
	"tzdata":                 "timezone tzdata",
}

// All are stripped, since that is the harder case; other builds are tested below.
func TestCapabilities(t *testing.T) {
	dir := t.TempDir() + string(filepath.Separator)
	goCommand(t, "testdata/capabilities", nil, "build", "-ldflags=-s -w", "-o", dir, "./...")
	for program, want := range capabilitiesOf {
		content, err := os.ReadFile(dir + program)
		if err != nil {
			t.Fatal(err)
		}
		obj, err := measureBytes(content, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(obj.Facts.Capabilities, " "); got != want {
			t.Errorf("%s: capabilities %q, want %q", program, got, want)
		}
	}
}

// Every capability has a program that shows it, and programs that do not.
func TestCapabilitiesAllTested(t *testing.T) {
	shown := slices.Clone(cgoPrograms)
	for _, names := range capabilitiesOf {
		shown = append(shown, strings.Fields(names)...)
	}
	for _, c := range Capabilities {
		if !slices.Contains(shown, c.Name) {
			t.Errorf("capability %s has no program that shows it", c.Name)
		}
	}
}

// cgoPrograms are the programs that only the end-to-end tests can build.
var cgoPrograms = []string{"cgo", "plugin"}

func TestCapabilitiesOfEveryBuild(t *testing.T) {
	for _, b := range allBuilds {
		want := capabilitiesOf[b.program]
		if got := strings.Join(b.measure(t).Facts.Capabilities, " "); got != want {
			t.Errorf("%v: capabilities %q, want %q", b, got, want)
		}
	}
}

func TestCapabilityTable(t *testing.T) {
	if !slices.IsSortedFunc(Capabilities, func(a, b Capability) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the table is not sorted")
	}
	if len(Capabilities) > 64 {
		t.Error("the matcher has one bit for each of up to 64 capabilities")
	}
	text := CapabilityTable()
	if got, want := strings.Count(text, "\n"), len(Capabilities)+2; got != want {
		t.Errorf("the Markdown has %d lines, want %d", got, want)
	}
	for _, c := range Capabilities {
		if c.Description == "" || c.BlindSpots == "" || len(c.Symbols) == 0 || !strings.Contains(text, "| `"+c.Name+"` |") {
			t.Errorf("entry %s is incomplete", c.Name)
		}
	}
}

func TestMatcher(t *testing.T) {
	names := "a\x00runtime.LockOSThread\x00runtime.LockOSThreads\x00xtime.LoadLocation\x00\x00" +
		strings.Repeat("long", 100) + "\x00plugin.lastmoduleinit\x00time.LoadLocation"
	want := []string{"plugin", "thread-lock"} // the last name has no end
	for size := 1; size < len(names); size++ {
		m := newMatcher()
		for piece := range slices.Chunk([]byte(names), size) {
			m.scan(piece)
		}
		if diff := cmp.Diff(want, m.found()); diff != "" {
			t.Fatalf("pieces of %d bytes (-want +got)\n%s", size, diff)
		}
	}
}
