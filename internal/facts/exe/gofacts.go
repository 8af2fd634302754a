package exe

import (
	"errors"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// measureGo fills in Go and Capabilities. Damage to what only people read, not
// the system, is noted; an error is a failure to read.
func measureGo(l *layout, obj *Object) error {
	info, err := l.buildInfo()
	table, hasTable := l.section(pclntabNames...)
	switch {
	case err == nil:
		obj.Facts.Go = goFacts(info)
		refinePlatform(&obj.Facts.Platform, info)
	case isDamage(err):
		obj.Facts.Go = &api.Go{}
		obj.note("Go version and modules: %v", err)
	case !errors.Is(err, errNoBuildInfo):
		return err
	case !hasTable:
		return nil // not a Go program
	default:
		obj.Facts.Go = &api.Go{}
		obj.note("Go version and modules: %v", err)
	}
	names, err := l.capabilities(table)
	if err != nil && !isDamage(err) {
		return err
	}
	if err != nil {
		obj.note("capabilities: %v", err)
		return nil
	}
	obj.Facts.Capabilities = names
	return nil
}

func goFacts(info *debug.BuildInfo) *api.Go {
	g := &api.Go{Main: info.Path}
	g.Version, g.Experiments = splitVersion(info.GoVersion)
	if info.Main != (debug.Module{}) {
		g.Module = module(&info.Main)
	}
	for _, d := range info.Deps {
		g.Deps = append(g.Deps, *module(d))
	}
	if len(info.Settings) > 0 {
		g.Settings = make(map[string]string, len(info.Settings))
	}
	for _, s := range info.Settings {
		g.Settings[s.Key] = s.Value
	}
	g.Experiments = experiments(g.Experiments, g.Settings["GOEXPERIMENT"])
	if v := g.Settings["GOFIPS140"]; v != "off" {
		g.FIPS140 = v
	}
	g.BuildMode = g.Settings["-buildmode"]
	g.Trimpath = g.Settings["-trimpath"] == "true"
	if g.Settings["vcs"] != "" {
		g.VCS = &api.VCS{
			System:   g.Settings["vcs"],
			Revision: g.Settings["vcs.revision"],
			Time:     g.Settings["vcs.time"],
			Modified: g.Settings["vcs.modified"] == "true",
		}
	}
	return g
}

func module(m *debug.Module) *api.Module {
	out := &api.Module{Path: m.Path, Version: m.Version, Sum: m.Sum}
	if m.Replace != nil {
		out.Replace = module(m.Replace)
	}
	return out
}

// experiments joins those of the version and those of the settings, sorted.
func experiments(fromVersion []string, setting string) []string {
	all := fromVersion
	if setting != "" {
		all = append(all, strings.Split(setting, ",")...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// refinePlatform adds what only the build settings know: the system, where its
// files look like another's, and the instruction set level.
func refinePlatform(p *api.Platform, info *debug.BuildInfo) {
	level := levelSetting(p.Arch)
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			p.OS = s.Value
		case level:
			// What follows the comma is features within the level.
			p.Level, _, _ = strings.Cut(s.Value, ",")
		}
	}
}

// levelSetting names the build setting that holds an architecture's level.
func levelSetting(arch string) string {
	switch arch {
	case "amd64", "386", "arm", "arm64", "riscv64":
		return "GO" + strings.ToUpper(arch)
	case "ppc64", "ppc64le":
		return "GOPPC64"
	case "mips", "mipsle":
		return "GOMIPS"
	case "mips64", "mips64le":
		return "GOMIPS64"
	}
	return "none"
}
