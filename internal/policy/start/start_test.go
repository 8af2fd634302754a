package start

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
)

// entry is one file of a root made for a test.
type entry struct {
	node rootfs.Node
	file rootfs.File
}

// mapFS is a root file system in memory; directories are implied.
type mapFS map[string]entry

func (m mapFS) Lstat(name string) (rootfs.Node, error) {
	if e, ok := m[name]; ok {
		return e.node, nil
	}
	for file := range m {
		if name == "/" || strings.HasPrefix(file, name+"/") {
			return rootfs.Node{Mode: fs.ModeDir | 0o755}, nil
		}
	}
	return rootfs.Node{}, fs.ErrNotExist
}

func (m mapFS) File(name string) (rootfs.File, error) {
	e, ok := m[name]
	if !ok {
		return rootfs.File{}, fs.ErrNotExist
	}
	if e.file.Head == nil && e.file.Content == nil && e.file.Object == nil {
		return rootfs.File{}, fmt.Errorf("%s was not measured", name)
	}
	return e.file, nil
}

func (m mapFS) ReadDir(name string) ([]string, error) {
	names := map[string]bool{}
	for file := range m {
		if rest, ok := strings.CutPrefix(file, strings.TrimSuffix(name, "/")+"/"); ok {
			first, _, _ := strings.Cut(rest, "/")
			names[first] = true
		}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// with returns the root with more files laid over it.
func (m mapFS) with(more mapFS) mapFS {
	all := maps.Clone(m)
	maps.Copy(all, more)
	return all
}

func text(mode fs.FileMode, content string) entry {
	head := content[:min(len(content), rootfs.HeadSize)]
	return entry{rootfs.Node{Mode: mode, Size: int64(len(content))}, rootfs.File{Head: []byte(head), Content: []byte(content)}}
}

func link(target string) entry {
	return entry{node: rootfs.Node{Mode: fs.ModeSymlink | 0o777, Target: target}}
}

// object is an ELF file for amd64, changed by opts.
func object(mode fs.FileMode, opts ...func(*exe.Object)) entry {
	o := &exe.Object{
		Facts:   api.Facts{Format: "elf", Platform: api.Platform{OS: "linux", Arch: "amd64"}},
		Program: true,
		ELF:     &exe.ELF{Class: 64, Machine: 62, Type: etDyn},
	}
	for _, opt := range opts {
		opt(o)
	}
	return entry{rootfs.Node{Mode: mode, Size: 1}, rootfs.File{Object: o}}
}

func interp(name, libc string) func(*exe.Object) {
	return func(o *exe.Object) {
		o.ELF.Interp, o.ELF.HasInterp, o.Facts.Link.Libc = name, true, libc
	}
}

func dynamic(set func(*exe.Dynamic)) func(*exe.Object) {
	return func(o *exe.Object) {
		if o.ELF.Dynamic == nil {
			o.ELF.Dynamic = &exe.Dynamic{}
		}
		set(o.ELF.Dynamic)
	}
}

func needs(names ...string) func(*exe.Object) {
	return dynamic(func(d *exe.Dynamic) { d.Needed = names })
}

func imports(list ...exe.Import) func(*exe.Object) {
	return dynamic(func(d *exe.Dynamic) { d.Imports = list })
}

func exports(names ...string) func(*exe.Object) {
	return dynamic(func(d *exe.Dynamic) { d.Exports = exe.NewSymbolSet(names) })
}

func requires(lib string, versions ...string) func(*exe.Object) {
	return dynamic(func(d *exe.Dynamic) {
		req := exe.Requirement{Library: lib}
		for _, v := range versions {
			req.Versions = append(req.Versions, exe.Version{Name: v})
		}
		d.Requires = append(d.Requires, req)
	})
}

func defines(versions ...string) func(*exe.Object) {
	return dynamic(func(d *exe.Dynamic) { d.Defines, d.HasVersions = versions, true })
}

func machine(arch string, number uint16) func(*exe.Object) {
	return func(o *exe.Object) { o.Facts.Platform.Arch, o.ELF.Machine = arch, number }
}

// The roots of the tests.
var (
	glibcRoot = mapFS{
		"/lib64/ld-linux-x86-64.so.2": object(0o755, dynamic(func(d *exe.Dynamic) { d.Soname = "ld-linux-x86-64.so.2" }), exports("__tls_get_addr")),
		"/lib/x86_64-linux-gnu/libc.so.6": object(0o755, needs("ld-linux-x86-64.so.2"),
			defines("GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.36"), exports("write", "malloc")),
		"/etc/passwd": text(0o644, "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"),
	}
	muslRoot = mapFS{"/lib/ld-musl-x86_64.so.1": object(0o755, exports("write", "malloc"))}

	glibcApp = object(0o755, interp("/lib64/ld-linux-x86-64.so.2", api.LibcGNU), needs("libc.so.6"),
		requires("libc.so.6", "GLIBC_2.34"), imports(exe.Import{Name: "write"}))
	muslApp = object(0o755, interp("/lib/ld-musl-x86_64.so.1", api.LibcMusl), needs("libc.so"), imports(exe.Import{Name: "write"}))
	static  = object(0o755)
)

func TestCheck(t *testing.T) {
	lib := func(opts ...func(*exe.Object)) entry { return object(0o644, opts...) }
	app := func(opts ...func(*exe.Object)) entry {
		return object(0o755, append([]func(*exe.Object){interp("/lib64/ld-linux-x86-64.so.2", api.LibcGNU)}, opts...)...)
	}
	needLib := app(needs("libx.so.1", "libc.so.6"))
	rpath := func(s string) func(*exe.Object) { return dynamic(func(d *exe.Dynamic) { d.Rpath = s }) }
	runpath := func(s string) func(*exe.Object) {
		return dynamic(func(d *exe.Dynamic) { d.Runpath, d.HasRunpath = s, true })
	}

	tests := []struct {
		name string
		root mapFS
		args string
		env  []string
		user string
		cpu  int
		want []string
	}{
		{name: "static starts on an empty root", root: mapFS{"/app": static}},
		{name: "no entrypoint", root: mapFS{"/app": static}, args: "-", want: []string{EntrypointMissing}},
		{name: "not there", root: mapFS{"/other": static}, want: []string{EntrypointMissing}},
		{name: "found along PATH", root: mapFS{"/usr/bin/app": static}, args: "app"},
		{name: "not in the image's PATH", root: mapFS{"/usr/bin/app": static}, args: "app", env: []string{"PATH=/bin"}, want: []string{EntrypointMissing}},
		{name: "dangling link", root: mapFS{"/app": link("/gone")}, want: []string{EntrypointMissing}},
		{name: "link loop", root: mapFS{"/app": link("/b"), "/b": link("/app")}, want: []string{EntrypointMissing}},
		{name: "directory", root: mapFS{"/app/x": static}, want: []string{NotExecutable}},
		{name: "mode 0644", root: mapFS{"/app": object(0o644)}, want: []string{NotExecutable}},
		{name: "only root may", root: mapFS{"/app": object(0o700)}, user: "1000", want: []string{NotExecutable}},
		{name: "only root may, and it is root", root: mapFS{"/app": object(0o700)}},
		{name: "closed directory", root: mapFS{"/app": link("/d/app"), "/d": {node: rootfs.Node{Mode: fs.ModeDir | 0o700}}, "/d/app": static}, user: "1000", want: []string{NotExecutable}},
		{name: "unknown user", root: glibcRoot.with(mapFS{"/app": static}), user: "nobody", want: []string{UserUnknown}},
		{name: "named user", root: glibcRoot.with(mapFS{"/app": static}), user: "app"},
		{name: "text", root: mapFS{"/app": text(0o755, "echo hello\n")}, want: []string{ExecFormat}},
		{name: "empty file", root: mapFS{"/app": text(0o755, "")}, want: []string{ExecFormat}},
		{name: "other processor", root: mapFS{"/app": object(0o755, machine("arm64", 183))}, want: []string{Arch}},
		{name: "32-bit sibling", root: mapFS{"/app": object(0o755, machine("386", 3))}, want: []string{ArchCompat}},
		{name: "set-user-ID", root: mapFS{"/app": object(0o755 | fs.ModeSetuid)}, user: "1000", want: []string{Setuid}},

		{name: "script", root: mapFS{"/app": text(0o755, "#! /bin/sh -e\n"), "/bin/sh": static}, want: []string{Wrapper}},
		{name: "script without its interpreter", root: mapFS{"/app": text(0o755, "#!/bin/sh\n")}, want: []string{ScriptInterpreterMissing}},
		{name: "script with carriage returns", root: mapFS{"/app": text(0o755, "#!/bin/sh\r\n"), "/bin/sh": static}, want: []string{ScriptInterpreterMissing}},
		{name: "script whose shell does not start", root: mapFS{"/app": text(0o755, "#!/bin/sh\n"), "/bin/sh": glibcApp}, want: []string{InterpreterMissing}},
		{name: "script that its user may not read", root: mapFS{"/app": text(0o711, "#!/bin/sh\n"), "/bin/sh": static}, user: "1000", want: []string{NotExecutable}},
		{name: "script of itself", root: mapFS{"/app": text(0o755, "#!/app\n")}, want: []string{ExecFormat}},
		{name: "cut off #!", root: mapFS{"/app": text(0o755, "#!/"+strings.Repeat("x", 300)+"\n")}, want: []string{ExecFormat}},
		{name: "env script", root: mapFS{"/app": text(0o755, "#!/usr/bin/env prog\n"), "/usr/bin/env": static, "/usr/bin/prog": static}, want: []string{Wrapper}},
		{name: "env script without its program", root: mapFS{"/app": text(0o755, "#!/usr/bin/env prog\n"), "/usr/bin/env": static}, want: []string{ScriptInterpreterMissing}},

		{name: "glibc on glibc", root: glibcRoot.with(mapFS{"/app": glibcApp})},
		{name: "glibc on musl", root: muslRoot.with(mapFS{"/app": glibcApp}), want: []string{InterpreterMissing}},
		{name: "musl on musl", root: muslRoot.with(mapFS{"/app": muslApp})},
		{name: "musl on glibc", root: glibcRoot.with(mapFS{"/app": muslApp}), want: []string{InterpreterMissing}},
		{name: "loader of another machine", root: mapFS{"/app": glibcApp, "/lib64/ld-linux-x86-64.so.2": object(0o755, machine("arm64", 183))}, want: []string{InterpreterInvalid}},
		{name: "loader not executable", root: mapFS{"/app": glibcApp, "/lib64/ld-linux-x86-64.so.2": object(0o644)}, want: []string{InterpreterInvalid}},
		{name: "floor too high", root: glibcRoot.with(mapFS{"/app": app(needs("libc.so.6"), requires("libc.so.6", "GLIBC_2.34", "GLIBC_2.38"))}), want: []string{SymbolVersion}},

		{name: "library missing", root: glibcRoot.with(mapFS{"/app": needLib}), want: []string{LibraryMissing}},
		{name: "library in a system directory", root: glibcRoot.with(mapFS{"/app": needLib, "/usr/lib/x86_64-linux-gnu/libx.so.1": lib()})},
		{name: "library that a library needs", root: glibcRoot.with(mapFS{"/app": needLib, "/lib/libx.so.1": lib(needs("liby.so"))}), want: []string{LibraryMissing}},
		{name: "unreadable library", root: glibcRoot.with(mapFS{"/app": needLib, "/lib/libx.so.1": object(0o600)}), user: "1000", want: []string{LibraryMissing}},
		{name: "library of another machine is passed over", root: glibcRoot.with(mapFS{"/app": needLib, "/lib/x86_64-linux-gnu/libx.so.1": lib(machine("arm64", 183)), "/usr/lib/libx.so.1": lib()})},
		{name: "a text for a library ends the search", root: glibcRoot.with(mapFS{"/app": needLib, "/lib/x86_64-linux-gnu/libx.so.1": text(0o644, "INPUT(libx.so)"), "/usr/lib/libx.so.1": lib()}), want: []string{LibraryInvalid}},
		{name: "LD_LIBRARY_PATH", root: glibcRoot.with(mapFS{"/app": needLib, "/opt/libx.so.1": lib()}), env: []string{"LD_LIBRARY_PATH=/none:/opt"}},
		{name: "LD_LIBRARY_PATH of a set-user-ID program", root: glibcRoot.with(mapFS{"/app": setuid(needLib), "/opt/libx.so.1": lib()}), env: []string{"LD_LIBRARY_PATH=/opt"}, user: "1000", want: []string{Setuid, LibraryMissing}},
		{name: "RUNPATH with $ORIGIN", root: glibcRoot.with(mapFS{"/opt/bin/app": app(needs("libx.so.1"), runpath("$ORIGIN/../lib")), "/opt/lib/libx.so.1": lib(), "/app": link("/opt/bin/app")})},
		{name: "RUNPATH is not inherited", root: glibcRoot.with(mapFS{"/app": app(needs("libx.so.1"), runpath("/opt")), "/opt/libx.so.1": lib(needs("liby.so")), "/opt/liby.so": lib()}), want: []string{LibraryMissing}},
		{name: "RPATH is inherited", root: glibcRoot.with(mapFS{"/app": app(needs("libx.so.1"), rpath("/opt")), "/opt/libx.so.1": lib(needs("liby.so")), "/opt/liby.so": lib()})},
		{name: "RUNPATH of a library hides the program's RPATH", root: glibcRoot.with(mapFS{"/app": app(needs("libx.so.1"), rpath("/opt")), "/opt/libx.so.1": lib(needs("liby.so"), runpath("/none")), "/opt/liby.so": lib()}), want: []string{LibraryMissing}},
		{name: "RPATH before LD_LIBRARY_PATH", root: glibcRoot.with(mapFS{"/app": app(needs("libx.so.1"), rpath("/a")), "/a/libx.so.1": text(0o644, "x"), "/b/libx.so.1": lib()}), env: []string{"LD_LIBRARY_PATH=/b"}, want: []string{LibraryInvalid}},
		{name: "LD_LIBRARY_PATH before RUNPATH", root: glibcRoot.with(mapFS{"/app": app(needs("libx.so.1"), runpath("/a")), "/a/libx.so.1": text(0o644, "x"), "/b/libx.so.1": lib()}), env: []string{"LD_LIBRARY_PATH=/b"}},
		{name: "a path for a name", root: glibcRoot.with(mapFS{"/app": app(needs("/opt/x.so")), "/opt/x.so": lib()})},
		{name: "a SONAME that is loaded already", root: glibcRoot.with(mapFS{"/app": app(needs("/opt/x.so", "libx.so.1")), "/opt/x.so": lib(dynamic(func(d *exe.Dynamic) { d.Soname = "libx.so.1" }))})},
		{name: "preloaded library missing", root: glibcRoot.with(mapFS{"/app": glibcApp}), env: []string{"LD_PRELOAD=/none.so"}, want: []string{PreloadIgnored}},

		{name: "strong symbol missing", root: glibcRoot.with(mapFS{"/app": app(needs("libc.so.6"), imports(exe.Import{Name: "gone"}))}), want: []string{SymbolMissing}},
		{name: "weak symbol missing", root: glibcRoot.with(mapFS{"/app": app(needs("libc.so.6"), imports(exe.Import{Name: "gone", Weak: true}))})},
		{name: "lazy symbol missing", root: glibcRoot.with(mapFS{"/app": app(needs("libc.so.6"), imports(exe.Import{Name: "gone", Lazy: true}))})},
		{name: "lazy symbol missing, bound now", root: glibcRoot.with(mapFS{"/app": app(needs("libc.so.6"), imports(exe.Import{Name: "gone", Lazy: true}))}), env: []string{"LD_BIND_NOW=1"}, want: []string{SymbolMissing}},
		{name: "musl binds lazy symbols", root: muslRoot.with(mapFS{"/app": object(0o755, interp("/lib/ld-musl-x86_64.so.1", api.LibcMusl), imports(exe.Import{Name: "gone", Lazy: true}))}), want: []string{SymbolMissing}},
		{name: "musl is libm.so.6 and libpthread", root: muslRoot.with(mapFS{"/app": object(0o755, interp("/lib/ld-musl-x86_64.so.1", api.LibcMusl), needs("libm.so.6", "libpthread.so.0"))})},
		{name: "musl knows no versions", root: muslRoot.with(mapFS{"/app": object(0o755, interp("/lib/ld-musl-x86_64.so.1", api.LibcMusl), requires("libc.so.6", "GLIBC_2.99"))})},
		{name: "musl inherits RUNPATH", root: muslRoot.with(mapFS{"/app": object(0o755, interp("/lib/ld-musl-x86_64.so.1", api.LibcMusl), needs("libx.so"), runpath("$ORIGIN/l")), "/l/libx.so": lib(needs("liby.so")), "/l/liby.so": lib()})},
		{name: "musl's path file", root: muslRoot.with(mapFS{"/app": object(0o755, interp("/lib/ld-musl-x86_64.so.1", api.LibcMusl), needs("libx.so")), "/opt/libx.so": lib(), "/etc/ld-musl-x86_64.path": text(0o644, "/lib\n/opt\n")})},
		{name: "musl's path file replaces the default", root: muslRoot.with(mapFS{"/app": object(0o755, interp("/lib/ld-musl-x86_64.so.1", api.LibcMusl), needs("libx.so")), "/usr/lib/libx.so": lib(), "/etc/ld-musl-x86_64.path": text(0o644, "/opt\n")}), want: []string{LibraryMissing}},

		{name: "GOAMD64=v3 on v2", root: mapFS{"/app": object(0o755, func(o *exe.Object) { o.Facts.Platform.Level = "v3" })}, cpu: 2, want: []string{CPULevel}},
		{name: "GOAMD64=v3 on v3", root: mapFS{"/app": object(0o755, func(o *exe.Object) { o.Facts.Platform.Level = "v3" })}, cpu: 3},
		{name: "library for v4 on v3", root: glibcRoot.with(mapFS{"/app": needLib, "/lib/libx.so.1": lib(func(o *exe.Object) { o.ELF.ISALevel = 4 })}), cpu: 3, want: []string{CPULevel}},
		{name: "library in glibc-hwcaps", root: glibcRoot.with(mapFS{"/app": needLib, "/usr/lib/glibc-hwcaps/x86-64-v3/libx.so.1": lib()}), cpu: 3},
		{name: "library in glibc-hwcaps of better CPUs", root: glibcRoot.with(mapFS{"/app": needLib, "/usr/lib/glibc-hwcaps/x86-64-v3/libx.so.1": lib()}), cpu: 2, want: []string{LibraryMissing}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			process := &facts.Process{Args: []string{"/app"}, Env: tt.env, User: tt.user}
			switch tt.args {
			case "":
			case "-":
				process.Args = nil
			default:
				process.Args = []string{tt.args}
			}
			s := &facts.Subject{Ref: "test", Platform: api.Platform{OS: "linux", Arch: "amd64"}, Root: tt.root, Process: process, Image: &api.Image{}}
			var got []string
			for _, f := range Check(s, Options{CPULevel: tt.cpu}) {
				got = append(got, f.Rule)
				if f.Message == "" || f.Hint == "" || strings.Contains(f.Message, "%!") {
					t.Errorf("finding without a whole message or hint: %+v", f)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

// setuid returns e as a set-user-ID file of root's.
func setuid(e entry) entry {
	e.node.Mode |= fs.ModeSetuid
	return e
}

func TestSurroundings(t *testing.T) {
	program := func(capabilities ...string) api.Facts {
		return api.Facts{Path: "/app", Go: &api.Go{}, Capabilities: capabilities}
	}
	certs := mapFS{"/etc/ssl/certs/ca-certificates.crt": text(0o644, "PEM")}
	zones := mapFS{"/usr/share/zoneinfo/Europe/Paris": text(0o644, "TZif")}
	tests := []struct {
		name string
		file api.Facts
		root mapFS
		env  string
		want []string
	}{
		{name: "needs nothing", file: program()},
		{name: "TLS without roots", file: program(capSystemRoots), want: []string{NoCACertificates}},
		{name: "TLS with roots", file: program(capSystemRoots), root: certs},
		{name: "TLS with roots elsewhere", file: program(capSystemRoots), root: mapFS{"/ca.pem": text(0o644, "PEM")}, env: "SSL_CERT_FILE=/ca.pem"},
		{name: "TLS with embedded roots", file: program(capSystemRoots, capEmbeddedRoots)},
		{name: "empty bundle", file: program(capSystemRoots), root: mapFS{"/etc/ssl/cert.pem": text(0o644, "")}, want: []string{NoCACertificates}},
		{name: "zones missing", file: program(capTimezone), want: []string{NoZoneinfo}},
		{name: "zones in the image", file: program(capTimezone), root: zones},
		{name: "zones in the program", file: program(capTimezone, capTzdata)},
		{name: "zones through ZONEINFO", file: program(capTimezone), root: mapFS{"/z.zip": text(0o644, "PK")}, env: "ZONEINFO=/z.zip"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := mapFS{"/app": static}.with(tt.root)
			s := &facts.Subject{Ref: "test", Root: root, Files: []api.Facts{tt.file},
				Process: &facts.Process{Args: []string{"/app"}, Env: []string{tt.env}}}
			var got []string
			for _, f := range Check(s, Options{}) {
				got = append(got, f.Rule)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnmeasured(t *testing.T) {
	root := mapFS{"/app": {node: rootfs.Node{Mode: 0o755}}}
	s := &facts.Subject{Root: root, Process: &facts.Process{Args: []string{"/app"}}}
	got := Check(s, Options{})
	if len(got) != 1 || got[0].Rule != Unmeasured || !strings.Contains(got[0].Message, "/app was not measured") {
		t.Errorf("Check = %+v, want one finding %s with the reason", got, Unmeasured)
	}
}

func TestRulesAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules {
		if seen[r.ID] || path.Dir(r.ID) != "start" || r.Description == "" || r.Hint == "" {
			t.Errorf("rule %+v: want a unique id start/…, a description and a hint", r)
		}
		seen[r.ID] = true
	}
}

func TestCapabilitiesExist(t *testing.T) {
	for _, name := range []string{capSystemRoots, capEmbeddedRoots, capTimezone, capTzdata} {
		if !slices.ContainsFunc(exe.Capabilities, func(c exe.Capability) bool { return c.Name == name }) {
			t.Errorf("package exe has no capability %q", name)
		}
	}
}
