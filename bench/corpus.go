//go:build linux

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/e2e/debian"
)

// packages are Debian's Go programs that make up the corpus, by suite: several
// Go versions, from small tools to the largest programs that Debian has.
var packages = map[string][]string{
	"bookworm": {
		"acmetool", "aerc", "age", "buildah", "caddy", "containerd", "delve", "docker-registry",
		"elvish", "etcd-client", "etcd-server", "gh", "gobuster", "gocryptfs", "golang-golang-x-tools", "gopls", "hugo", "influxdb",
		"kubernetes-client", "lego", "micro", "mtail", "nats-server", "opensnitch", "podman", "prometheus",
		"prometheus-alertmanager", "prometheus-blackbox-exporter", "prometheus-mysqld-exporter", "prometheus-node-exporter",
		"prometheus-postgres-exporter", "prometheus-pushgateway", "prometheus-snmp-exporter", "rclone", "restic", "runc", "skopeo",
		"snapd", "syncthing", "umoci", "victoria-metrics", "yggdrasil",
	},
	"trixie": {"direnv", "fzf", "restic", "runc"},
}

// toolchain names programs of the Go distribution, which are built here. With
// syft, they stand for what people build: Debian records no modules.
var toolchain = []string{"cmd/asm", "cmd/cgo", "cmd/compile", "cmd/cover", "cmd/go", "cmd/gofmt", "cmd/link", "cmd/vet"}

// What the corpus must at least be for the limits to mean something.
const (
	leastFiles = 80
	leastBytes = 900_000_000
)

// corpus is a directory that holds nothing but Go executables.
type corpus struct {
	dir   string
	files []corpusFile
}

type corpusFile struct {
	path string
	size int64
}

// corpusSummary is what the report says of a corpus.
type corpusSummary struct {
	Executables int   `json:"executables"`
	Bytes       int64 `json:"bytes"`
}

func (c *corpus) summary() corpusSummary {
	s := corpusSummary{Executables: len(c.files)}
	for _, f := range c.files {
		s.Bytes += f.size
	}
	return s
}

// prepareCorpus returns the corpus below cache, which it makes on the first call.
// The file of syft is one of its files, as a program of some hundred modules.
func prepareCorpus(ctx context.Context, cache, syftFile string) (*corpus, error) {
	dir := filepath.Join(cache, corpusName())
	if _, err := os.Stat(dir); err != nil {
		if err := makeCorpus(ctx, cache, dir, syftFile); err != nil {
			return nil, fmt.Errorf("prepare the corpus: %w", err)
		}
	}
	c := &corpus{dir: dir}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		c.files = append(c.files, corpusFile{file, info.Size()})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s := c.summary(); s.Executables < leastFiles || s.Bytes < leastBytes {
		return nil, fmt.Errorf("%s holds %d executables of %d bytes; the limits are about at least %d of %d: remove it to have it made again",
			dir, s.Executables, s.Bytes, leastFiles, leastBytes)
	}
	return c, nil
}

// corpusName changes with what the corpus is made of.
func corpusName() string {
	made := sha256.Sum256(fmt.Append(nil, packages, toolchain, syft.String(), runtime.Version()))
	return fmt.Sprintf("corpus-%x", made[:4])
}

// makeCorpus fetches and builds into a fresh directory that becomes dir when it
// is whole.
func makeCorpus(ctx context.Context, cache, dir, syftFile string) error {
	archive, err := debian.Open(ctx, cache)
	if err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(cache, ".corpus-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	for suite, names := range packages {
		fmt.Fprintf(os.Stderr, "bench: fetching %d packages of %s\n", len(names), suite)
		files, err := archive.Fetch(ctx, debian.Source{Suite: suite, Arch: "amd64"}, names...)
		if err != nil {
			return err
		}
		for i, file := range files {
			if err := keepGoPrograms(ctx, file, filepath.Join(fresh, suite+"-"+names[i])); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(os.Stderr, "bench: building %s\n", strings.Join(toolchain, " "))
	built := filepath.Join(fresh, "built")
	if err := os.Mkdir(built, 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-o", built + "/"}, toolchain...)...)
	cmd.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	if _, err := capture(cmd); err != nil {
		return err
	}
	if _, err := capture(exec.CommandContext(ctx, "cp", syftFile, filepath.Join(built, "syft"))); err != nil {
		return err
	}
	return os.Rename(fresh, dir)
}

// keepGoPrograms puts the Go executables of a package into dir.
func keepGoPrograms(ctx context.Context, file, dir string) error {
	all, err := os.MkdirTemp(filepath.Dir(dir), ".unpacked-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(all)
	if err := debian.Unpack(ctx, all, file); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return filepath.WalkDir(all, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if _, err := buildinfo.ReadFile(path); err != nil {
			return nil // no Go executable
		}
		kept := filepath.Join(dir, filepath.Base(path))
		if err := os.Rename(path, kept); err != nil {
			return err
		}
		return os.Chmod(kept, 0o755)
	})
}

// warm reads every file once, so that all commands find them in the page cache.
func (c *corpus) warm() error {
	for _, f := range c.files {
		if err := readAll(f.path); err != nil {
			return err
		}
	}
	return nil
}

func readAll(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

// shares divides the files into n lists of about the same size, as a person would
// who hands them to n processes.
func (c *corpus) shares(n int) [][]string {
	lists, sizes := make([][]string, n), make([]int64, n)
	files := slices.SortedFunc(slices.Values(c.files), func(a, b corpusFile) int { return cmp.Compare(b.size, a.size) })
	for _, f := range files {
		least := slices.Index(sizes, slices.Min(sizes))
		lists[least] = append(lists[least], f.path)
		sizes[least] += f.size
	}
	return lists
}
