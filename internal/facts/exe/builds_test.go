package exe

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// The programs are real ones: testdata/capabilities holds their sources, and
// each way to build one is built once for all tests.

var scratch string // the directory of everything built; TestMain removes it

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "exe-test-*"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(scratch)
		return m.Run()
	}())
}

// build is one way to build one program.
type build struct {
	program string
	env     []string
	args    []string
}

var (
	builtMu sync.Mutex
	built   = map[string]string{}
)

// path returns the built executable.
func (b build) path(t testing.TB) string {
	t.Helper()
	builtMu.Lock()
	defer builtMu.Unlock()
	key := fmt.Sprint(b)
	if p, ok := built[key]; ok {
		return p
	}
	p := filepath.Join(scratch, fmt.Sprintf("%d-%s", len(built), b.program))
	args := append([]string{"build", "-o", p}, b.args...)
	goCommand(t, "testdata/capabilities", b.env, append(args, "./"+b.program)...)
	built[key] = p
	return p
}

// goCommand runs the go command in dir, for linux/amd64 unless env says otherwise,
// and returns its output.
func goCommand(t testing.TB, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	cmd.Env = append(cmd.Env, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, stderr.Bytes())
	}
	return string(out)
}

// content returns the bytes of a built program.
func (b build) content(t testing.TB) []byte {
	t.Helper()
	content, err := os.ReadFile(b.path(t))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// measureBytes measures content as a file.
func measureBytes(content []byte, opt Options) (*Object, error) {
	return Measure(bytes.NewReader(content), int64(len(content)), opt)
}

// measure measures a built program and fails the test when it cannot.
func (b build) measure(t testing.TB) *Object {
	t.Helper()
	obj, err := measureBytes(b.content(t), Options{Links: true})
	if err != nil {
		t.Fatalf("%v: %v", b, err)
	}
	return obj
}

// The builds that several tests share. withDep needs golang.org/x/sys.
var (
	withDep  = build{program: "xmmap"}
	stripped = build{program: "xmmap", args: []string{"-ldflags=-s -w"}}
	pie      = build{program: "xmmap", args: []string{"-buildmode=pie"}}
	pieStrip = build{program: "xmmap", args: []string{"-buildmode=pie", "-ldflags=-s -w"}}
	trimmed  = build{program: "xmmap", args: []string{"-trimpath"}}
	v3       = build{program: "thread-lock", env: []string{"GOAMD64=v3", "GOEXPERIMENT=nodwarf5", "GOFIPS140=v1.0.0"}}
	crossed  = []build{
		{program: "thread-lock", env: []string{"GOARCH=arm64"}},
		{program: "thread-lock", env: []string{"GOARCH=arm", "GOARM=6"}},
		{program: "thread-lock", env: []string{"GOARCH=386"}},
		{program: "thread-lock", env: []string{"GOARCH=s390x"}},
		{program: "thread-lock", env: []string{"GOARCH=mips"}},
		{program: "thread-lock", env: []string{"GOARCH=mips64le"}},
		{program: "thread-lock", env: []string{"GOOS=freebsd"}},
		{program: "thread-lock", env: []string{"GOOS=darwin", "GOARCH=arm64"}, args: []string{"-ldflags=-s -w"}},
		{program: "thread-lock", env: []string{"GOOS=windows"}},
		{program: "thread-lock", env: []string{"GOOS=windows", "GOARCH=386"}, args: []string{"-ldflags=-s -w"}},
	}
	allBuilds = append([]build{withDep, stripped, pie, pieStrip, trimmed, v3}, crossed...)
)
