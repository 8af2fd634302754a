package cli

import (
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/report"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// placesHere finds the benchmarks of a gate in the files at the working directory:
// in the modules of its workspace, or in the module that it is in. Packages of others
// have no places.
func placesHere(g *api.BenchGate) (report.Places, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "find the working directory", Err: err}
	}
	root := above(cwd, ".git")
	if root == "" {
		return report.Places{}, nil
	}
	modules := modulesAt(cwd)
	dirs := map[string]string{}
	for _, item := range g.Items {
		if dir, ok := directoryOf(item.Package, modules); ok {
			if rel, err := filepath.Rel(root, dir); err == nil && filepath.IsLocal(rel) {
				dirs[item.Package] = filepath.ToSlash(rel)
			}
		}
	}
	return report.FindPlaces(os.DirFS(root), dirs)
}

// above returns the directory at dir or above that holds name, "" when none does.
func above(dir, name string) string {
	for {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// modulesAt returns the directories of the modules that the go command works on at
// dir, by module path.
func modulesAt(dir string) map[string]string {
	modules := map[string]string{}
	add := func(dir string) {
		if data, err := readDocument("read", filepath.Join(dir, "go.mod")); err == nil {
			if name := modfile.ModulePath(data); name != "" {
				modules[name] = dir
			}
		}
	}
	if top := above(dir, "go.work"); top != "" {
		if data, err := readDocument("read", filepath.Join(top, "go.work")); err == nil {
			if work, err := modfile.ParseWork("go.work", data, nil); err == nil {
				for _, use := range work.Use {
					if filepath.IsAbs(use.Path) {
						add(use.Path)
					} else {
						add(filepath.Join(top, filepath.FromSlash(use.Path)))
					}
				}
			}
		}
	}
	if own := above(dir, "go.mod"); own != "" {
		add(own)
	}
	return modules
}

// directoryOf returns where a package lies: in the module whose path is the longest
// that begins its own.
func directoryOf(pkg string, modules map[string]string) (string, bool) {
	for name := pkg; name != "." && name != "/"; name = path.Dir(name) {
		if dir, ok := modules[name]; ok {
			return filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(pkg, name))), true
		}
	}
	return "", false
}
