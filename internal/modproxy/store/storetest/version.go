package storetest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Made is a version with its zip.
type Made struct {
	store.Version
	// File is where the zip is, Zip its content.
	File string
	Zip  []byte
}

// MakeVersion makes a version of a module with a file of the given content.
func MakeVersion(t testing.TB, path, version, content string) Made {
	t.Helper()
	v, file := Make(t, t.TempDir(), module.Version{Path: path, Version: version}, map[string]string{"a.txt": content})
	zip, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return Made{v, file, zip}
}

// Big is content whose zip is held in a file and not in memory.
func Big() string {
	noise := make([]byte, 400_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	return base64.StdEncoding.EncodeToString(noise)
}

// Put puts the version.
func Put(t testing.TB, s store.Store, m Made) *store.Entry {
	t.Helper()
	e, err := s.Put(context.Background(), m.Version, m.File)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ReadZip reads the zip of an entry.
func ReadZip(e *store.Entry) ([]byte, error) {
	zip, err := e.Open(context.Background())
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(zip)
	return data, errors.Join(err, zip.Close())
}

// WantVersion fails unless s has the version, whole.
func WantVersion(t testing.TB, s store.Store, want Made) {
	t.Helper()
	e, err := s.Get(context.Background(), want.Version.Version)
	if err != nil {
		t.Fatal(err)
	}
	if string(e.Info) != string(want.Info) || string(e.Mod) != string(want.Mod) || e.Sum != want.Sum || e.GoModSum != want.GoModSum {
		t.Errorf("got %+v, want %+v", e.Version, want.Version)
	}
	zip, err := ReadZip(e)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(zip, want.Zip) {
		t.Errorf("%s: the zip is another", want.Version.Version)
	}
}

// FilesIn lists the files below dir.
func FilesIn(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// WantFault fails unless err has the code and says the text, in its hint at last.
func WantFault(t testing.TB, err error, code fault.Code, text string) {
	t.Helper()
	said := fmt.Sprint(err, "; ", fault.HintOf(err))
	if fault.CodeOf(err) != code || !strings.Contains(said, text) {
		t.Errorf("%s (code %q), want %q and %q", said, fault.CodeOf(err), code, text)
	}
	t.Log(said)
}

// WantGoroutines waits until there are not more goroutines than before.
func WantGoroutines(t testing.TB, before int) {
	t.Helper()
	for range 200 {
		if runtime.NumGoroutine() <= before+2 { // the test server keeps its idle connections
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	buf := make([]byte, 1<<16)
	t.Errorf("%d goroutines before, %d now:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
}
