package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// manifest says what was built: files by name.
type manifest struct {
	Files map[string]fileSum `json:"files"`
}

// fileSum is the content of one file.
type fileSum struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// manifest reads what was built so far. A manifest that cannot be read is an
// empty one: everything is then built again.
func (s *store) manifest() (manifest, error) {
	var m manifest
	data, err := os.ReadFile(filepath.Join(s.dir, "manifest.json"))
	if err != nil {
		return m, err
	}
	if json.Unmarshal(data, &m) != nil {
		return manifest{}, nil
	}
	return m, nil
}

// record puts a file that was just built into the manifest. The build lock is
// held.
func (s *store) record(name string) error {
	m, err := s.manifest()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if m.Files == nil {
		m.Files = map[string]fileSum{}
	}
	sum, err := sumFile(filepath.Join(s.bin(), filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	m.Files[name] = sum
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeAtomically(filepath.Join(s.dir, "manifest.json"), data, 0o644)
}

// holds says whether the file name in bin is what was built.
func (m manifest) holds(bin, name string) (bool, error) {
	want, ok := m.Files[name]
	if !ok {
		return false, nil
	}
	got, err := sumFile(filepath.Join(bin, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return got == want, err
}

func sumFile(path string) (fileSum, error) {
	f, err := os.Open(path)
	if err != nil {
		return fileSum{}, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return fileSum{}, err
	}
	return fileSum{n, hex.EncodeToString(h.Sum(nil))}, nil
}

// writeAtomically writes a file so that it is there as a whole or not at all,
// with its directory.
func writeAtomically(path string, data []byte, mode fs.FileMode) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = &fault.Error{Code: fault.CodeOf(err), Op: "write", Input: path, Err: err}
		}
	}()
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("put in place: %w", err)
	}
	return nil
}
