package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/config"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const head = "schemaVersion: gopherwood/v1\nkind: Config\n"

func TestLoad(t *testing.T) {
	got, err := config.Load(config.Name, []byte(head+`
build:
  platforms: [linux/amd64/v3, linux/arm64]
  push: ["registry.example.org/team/{name}:1.4"]
  bases: {glibc: registry.example.org/base/debian:13}
  compression: zstd
  defaults: {cgo: off, tags: [netgo], pie: true, go: 1.26.8}
  packages:
    ./cmd/app: {ports: [8080/tcp], user: 1000:1000, imageEnv: {MODE: prod}}
    .: {pie: false}
trust:
  keys: [cosign.pub]
`))
	if err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	want := &api.Config{
		SchemaVersion: api.SchemaVersion, Kind: api.KindConfig,
		Build: api.BuildConfig{
			Platforms: []string{"linux/amd64/v3", "linux/arm64"}, Compression: "zstd",
			Push:     []string{"registry.example.org/team/{name}:1.4"},
			Bases:    api.Bases{Glibc: "registry.example.org/base/debian:13"},
			Defaults: api.PackageConfig{CGO: api.CGOOff, Tags: []string{"netgo"}, PIE: &yes, Go: "1.26.8"},
			Packages: map[string]api.PackageConfig{
				"./cmd/app": {Ports: []string{"8080/tcp"}, User: "1000:1000", ImageEnv: map[string]string{"MODE": "prod"}},
				".":         {PIE: &no},
			},
		},
		Trust: api.TrustConfig{Keys: []string{"cosign.pub"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"unknown key":    {"build: {platfroms: []}", `:3:9: unknown key "platfroms"`},
		"platform":       {"build: {platforms: [linux/amd64, linux]}", `:3:34: "linux" is no platform`},
		"other system":   {"build: {platforms: [darwin/arm64]}", `:3:21: platform "darwin/arm64": images are built for linux only`},
		"push scheme":    {"build: {push: ['https://r.example.org/x']}", `:3:17: "https://r.example.org/x" is no image's name`},
		"push digest":    {"build: {push: [r.example.org/x@sha256:0]}", `has a digest`},
		"push no host":   {"build: {push: [team/app]}", `does not name a registry`},
		"push braces":    {"build: {push: ['r.example.org/{app}']}", `only {name} can stand in braces`},
		"compression":    {"build: {compression: bzip2}", `:3:22: want one of gzip, zstd, got "bzip2"`},
		"cgo":            {"build: {defaults: {cgo: maybe}}", `:3:25: want one of auto, off, on, got "maybe"`},
		"cgo of package": {"build: {packages: {./a: {cgo: 1}}}", `:3:31: want one of auto, off, on`},
		"go":             {"build: {defaults: {go: newest}}", `:3:24: "newest" is no version of Go`},
		"go prefix":      {"build: {defaults: {go: go1.26.8}}", `"go1.26.8" is no version of Go: write for example 1.26.8`},
		"user":           {"build: {defaults: {user: 'a b'}}", `"a b" is no user`},
		"port":           {"build: {defaults: {ports: [8080]}}", `:3:28: "8080" is no port`},
		"env":            {"build: {defaults: {env: {'A=B': c}}}", `"A=B" is no name of an environment variable`},
		"package name":   {"build: {packages: {cmd/app/: {}}}", `named by its directory, as in "./cmd/app", not "cmd/app/"`},
		"empty tag":      {"build: {defaults: {tags: ['']}}", `want a build tag`},
		"empty key":      {"trust: {keys: ['']}", `want a file's name`},
		"bool":           {"build: {defaults: {pie: maybe}}", `want true or false`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Load("f.yaml", []byte(head+tc.text+"\n"))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			if fault.CodeOf(err) != fault.Invalid {
				t.Errorf("code %q", fault.CodeOf(err))
			}
		})
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	write := func(name string) {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(".gopherwood.yaml") // above the module: another's
	write("module/go.mod")
	write("module/cmd/app/main.go")
	write("repository/.git/HEAD")
	write("repository/sub/x.go")
	find := func(dir string) string {
		got, err := config.Find(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, dir := range []string{"module", "module/cmd/app", "repository/sub"} {
		if got := find(dir); got != "" {
			t.Errorf("%s: found %s", dir, got)
		}
	}
	write("module/.gopherwood.yaml")
	if got, want := find("module/cmd/app"), filepath.Join(root, "module", config.Name); got != want {
		t.Errorf("found %q, want %q", got, want)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(head + "build: {packages: {./a: {cgo: on}}}\n")
	f.Add(head + "build: {push: ['{name}']}\n")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := config.Load("f.yaml", []byte(text))
		if (cfg == nil) == (err == nil) {
			t.Errorf("configuration %v, error %v", cfg, err)
		}
	})
}
