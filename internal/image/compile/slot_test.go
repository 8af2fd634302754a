package compile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// slots makes a slot with a program for each key and closes it.
func slots(t *testing.T, cacheDir string, keys ...string) {
	t.Helper()
	for _, key := range keys {
		s := mustOpen(t, cacheDir, key)
		if err := errors.Join(os.WriteFile(s.program(), []byte(key), 0o755), s.close()); err != nil {
			t.Fatal(err)
		}
	}
}

func mustOpen(t *testing.T, cacheDir, key string) *slot {
	t.Helper()
	s, err := openSlot(t.Context(), cacheDir, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// age makes files as old as they are when nobody has used them for two weeks.
func age(t *testing.T, names ...string) {
	t.Helper()
	old := time.Now().Add(-2 * maxUnused)
	for _, name := range names {
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		names = append(names, file.Name())
	}
	return names
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	slots(t, dir, "busy", "old", "young")
	busy := mustOpen(t, dir, "busy")
	dead, stale := filepath.Join(dir, "young", usePrefix+"1"), filepath.Join(dir, "young", tempPrefix+"1")
	if err := errors.Join(os.Mkdir(dead, 0o755), os.Mkdir(stale, 0o755)); err != nil {
		t.Fatal(err)
	}
	age(t, filepath.Join(dir, "busy", lockFile), filepath.Join(dir, "old", lockFile), dead)
	young := mustOpen(t, dir, "young")
	if diff := cmp.Diff([]string{"busy", "young"}, entries(t, dir)); diff != "" {
		t.Errorf("slots (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{lockFile, programFile}, entries(t, young.dir)); diff != "" {
		t.Errorf("a slot in use (-want +got)\n%s", diff)
	}
	if err := errors.Join(busy.close(), young.close()); err != nil {
		t.Fatal(err)
	}
	slots(t, dir, "old") // a slot that was pruned comes back
}

func TestSlotIsExclusive(t *testing.T) {
	dir := t.TempDir()
	first := mustOpen(t, dir, "key")
	ctx, cancel := context.WithTimeout(t.Context(), 3*lockPoll)
	defer cancel()
	if _, err := openSlot(ctx, dir, "key"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second build got the slot: %v", err)
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, dir, "key").close(); err != nil {
		t.Fatal(err)
	}
}

func TestSlotErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openSlot(t.Context(), file, "key"); err == nil {
		t.Error("a file is no cache directory")
	}
}
