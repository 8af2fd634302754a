// Command gendocs generates what the documentation takes from the code: the
// command reference and man pages, the JSON Schemas of the formats and the
// table of capabilities. It runs in the repository's root:
//
//	go run ./internal/cli/gendocs          # write
//	go run ./internal/cli/gendocs -check   # fail when a file is not up to date
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	check := flag.Bool("check", false, "write nothing; fail when a file is not up to date")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// files maps names, relative to the root, to their content.
type files map[string][]byte

// owned are the directories in which every file is generated.
var owned = []string{"docs/cli", "docs/man"}

func run(check bool) error {
	out := files{}
	for _, generate := range []func(files) error{commandReference, schemas, capabilityTable} {
		if err := generate(out); err != nil {
			return err
		}
	}
	stale, err := leftovers(out)
	if err != nil {
		return err
	}
	if check {
		return compare(out, stale)
	}
	for _, name := range stale {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return write(out)
}

// leftovers returns the files in the owned directories that are not in out.
func leftovers(out files) ([]string, error) {
	var stale []string
	for _, dir := range owned {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if name := dir + "/" + e.Name(); out[name] == nil {
				stale = append(stale, name)
			}
		}
	}
	return stale, nil
}

// compare fails when the tree differs from out.
func compare(out files, stale []string) error {
	for _, name := range slices.Sorted(maps.Keys(out)) {
		if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, out[name]) {
			stale = append(stale, name)
		}
	}
	if len(stale) > 0 {
		return fmt.Errorf("not up to date, run 'make generate': %q", stale)
	}
	fmt.Printf("generated: ok, %d files\n", len(out))
	return nil
}

func write(out files) error {
	for name, data := range out {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
