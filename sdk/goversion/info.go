package goversion

import (
	"runtime"
	"runtime/debug"
	"time"
)

// Build is what a program was built from and with.
type Build struct {
	// Version is the toolchain's version as it calls itself, for example
	// "go1.22.5-acme.1".
	Version string
	// Minor is the minor it belongs to, for example "1.22"; empty when Version
	// has no form that [Parse] knows.
	Minor string
	// Main is the import path of the main package.
	Main string
	// Module and ModuleVersion are the module that holds the main package.
	// ModuleVersion is "(devel)" when the build did not know a version.
	Module, ModuleVersion string
	// Settings are the build settings, for example "GOARCH": "amd64" or
	// "-trimpath": "true"; never nil.
	Settings map[string]string
	// VCS is the commit that was built; its zero value when the build was not
	// stamped.
	VCS VCS
}

// VCS is a commit.
type VCS struct {
	// System is the version control system, for example "git".
	System   string
	Revision string
	// Time is the commit's time in UTC; zero when unknown.
	Time time.Time
	// Modified is true when the work tree had uncommitted changes.
	Modified bool
}

// Info returns what the running program was built from and with. Fields that
// the build left out stay empty.
func Info() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return build(runtime.Version(), info)
}

func build(version string, info *debug.BuildInfo) Build {
	b := Build{
		Version:       version,
		Main:          info.Path,
		Module:        info.Main.Path,
		ModuleVersion: info.Main.Version,
		Settings:      make(map[string]string, len(info.Settings)),
	}
	if v, err := Parse(version); err == nil {
		b.Minor = v.MinorString()
	}
	for _, s := range info.Settings {
		b.Settings[s.Key] = s.Value
	}
	b.VCS = VCS{
		System:   b.Settings["vcs"],
		Revision: b.Settings["vcs.revision"],
		Modified: b.Settings["vcs.modified"] == "true",
	}
	if t, err := time.Parse(time.RFC3339, b.Settings["vcs.time"]); err == nil {
		b.VCS.Time = t.UTC()
	}
	return b
}
