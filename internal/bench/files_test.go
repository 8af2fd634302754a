package bench

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestSameFiles(t *testing.T) {
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		change func(dir string)
		same   bool
	}{
		"nothing":     {func(string) {}, true},
		"source code": {func(dir string) { write(dir, "a.go", "package b") }, true},
		"content":     {func(dir string) { write(dir, "testdata/in.txt", "two") }, false},
		"size":        {func(dir string) { write(dir, "testdata/in.txt", "three") }, false},
		"one more":    {func(dir string) { write(dir, "testdata/more.txt", "") }, false},
		"git's own":   {func(dir string) { write(dir, ".git/HEAD", "x") }, true},
		"a link elsewhere": {func(dir string) {
			if err := errors.Join(os.Remove(filepath.Join(dir, "link")), os.Symlink("testdata/on", filepath.Join(dir, "link"))); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := t.TempDir(), t.TempDir()
			for _, dir := range []string{a, b} {
				write(dir, "a.go", "package a")
				write(dir, "testdata/in.txt", "one")
				if err := os.Symlink("testdata/in", filepath.Join(dir, "link")); err != nil {
					t.Fatal(err)
				}
			}
			tc.change(b)
			if got := sameFiles(a, b); got != tc.same {
				t.Errorf("the same: %v", got)
			}
		})
	}
	if sameFiles(t.TempDir(), filepath.Join(t.TempDir(), "none")) {
		t.Error("a directory that does not exist is the same")
	}
}
