package compile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// memory is what a build learnt about the packages that the program links. It
// holds until something changes that decides about imports: the modules, the
// files of packages outside the module cache, or what is at their top.
type memory struct {
	// Packages have C code that has no equal in Go, sorted.
	Packages []string `json:"packages"`
	// Dirs are the directories of packages outside the module cache, Files are
	// what says which modules there are; both sorted.
	Dirs  []string `json:"dirs"`
	Files []string `json:"files"`
	// Digest is that of what decides about imports; empty when that is not known.
	Digest string `json:"digest"`
}

// learn returns what the list of linked packages says, which was begun at the
// time of start.
func (b *build) learn(linked []linkedPackage, start time.Time) memory {
	var m memory
	cache := b.tool.settings["GOMODCACHE"] + string(filepath.Separator)
	for _, mod := range []string{b.tool.settings["GOMOD"], b.tool.settings["GOWORK"]} {
		m.addModule(mod)
	}
	for _, p := range linked {
		if len(p.CgoFiles) > 0 && !(p.Standard && slices.Contains(pureWithoutCgo, p.ImportPath)) {
			m.Packages = append(m.Packages, p.ImportPath)
		}
		if p.Standard || strings.HasPrefix(p.Dir, cache) {
			continue
		}
		m.Dirs = append(m.Dirs, p.Dir)
		if p.Module != nil {
			m.addModule(p.Module.GoMod)
		}
	}
	slices.Sort(m.Packages)
	slices.Sort(m.Dirs)
	slices.Sort(m.Files)
	m.Files = slices.Compact(m.Files)
	// What an overlay puts in the place of files is not looked at.
	if !strings.Contains(b.tool.settings["GOFLAGS"], "-overlay") && m.unchangedSince(start) {
		m.Digest = m.now()
	}
	return m
}

// unchangedSince reports whether the list is of the files as they are: none was
// written while it was made.
func (m *memory) unchangedSince(start time.Time) bool {
	names := slices.Clone(m.Files)
	for _, dir := range m.Dirs {
		names = append(names, dir)
		files, _ := os.ReadDir(dir) // without it there is no digest either
		for _, f := range files {
			names = append(names, filepath.Join(dir, f.Name()))
		}
	}
	return !slices.ContainsFunc(names, func(name string) bool {
		info, err := os.Stat(name)
		return err == nil && info.ModTime().After(start)
	})
}

// addModule adds what says which modules a module or workspace takes.
func (m *memory) addModule(file string) {
	if file == "" || file == os.DevNull {
		return
	}
	m.Files = append(m.Files, file, filepath.Join(filepath.Dir(file), "vendor", "modules.txt"))
}

// holds reports whether nothing has changed that decides about imports.
func (m *memory) holds() bool { return m.Digest != "" && m.Digest == m.now() }

// now is the digest of what decides about imports; empty when it cannot be read.
func (m *memory) now() string {
	h := sha256.New()
	for _, name := range m.Files {
		data, err := os.ReadFile(name)
		fmt.Fprintf(h, "%q %v %d\n", name, err == nil, len(data))
		h.Write(data)
	}
	for _, dir := range m.Dirs {
		if err := addImports(h, dir); err != nil {
			return ""
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// addImports writes to w, for every Go file in dir, its name and all that it
// holds up to the end of its imports: build constraints among it.
func addImports(w io.Writer, dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%q\n", dir)
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, f.Name(), data, parser.ImportsOnly)
		if err != nil {
			return err
		}
		end := parsed.Name.End()
		if n := len(parsed.Decls); n > 0 {
			end = parsed.Decls[n-1].End()
		}
		head := data[:set.Position(end).Offset]
		fmt.Fprintf(w, "%q %d\n", f.Name(), len(head))
		_, _ = w.Write(head) // a hash never fails
	}
	return nil
}
