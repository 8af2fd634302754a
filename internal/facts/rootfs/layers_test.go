package rootfs

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// op is one entry of a layer tar.
type op struct {
	kind    byte // a tar type flag; 0 is a regular file
	name    string
	mode    int64
	uid     int
	content string
	target  string
}

// The kinds of op by name.
const (
	dirOp     = tar.TypeDir
	symlinkOp = tar.TypeSymlink
	linkOp    = tar.TypeLink
	fifoOp    = tar.TypeFifo
)

func (o op) header() *tar.Header {
	h := &tar.Header{Typeflag: o.kind, Name: o.name, Mode: o.mode, Uid: o.uid, Linkname: o.target}
	if o.kind == 0 {
		h.Typeflag, h.Size = tar.TypeReg, int64(len(o.content))
	}
	return h
}

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// tarOf returns the layer tar of ops.
func tarOf(t failer, ops []op) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, o := range ops {
		if err := w.WriteHeader(o.header()); err != nil {
			t.Fatalf("%s: %v", o.name, err)
		}
		if _, err := io.WriteString(w, o.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// limits are options that nothing in the tests is over.
func limits() LayerOptions {
	return LayerOptions{MaxFile: 64 << 20, Budget: NewBudget(1<<30, 100_000), Buffers: NewBuffers()}
}

// layerOf reads the layer of ops, by way of its cached form.
func layerOf(t testing.TB, ops []op) *Layer {
	t.Helper()
	layer, err := ReadLayer(context.Background(), bytes.NewReader(tarOf(t, ops)), limits())
	if err != nil {
		t.Fatal(err)
	}
	return throughJSON(t, layer)
}

func throughJSON(t failer, layer *Layer) *Layer {
	t.Helper()
	data, err := json.Marshal(layer)
	if err != nil {
		t.Fatal(err)
	}
	restored := &Layer{}
	if err := json.Unmarshal(data, restored); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return restored
}

func stackOf(t testing.TB, layers ...[]op) *Tree {
	t.Helper()
	var read []*Layer
	for _, ops := range layers {
		read = append(read, layerOf(t, ops))
	}
	tree, err := Stack(read)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// listing is what a tree holds, one line a path: the type, the mode and, of a
// link or a kept file, where it leads or what is in it.
func listing(t testing.TB, fsys FS) string {
	t.Helper()
	var b strings.Builder
	var list func(dir string)
	list = func(dir string) {
		names, err := fsys.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			at := strings.TrimSuffix(dir, "/") + "/" + name
			node, err := fsys.Lstat(at)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString(at + " " + node.Mode.String())
			if node.Target != "" {
				b.WriteString(" -> " + node.Target)
			}
			if node.Mode.IsRegular() {
				f, err := fsys.File(at)
				if err != nil {
					t.Fatal(err)
				}
				b.WriteString(strings.TrimRight(" "+string(f.Head), " \n"))
			}
			b.WriteString("\n")
			if node.Mode.IsDir() {
				list(at)
			}
		}
	}
	list("/")
	return b.String()
}

func TestStack(t *testing.T) {
	file := func(name string) op { return op{name: name, mode: 0o755, content: name} }
	for _, c := range []struct {
		name   string
		layers [][]op
		want   string
	}{
		{"implied directories", [][]op{{file("a/b/f")}},
			"/a drwxr-xr-x\n/a/b drwxr-xr-x\n/a/b/f -rwxr-xr-x a/b/f\n"},
		{"attributes of the lower layer stay below an implied directory",
			[][]op{{{kind: dirOp, name: "tmp/", mode: 0o1777}}, {file("tmp/f")}},
			"/tmp dtrwxrwxrwx\n/tmp/f -rwxr-xr-x tmp/f\n"},
		{"a named directory brings its own attributes",
			[][]op{{{kind: dirOp, name: "d", mode: 0o700}, file("d/f")}, {{kind: dirOp, name: "d", mode: 0o750}}},
			"/d drwxr-x---\n/d/f -rwxr-xr-x d/f\n"},
		{"a file is replaced", [][]op{{file("f")}, {{name: "f", mode: 0o4755, content: "new"}}}, "/f urwxr-xr-x new\n"},
		{"a file replaces a directory", [][]op{{file("d/f")}, {file("d")}}, "/d -rwxr-xr-x d\n"},
		{"a directory replaces a file", [][]op{{file("d")}, {file("d/f")}}, "/d drwxr-xr-x\n/d/f -rwxr-xr-x d/f\n"},
		{"a whiteout", [][]op{{file("d/f"), file("d/g")}, {{name: "d/.wh.f"}}}, "/d drwxr-xr-x\n/d/g -rwxr-xr-x d/g\n"},
		{"a whiteout of a directory", [][]op{{file("d/f"), file("g")}, {{name: ".wh.d"}}}, "/g -rwxr-xr-x g\n"},
		{"a whiteout of nothing", [][]op{{{name: "d/.wh.f"}}}, "/d drwxr-xr-x\n"},
		{"a whiteout spares its own layer", [][]op{{file("d/old")}, {{name: ".wh.d"}, file("d/new")}},
			"/d drwxr-xr-x\n/d/new -rwxr-xr-x d/new\n"},
		{"and in the other order", [][]op{{file("d/old")}, {file("d/new"), {name: ".wh.d"}}},
			"/d drwxr-xr-x\n/d/new -rwxr-xr-x d/new\n"},
		{"an opaque directory", [][]op{{file("d/old"), file("d/e/old")}, {file("d/new"), {name: "d/.wh..wh..opq"}}},
			"/d drwxr-xr-x\n/d/new -rwxr-xr-x d/new\n"},
		{"an opaque root", [][]op{{file("old")}, {{name: ".wh..wh..opq"}, file("new")}}, "/new -rwxr-xr-x new\n"},
		{"other names of storage drivers", [][]op{{{name: ".wh..wh.plnk/x"}, {name: "d/.wh..wh.aufs"}}},
			"/.wh..wh.plnk drwxr-xr-x\n/.wh..wh.plnk/x ----------\n/d drwxr-xr-x\n"},
		{"the last of two entries counts", [][]op{{file("f"), {name: "f", mode: 0o700, content: "2"}}}, "/f -rwx------ 2\n"},
		{"a link of the same layer is followed", [][]op{{{kind: symlinkOp, name: "lib", target: "usr/lib"}, file("lib/f")}},
			"/lib L--------- -> usr/lib\n/usr drwxr-xr-x\n/usr/lib drwxr-xr-x\n/usr/lib/f -rwxr-xr-x lib/f\n"},
		{"also when it is absolute or climbs", [][]op{{
			{kind: symlinkOp, name: "a/up", target: "../../../../b"}, {kind: symlinkOp, name: "c", target: "/a/up"}, file("c/f")}},
			"/a drwxr-xr-x\n/a/up L--------- -> ../../../../b\n/b drwxr-xr-x\n/b/f -rwxr-xr-x c/f\n/c L--------- -> /a/up\n"},
		{"a link of a lower layer is replaced by a directory",
			[][]op{{{kind: symlinkOp, name: "lib", target: "usr/lib"}, file("usr/lib/libc")}, {file("lib/f")}},
			"/lib drwxr-xr-x\n/lib/f -rwxr-xr-x lib/f\n/usr drwxr-xr-x\n/usr/lib drwxr-xr-x\n/usr/lib/libc -rwxr-xr-x usr/lib/libc\n"},
		{"a hard link", [][]op{{file("f"), {kind: linkOp, name: "g", target: "f"}}}, "/f -rwxr-xr-x f\n/g -rwxr-xr-x f\n"},
		{"a hard link to a lower layer", [][]op{{file("d/f")}, {{kind: linkOp, name: "g", target: "/d/f"}, {name: "d/f", content: "x"}}},
			"/d drwxr-xr-x\n/d/f ----------\n/g -rwxr-xr-x d/f\n"},
		{"names", [][]op{{file("/abs"), file("./dot"), file("a//b/../c")}},
			"/a drwxr-xr-x\n/a/c -rwxr-xr-x a//b/../c\n/abs -rwxr-xr-x /abs\n/dot -rwxr-xr-x ./dot\n"},
		{"devices", [][]op{{{kind: tar.TypeChar, name: "c"}, {kind: tar.TypeBlock, name: "b"}, {kind: fifoOp, name: "p"}}},
			"/b D---------\n/c Dc---------\n/p p---------\n"},
		{"the root's own entry", [][]op{{{kind: dirOp, name: "./", mode: 0o700}, file("f")}}, "/f -rwxr-xr-x f\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, listing(t, stackOf(t, c.layers...))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTreeErrors(t *testing.T) {
	tree := stackOf(t, []op{{name: "d/f"}, {kind: symlinkOp, name: "l", target: "l"}})
	if _, err := tree.Lstat("/d/f/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("below a file: %v", err)
	}
	if _, err := tree.File("/d"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the content of a directory: %v", err)
	}
	if _, err := tree.ReadDir("/d/f"); err == nil {
		t.Error("a file was listed")
	}
	if _, _, err := Resolve(tree, User{}, "/", "/l"); err == nil {
		t.Error("a cyclic link was resolved")
	}
}

func TestInvalidLayers(t *testing.T) {
	long := strings.Repeat("n", 256)
	for name, ops := range map[string][]op{
		"climbs":               {{name: "../etc/passwd"}},
		"climbs in the middle": {{name: "a/../../etc/passwd"}},
		"no name":              {{name: ""}},
		"long part":            {{name: "d/" + long}},
		"long path":            {{name: strings.Repeat("abc/", 1024) + "f"}},
		"long target":          {{kind: symlinkOp, name: "l", target: strings.Repeat("abc/", 1024)}},
		"below a file":         {{name: "f"}, {name: "f/g"}},
		"cyclic parent":        {{kind: symlinkOp, name: "l", target: "l"}, {name: "l/f"}},
		"deep through links": {{name: strings.Repeat("a/", 1500) + "f"}, {kind: symlinkOp, name: "l", target: strings.Repeat("a/", 1500)},
			{name: "l/" + strings.Repeat("b/", 1500) + "f"}},
		"whiteout of nothing":      {{name: "d/.wh."}},
		"whiteout of the parent":   {{name: "d/.wh..."}},
		"hard link to a directory": {{kind: dirOp, name: "d"}, {kind: linkOp, name: "l", target: "d"}},
		"hard link climbs":         {{kind: linkOp, name: "l", target: "../f"}},
		"unknown type":             {{kind: 'Z', name: "z"}},
	} {
		t.Run(name, func(t *testing.T) {
			var data []byte
			if name == "no name" {
				data = tarOf(t, []op{{name: "x"}})
				data[0] = 0
				fixChecksum(data)
			} else {
				data = tarOf(t, ops)
			}
			_, err := ReadLayer(context.Background(), bytes.NewReader(data), limits())
			if fault.CodeOf(err) != fault.Invalid {
				t.Errorf("%v (code %q)", err, fault.CodeOf(err))
			}
		})
	}
}

// fixChecksum makes a changed tar header valid again.
func fixChecksum(header []byte) {
	copy(header[148:156], "        ")
	sum := 0
	for _, b := range header[:512] {
		sum += int(b)
	}
	copy(header[148:156], []byte{byte('0' + sum>>15&7), byte('0' + sum>>12&7), byte('0' + sum>>9&7), byte('0' + sum>>6&7), byte('0' + sum>>3&7), byte('0' + sum&7), 0, ' '})
}

func TestBrokenHardLink(t *testing.T) {
	_, err := Stack([]*Layer{layerOf(t, []op{{kind: linkOp, name: "g", target: "f"}})})
	if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "/g") {
		t.Errorf("%v", err)
	}
}

func TestTruncatedLayer(t *testing.T) {
	whole := tarOf(t, []op{{name: "f", content: strings.Repeat("x", 2000)}})
	for _, n := range []int{100, 512, 1000, 2400} {
		_, err := ReadLayer(context.Background(), bytes.NewReader(whole[:n]), limits())
		if fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	// What follows the end marker is no part of the archive.
	if _, err := ReadLayer(context.Background(), io.MultiReader(bytes.NewReader(whole), strings.NewReader("garbage")), limits()); err != nil {
		t.Errorf("garbage after the end: %v", err)
	}
}

func TestLimits(t *testing.T) {
	data := tarOf(t, []op{{name: "a/b/c", content: strings.Repeat("x", 5000)}, {name: "d"}})
	for _, c := range []struct {
		name    string
		bytes   int64
		entries int
		hint    string
	}{
		{"bytes", int64(len(data)) - 1, 100, "--max-image-size"},
		{"entries", 1 << 20, 3, "--max-entries"},
	} {
		opt := limits()
		opt.Budget = NewBudget(c.bytes, c.entries)
		_, err := ReadLayer(context.Background(), bytes.NewReader(data), opt)
		if fault.CodeOf(err) != fault.Limit || !strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%s: %v, hint %q", c.name, err, fault.HintOf(err))
		}
	}
	opt := limits()
	opt.Budget = NewBudget(int64(len(data)), 4)
	layer, err := ReadLayer(context.Background(), bytes.NewReader(data), opt)
	if err != nil {
		t.Fatal(err)
	}
	if bytes, entries := layer.Cost(); bytes != int64(len(data)) || entries != 4 {
		t.Errorf("cost %d bytes, %d entries", bytes, entries)
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ReadLayer(ctx, bytes.NewReader(tarOf(t, nil)), limits()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// buildProgram returns the bytes of a small Go program for linux/amd64.
func buildProgram(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.test/prog\n\ngo 1.21\n",
		"main.go": "package main\n\nfunc main() { println(\"hello\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-o", "prog")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "prog"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestExecutables(t *testing.T) {
	program := string(buildProgram(t))
	tree := stackOf(t,
		[]op{{name: "bin/prog", mode: 0o755, content: program}, {name: "bin/old", mode: 0o755, content: program}},
		[]op{{name: ".wh.bin"}, {name: "app/prog", mode: 0o644, content: program},
			{kind: linkOp, name: "app/alias", target: "app/prog"}, {name: "app/bad", mode: 0o755, content: program[:4000]},
			{name: "app/script", mode: 0o755, content: "#!/bin/sh\n"}, {name: "app/data", content: "text"}})
	var paths [][]string
	for x := range tree.Executables() {
		paths = append(paths, x.Paths)
		if x.Layer != 1 {
			t.Errorf("%v is from layer %d", x.Paths, x.Layer)
		}
		if x.Paths[0] == "/app/bad" {
			if fault.CodeOf(x.Err) != fault.Invalid || !strings.Contains(x.Err.Error(), "/app/bad") {
				t.Errorf("truncated executable: %v", x.Err)
			}
			continue
		}
		if x.Err != nil {
			t.Fatal(x.Err)
		}
		facts := x.File.Object.Facts
		if facts.Go == nil || facts.Size != int64(len(program)) || !strings.HasPrefix(facts.Digest, "sha256:") {
			t.Errorf("facts %+v", facts)
		}
	}
	if diff := cmp.Diff([][]string{{"/app/alias", "/app/prog"}, {"/app/bad"}}, paths); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if f, err := tree.File("/app/script"); err != nil || string(f.Head) != "#!/bin/sh\n" {
		t.Errorf("script: %q, %v", f.Head, err)
	}
	if f, err := tree.File("/app/data"); err != nil || f.Head != nil {
		t.Errorf("data: %q, %v", f.Head, err)
	}
}

func TestLargeExecutable(t *testing.T) {
	program := string(buildProgram(t))
	opt := limits()
	opt.MaxFile = int64(len(program)) - 1
	layer, err := ReadLayer(context.Background(), bytes.NewReader(tarOf(t, []op{{name: "prog", content: program}, {name: "etc/passwd"}})), opt)
	if err != nil {
		t.Fatal(err)
	}
	if !layer.Limited() {
		t.Error("the layer does not say that a limit cut it")
	}
	tree, err := Stack([]*Layer{throughJSON(t, layer)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.File("/prog"); fault.CodeOf(err) != fault.Limit || !strings.Contains(fault.HintOf(err), "--max-file-size") {
		t.Errorf("%v, hint %q", err, fault.HintOf(err))
	}
	if f, err := tree.File("/etc/passwd"); err != nil || f.Content == nil {
		t.Errorf("an empty kept file: %#v, %v", f.Content, err)
	}
}

// sparseTar returns a layer with a PAX sparse file (GNU format 1.0) of the given
// size, which holds nothing but the first four bytes of an ELF file.
func sparseTar(t testing.TB, size string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	content := "1\n0\n4\n" + strings.Repeat("\x00", 506) + "\x7fELF"
	// The writer refuses these records, so they get their real names afterwards.
	hdr := &tar.Header{Typeflag: tar.TypeReg, Name: "bin/sparse", Size: int64(len(content)), Mode: 0o755, Format: tar.FormatPAX,
		PAXRecords: map[string]string{"XXX.sparse.major": "1", "XXX.sparse.minor": "0", "XXX.sparse.name": "bin/sparse", "XXX.sparse.realsize": size}}
	if err := w.WriteHeader(hdr); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(buf.Bytes(), []byte("XXX.sparse"), []byte("GNU.sparse"))
}

func TestSparse(t *testing.T) {
	opt := limits()
	opt.MaxFile = 1 << 20
	layer, err := ReadLayer(context.Background(), bytes.NewReader(sparseTar(t, "4294967296")), opt)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := Stack([]*Layer{layer})
	if err != nil {
		t.Fatal(err)
	}
	if node, err := tree.Lstat("/bin/sparse"); err != nil || node.Size != 1<<32 {
		t.Errorf("%+v, %v", node, err)
	}
	if _, err := tree.File("/bin/sparse"); fault.CodeOf(err) != fault.Limit {
		t.Errorf("a file of 4 GiB: %v", err)
	}

	opt.MaxFile, opt.Budget = 64<<20, NewBudget(16<<20, 100)
	if _, err := ReadLayer(context.Background(), bytes.NewReader(sparseTar(t, "33554432")), opt); fault.CodeOf(err) != fault.Limit {
		t.Errorf("holes of 32 MiB within an image of 16 MiB: %v", err)
	}
}
