package compile

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// facts are what is known of the executable in the slot, made by r.
func (b *build) facts(ctx context.Context, r *recipe) (*api.BuildFacts, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	info, err := buildinfo.ReadFile(b.slot.program())
	if err != nil {
		return nil, &fault.Error{Code: fault.Internal, Op: "read the build information of", Input: b.pkg.ImportPath, Err: err}
	}
	if err := b.checkLink(r); err != nil {
		return nil, err
	}
	profile, err := b.profile()
	if err != nil {
		return nil, err
	}
	return &api.BuildFacts{
		SchemaVersion: api.SchemaVersion,
		Kind:          api.KindBuildFacts,
		Package:       b.pkg.ImportPath,
		Platform:      b.platform,
		Module:        *module(&info.Main),
		Dir:           within(info.Main.Path, b.pkg.ImportPath),
		ModuleGraph:   moduleGraph(info.Deps),
		Source:        source(info.Settings),
		Go:            releaseOf(b.tool.settings["GOVERSION"]),
		CGO:           r.decision,
		Flags:         r.flags.recorded,
		Env:           b.env(r),
		Profile:       profile,
		Config:        public(b.cfg),
	}, nil
}

// within returns the directory of a package in its module.
func within(module, importPath string) string {
	dir := strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
	if dir == "" {
		return "."
	}
	return dir
}

func module(m *debug.Module) *api.Module {
	out := &api.Module{Path: m.Path, Version: m.Version, Sum: m.Sum}
	if m.Replace != nil {
		out.Replace = module(m.Replace)
	}
	return out
}

// moduleGraph is the digest that api.BuildFacts.ModuleGraph describes. A module
// that another took the place of counts as that other one.
func moduleGraph(modules []*debug.Module) string {
	lines := make([]string, 0, len(modules))
	for _, m := range modules {
		if m.Replace != nil {
			m = m.Replace
		}
		lines = append(lines, m.Path+" "+m.Version+" "+m.Sum+"\n")
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// source is the commit that the go command stamped, nil when it did not.
func source(settings []debug.BuildSetting) *api.VCS {
	values := map[string]string{}
	for _, s := range settings {
		values[s.Key] = s.Value
	}
	if values["vcs"] == "" {
		return nil
	}
	return &api.VCS{
		System:   values["vcs"],
		Revision: values["vcs.revision"],
		Time:     values["vcs.time"],
		Modified: values["vcs.modified"] == "true",
	}
}

// releaseOf cuts the experiments off a toolchain's version.
func releaseOf(version string) string {
	version, _, _ = strings.Cut(version, " ")
	version, _, _ = strings.Cut(version, "-X:")
	return version
}

// env is the environment that matters to the executable.
func (b *build) env(r *recipe) map[string]string {
	env := map[string]string{}
	keep := []string{"GOFLAGS", "GOEXPERIMENT", "GOFIPS140", "GO_EXTLINK_ENABLED", levelVariables[b.platform.Arch].name}
	if r.decision.Enabled {
		keep = append(keep, "CGO_CFLAGS", "CGO_CPPFLAGS", "CGO_CXXFLAGS", "CGO_FFLAGS", "CGO_LDFLAGS", "CXX")
	}
	for _, name := range keep {
		if value := b.tool.settings[name]; value != "" {
			env[name] = value
		}
	}
	for _, entry := range r.env {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}

// secretive are the variables of the go command that may hold credentials or
// are about fetching, not about what is built.
var secretive = []string{"GOPROXY", "GOAUTH", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOSUMDB", "GOINSECURE", "GOVCS"}

// public returns cfg as it may be published: its environment without anything
// but what compilers read, and without the directory of the profile.
func public(cfg api.PackageConfig) api.PackageConfig {
	cfg.Env = maps.Clone(cfg.Env)
	maps.DeleteFunc(cfg.Env, func(name, _ string) bool {
		compilers := strings.HasPrefix(name, "GO") || strings.HasPrefix(name, "CGO_") || strings.HasPrefix(name, "PKG_CONFIG") ||
			slices.Contains([]string{"CC", "CXX", "FC", "AR", "SOURCE_DATE_EPOCH"}, name)
		return !compilers || slices.Contains(secretive, name)
	})
	if filepath.IsAbs(cfg.PGO) {
		cfg.PGO = filepath.Base(cfg.PGO)
	}
	return cfg
}

// profile returns the digest of the profile that the compiler read, "" for none.
func (b *build) profile() (string, error) {
	file := b.flags.profile
	if b.cfg.PGO == "auto" || b.cfg.PGO == "" && b.has("pgo-auto") {
		file = filepath.Join(b.pkg.Dir, "default.pgo")
	}
	if file == "" {
		return "", nil
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) && b.flags.profile == "" {
		return "", nil
	}
	if err != nil {
		return "", &fault.Error{Code: fault.CodeOf(err), Op: "read profile", Input: file, Err: err}
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", &fault.Error{Code: fault.CodeOf(err), Op: "read profile", Input: file, Err: err}
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}

// checkLink refuses an executable that was to be static and names an
// interpreter: not every C compiler that takes -static-pie heeds it.
func (b *build) checkLink(r *recipe) error {
	if !slices.Contains(r.flags.ldflags, staticPIEFlag) {
		return nil
	}
	f, err := elf.Open(b.slot.program())
	if err != nil {
		return &fault.Error{Code: fault.Internal, Op: "read the executable of", Input: b.pkg.ImportPath, Err: err}
	}
	defer f.Close()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return &fault.Error{Code: fault.Unsupported, Op: "link a static position-independent executable for", Input: b.platform.String(),
			Err:  fmt.Errorf("%s does not make one", r.decision.Compiler.Command),
			Hint: "leave out --pie, or name another C compiler with CC"}
	}
	return nil
}

// key names the slot of the build. The linker's flags are no part of it: they
// often hold a version, and the go command sees by itself when they change.
func (b *build) key() string {
	data, err := json.Marshal([]any{
		b.pkg.Dir, b.pkg.ImportPath, b.platform, b.cfg.CGO, b.cfg.Tags, b.cfg.Gcflags,
		b.wants(b.cfg.PIE), b.wants(b.cfg.Race), b.cfg.PGO, b.cfg.Env, b.tool.settings,
	})
	if err != nil {
		panic(err) // strings and booleans always have a JSON form
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}
