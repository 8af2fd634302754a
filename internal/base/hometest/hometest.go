// Package hometest makes home directories in which tests run the go command.
package hometest

import (
	"os"
	"path/filepath"
	"testing"
)

// configurations are where os.UserConfigDir is in a home, by operating system.
var configurations = []string{".config", filepath.Join("Library", "Application Support")}

// New returns a new home directory, removed when the test ends. The go command
// counts nothing in it: it would leave a process behind that writes there while
// the directory is being removed.
func New(t testing.TB) string {
	t.Helper()
	home := t.TempDir()
	for _, c := range configurations {
		dir := filepath.Join(home, c, "go", "telemetry")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "mode"), []byte("off"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return home
}
