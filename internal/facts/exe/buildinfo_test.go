package exe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// moduleText is module information between the marks that frame it.
var moduleText = strings.Repeat("<", moduleFrame) + "path\texample.com/x\nmod\texample.com/x\tv1.2.3\th1:sum\n" + strings.Repeat(">", moduleFrame)

// dataLayout is a file that is one writable segment at address 0x1000, with 64
// more bytes of zeros in memory.
func dataLayout(content []byte) *layout {
	size := uint64(len(content))
	return &layout{
		in:       input{r: bytes.NewReader(content), size: int64(size)},
		order:    binary.LittleEndian,
		segments: []segment{{addr: 0x1000, size: size, memSize: size + 64, writable: true}},
	}
}

// pointerRecord is build information as Go 1.13 to 1.17 wrote it.
func pointerRecord(order binary.AppendByteOrder, wide bool, version, module string) []byte {
	s := newSynth(order, wide)
	flags := byte(0)
	if order.String() == binary.BigEndian.String() {
		flags = 1
	}
	b := append([]byte(strings.Repeat("x", 32)), buildInfoMagic...)
	b = append(b, byte(s.ptrSize()), flags)
	headers := uint64(0x1000 + 64) // two string headers, then the strings
	texts := headers + 4*uint64(s.ptrSize())
	b = s.word(s.word(b, headers), headers+2*uint64(s.ptrSize()))
	b = append(b, make([]byte, 64-len(b))...)
	b = s.word(s.word(b, texts), uint64(len(version)))
	b = s.word(s.word(b, texts+uint64(len(version))), uint64(len(module)))
	return append(b, version+module...)
}

func TestPointedBuildInfo(t *testing.T) {
	for _, shape := range shapes {
		info, err := dataLayout(pointerRecord(shape.order, shape.wide, "go1.15.9", moduleText)).buildInfo()
		if err != nil {
			t.Errorf("%s: %v", shape.name, err)
			continue
		}
		if info.GoVersion != "go1.15.9" || info.Path != "example.com/x" || info.Main.Sum != "h1:sum" {
			t.Errorf("%s: wrong information: %+v", shape.name, info)
		}
	}
	// Programs built without modules have their empty string among the zeros.
	record := pointerRecord(binary.LittleEndian, true, "go1.15.9", moduleText)
	binary.LittleEndian.PutUint64(record[32+24:], 0x1000+uint64(len(record)))
	info, err := dataLayout(record).buildInfo()
	if err != nil || info.GoVersion != "go1.15.9" || info.Path != "" {
		t.Errorf("without modules: %+v, %v", info, err)
	}
}

func inlineRecord(version, module string) []byte {
	b := append([]byte(buildInfoMagic), 8, 2)
	b = append(b, make([]byte, 16)...)
	b = append(binary.AppendUvarint(b, uint64(len(version))), version...)
	return append(binary.AppendUvarint(b, uint64(len(module))), module...)
}

func TestBrokenBuildInfo(t *testing.T) {
	good := inlineRecord("go1.26.8", moduleText)
	if info, err := dataLayout(good).buildInfo(); err != nil || info.Main.Version != "v1.2.3" {
		t.Fatalf("a good record: %+v, %v", info, err)
	}
	pointed := pointerRecord(binary.LittleEndian, true, "go1.15.9", "")
	change := func(b []byte, at int, v ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], v)
		return b
	}
	for name, record := range map[string][]byte{
		"cut in the header":      good[:20],
		"cut in the version":     good[:35],
		"cut before the modules": good[:41],
		"cut in the modules":     good[:60],
		"huge version":           change(good, 32, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"endless length":         change(good, 32, bytes.Repeat([]byte{0xff}, 11)...),
		"malformed modules":      inlineRecord("go1.26.8", strings.Replace(moduleText, "mod\t", "dep\tx\t\t\t\t", 1)),
		"pointer size":           change(pointed, 32+14, 3),
		"pointer elsewhere":      change(pointed, 32+16, 0xff, 0xff, 0xff),
		"string elsewhere":       change(pointed, 64, 0xff, 0xff, 0xff),
		"string too long":        change(pointed, 72, 0xff, 0xff, 0xff),
	} {
		_, err := dataLayout(record).buildInfo()
		if fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: error is %v, want one of code invalid", name, err)
		}
	}
	for name, data := range map[string][]byte{
		"nothing":    nil,
		"misaligned": append([]byte("x"), good...),
		"no version": inlineRecord("", ""),
	} {
		if _, err := dataLayout(data).buildInfo(); !errors.Is(err, errNoBuildInfo) {
			t.Errorf("%s: error is %v, want errNoBuildInfo", name, err)
		}
	}
}

// A repository with one commit, a replaced module, and a change since.
func TestStampedBuild(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":     "module example.com/app\n\ngo 1.24\n\nrequire example.com/lib v1.0.0\n\nreplace example.com/lib => ./lib\n",
		"main.go":    "package main\n\nimport \"example.com/lib\"\n\nfunc main() { println(lib.Name) }\n",
		"lib/go.mod": "module example.com/lib\n\ngo 1.24\n",
		"lib/lib.go": "package lib\n\nvar Name = \"lib\"\n",
	} {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "init", "-q")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-q", "-m", "first")
	revision := strings.TrimSpace(git(t, dir, "rev-parse", "HEAD"))
	measure := func() *api.Go {
		path := filepath.Join(t.TempDir(), "app")
		goCommand(t, dir, nil, "build", "-buildvcs=true", "-o", path, ".")
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		obj, err := measureBytes(content, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return obj.Facts.Go
	}
	g := measure()
	want := &api.VCS{System: "git", Revision: revision, Time: "2024-05-06T07:08:09Z"}
	if diff := cmp.Diff(want, g.VCS); diff != "" {
		t.Errorf("vcs (-want +got)\n%s", diff)
	}
	deps := []api.Module{{Path: "example.com/lib", Version: "v1.0.0", Replace: &api.Module{Path: "./lib", Version: "(devel)"}}}
	if diff := cmp.Diff(deps, g.Deps); diff != "" {
		t.Errorf("deps (-want +got)\n%s", diff)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if g := measure(); !g.VCS.Modified {
		t.Error("the change since the commit is not seen")
	}
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	const date = "2024-05-06T07:08:09Z"
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull,
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_AUTHOR_DATE="+date,
		"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_COMMITTER_DATE="+date)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}
