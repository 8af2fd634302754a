package cached

import (
	"path/filepath"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
)

func FuzzMark(f *testing.F) {
	f.Add([]byte(`{"path":"corp.example.com/lib","version":"v1.0.0","size":1}`))
	f.Add([]byte(`{"path":"../lib","version":"v1.0.0/..","size":-1}`))
	q := &queue{dir: f.TempDir()}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, size, err := parseMark(data)
		if err != nil {
			return
		}
		if artifact.CheckVersion(m) != nil || size < 0 || filepath.Dir(q.file(m)) != q.dir {
			t.Errorf("it took %v of %d bytes", m, size)
		}
	})
}
