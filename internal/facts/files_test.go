package facts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// options returns what Open would hand to a source.
func options() Options { return Options{}.withDefaults() }

// goTool returns a Go executable that every machine with Go has.
func goTool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("gofmt")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// elfOfType is an ELF header with nothing behind it.
func elfOfType(typ string) string {
	return "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + typ + "\x00\x3e\x00" + strings.Repeat("\x00", 100)
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOpenFile(t *testing.T) {
	path := goTool(t)
	s, err := openFile(context.Background(), "ref", path, options())
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	f := s.Files[0]
	if want := "sha256:" + hex.EncodeToString(sum[:]); f.Digest != want {
		t.Errorf("digest is %s, want %s", f.Digest, want)
	}
	if f.Size != int64(len(content)) || f.Ref != "ref" || s.Ref != "ref" || f.Path != "" || f.Go.Version == "" {
		t.Errorf("wrong facts: %+v", f)
	}
	if s.Platform != f.Platform || s.Platform.Arch != runtime.GOARCH || s.Platform.OS != runtime.GOOS {
		t.Errorf("platform is %v", s.Platform)
	}
}

func TestOpenFileWithoutDigest(t *testing.T) {
	opt := options()
	opt.NoDigest = true
	s, err := openFile(context.Background(), "ref", goTool(t), opt)
	if err != nil || s.Files[0].Digest != "" {
		t.Errorf("got %+v, %v; want no digest", s, err)
	}
}

func TestOpenFileErrors(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	writeFile(t, text, "just some words")
	corrupt := filepath.Join(dir, "corrupt")
	writeFile(t, corrupt, elfOfType("\x02"))
	empty := filepath.Join(dir, "empty")
	writeFile(t, empty, "")
	small := options()
	small.Limits.File = 1000
	for _, c := range []struct {
		name, path string
		opt        Options
		code       fault.Code
		says       string
	}{
		{"missing", filepath.Join(dir, "none"), options(), fault.NotFound, "none"},
		{"directory", dir, options(), fault.Invalid, "not a regular file"},
		{"device", os.DevNull, options(), fault.Invalid, "not a regular file"},
		{"text", text, options(), fault.Invalid, "not an executable"},
		{"empty", empty, options(), fault.Invalid, "not an executable"},
		{"corrupt", corrupt, options(), fault.Invalid, "no program headers"},
		{"too large", goTool(t), small, fault.Limit, "the limit is 1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.path == os.DevNull && runtime.GOOS == "windows" {
				c.says = "" // NUL has a mode of its own there
			}
			_, err := openFile(context.Background(), "ref", c.path, c.opt)
			if fault.CodeOf(err) != c.code {
				t.Fatalf("error is %v with code %q, want %q", err, fault.CodeOf(err), c.code)
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("error is %q: want it to name %q and say %q", err, c.path, c.says)
			}
		})
	}
}

func TestOpenFileCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := openFile(ctx, "ref", goTool(t), options())
	if fault.CodeOf(err) != fault.Canceled {
		t.Errorf("error is %v, want canceled", err)
	}
}

// walk returns the paths and the errors of a walk, in order.
func walk(ctx context.Context, dir string, opt Options) (got []string) {
	for s, err := range walkTree(ctx, "tree", dir, opt) {
		if err != nil {
			rest, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "inspect "+dir), ":")
			got = append(got, string(fault.CodeOf(err))+" "+filepath.ToSlash(rest))
			continue
		}
		got = append(got, s.Files[0].Path)
	}
	return got
}

func TestWalkTree(t *testing.T) {
	dir := t.TempDir()
	tool := goTool(t)
	for _, name := range []string{"z", "b/one", "b/two", "a.b"} {
		copyFile(t, filepath.Join(dir, name), tool)
	}
	writeFile(t, filepath.Join(dir, "b/corrupt"), elfOfType("\x02"))
	writeFile(t, filepath.Join(dir, "b/notes.txt"), "just some words")
	writeFile(t, filepath.Join(dir, "b/object"), elfOfType("\x01"))
	if err := os.Link(filepath.Join(dir, "b/one"), filepath.Join(dir, "c-hard-link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("b", filepath.Join(dir, "d-symbolic-link")); err != nil {
		t.Fatal(err)
	}
	for _, jobs := range []int{1, 4} {
		opt := options()
		opt.Jobs = jobs
		got := walk(context.Background(), dir, opt)
		want := []string{"a.b", "invalid /b/corrupt", "b/one", "b/two", "z"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d jobs: (-want +got)\n%s", jobs, diff)
		}
	}
	count := 0
	for _, err := range walkTree(context.Background(), "tree", dir, options()) {
		if err != nil {
			t.Error(err)
		}
		count++
		break
	}
	if count != 1 {
		t.Errorf("%d subjects after the first was refused", count)
	}
}

// A packed executable may be a Go program: it is not passed over in silence.
func TestWalkTreePacked(t *testing.T) {
	elf := []byte(elfOfType("\x02") + "\x00\x00\x00\x00UPX!")
	elf[32], elf[54], elf[56] = 64, 56, 1 // one empty program header behind the header
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "packed"), string(elf))
	if diff := cmp.Diff([]string{"packed"}, walk(context.Background(), dir, options())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWalkTreeLimit(t *testing.T) {
	dir := t.TempDir()
	tool := goTool(t)
	for _, name := range []string{"a", "b", "c"} {
		copyFile(t, filepath.Join(dir, name), tool)
	}
	opt := options()
	opt.Limits.Entries = 2
	if diff := cmp.Diff([]string{"a", "b", "limit "}, walk(context.Background(), dir, opt)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	opt = options()
	opt.Limits.File = 100
	if diff := cmp.Diff([]string{"limit /a", "limit /b", "limit /c"}, walk(context.Background(), dir, opt)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestWalkTreeCanceled(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		copyFile(t, filepath.Join(dir, name), goTool(t))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	for _, err := range walkTree(ctx, "tree", dir, options()) {
		cancel()
		last = err
	}
	if fault.CodeOf(last) != fault.Canceled {
		t.Errorf("the last error is %v, want canceled", last)
	}
}

func TestWalkTreeMissing(t *testing.T) {
	got := walk(context.Background(), filepath.Join(t.TempDir(), "none"), options())
	if diff := cmp.Diff([]string{"not-found "}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A sparse file of 4 GiB costs what its first bytes cost.
func TestWalkTreeSparse(t *testing.T) {
	dir := t.TempDir()
	for name, head := range map[string]string{"zeros": "", "elf": "\x7fELF\x02\x01\x01"} {
		path := filepath.Join(dir, name)
		writeFile(t, path, head)
		if err := os.Truncate(path, 4<<30); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := walk(context.Background(), dir, options())
	runtime.ReadMemStats(&after)
	if diff := cmp.Diff([]string{"limit /elf"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 1<<20 {
		t.Errorf("allocated %d bytes", spent)
	}
}
