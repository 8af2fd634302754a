package history_test

import (
	"path/filepath"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/bench/history"
)

func TestSQLite(t *testing.T) {
	dir := t.TempDir()
	conformance(t, func(t *testing.T, name string) history.Store {
		// Characters that mean something in URIs are in the path.
		return openStore(t, filepath.Join(dir, "a b%20?c#d", name+".sqlite"))
	})
}

func openStore(t *testing.T, source string) history.Store {
	t.Helper()
	s, err := history.Open(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
