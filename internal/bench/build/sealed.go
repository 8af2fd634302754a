package build

import (
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/modfile"
)

// maxModFile is the largest go.mod or go.work that is read, in bytes.
const maxModFile = 16 << 20

// reaching are flags of go build whose files may lie anywhere.
var reaching = []string{"overlay", "toolexec", "modfile", "pgo"}

// sealed says whether all that a checkout is compiled of is in it, in the module
// cache or in the toolchain, so that a binary of the same files is as good as a
// new one. It is not when a flag names a file, or a module is taken from a
// directory outside of it. What cannot be read is not sealed.
func (s *Side) sealed(t *toolchain, flags []string) bool {
	environment, err := splitQuoted(t.settings["GOFLAGS"])
	if err != nil || !s.pristine() {
		return false
	}
	for _, name := range reaching {
		if len(valuesOf(name, slices.Concat(environment, flags))) > 0 {
			return false
		}
	}
	if work := t.settings["GOWORK"]; filepath.IsAbs(work) {
		return s.sealedWork(work)
	}
	return s.sealedModule(t.settings["GOMOD"])
}

func (s *Side) sealedWork(name string) bool {
	data, ok := readModFile(name)
	if !ok {
		return false
	}
	file, err := modfile.ParseWork(name, data, nil)
	if err != nil || !s.has(filepath.Dir(name), file.Replace) {
		return false
	}
	for _, use := range file.Use {
		dir := from(filepath.Dir(name), use.Path)
		if _, inside := within(s.Root, dir); !inside || !s.sealedModule(filepath.Join(dir, "go.mod")) {
			return false
		}
	}
	return true
}

func (s *Side) sealedModule(name string) bool {
	data, ok := readModFile(name)
	if !ok {
		return false
	}
	file, err := modfile.Parse(name, data, func(_, version string) (string, error) { return version, nil })
	return err == nil && s.has(filepath.Dir(name), file.Replace)
}

// has says whether the directories that take the place of modules are the side's.
func (s *Side) has(dir string, replaced []*modfile.Replace) bool {
	for _, r := range replaced {
		if r.New.Version != "" {
			continue // it is in the module cache
		}
		if _, inside := within(s.Root, from(dir, r.New.Path)); !inside {
			return false
		}
	}
	return true
}

// from is where a path in a file of dir leads.
func from(dir, path string) string {
	if path = filepath.FromSlash(path); filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func readModFile(name string) (data []byte, ok bool) {
	f, err := os.Open(name)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, maxModFile+1))
	return data, err == nil && len(data) <= maxModFile
}
