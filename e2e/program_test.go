//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
)

// program is one thing to start, as the top layer and the settings of an image.
type program struct {
	name string
	// layer fills the layer.
	layer func(b builder)
	// args is the entrypoint; empty means /app.
	args    []string
	env     []string
	workdir string
	// corrupt is true when a file in the layer cannot be measured.
	corrupt bool
}

// entrypoint returns the arguments that start p.
func (p program) entrypoint() []string {
	if len(p.args) == 0 {
		return []string{"/app"}
	}
	return p.args
}

// Linker flags of the program greet.
const (
	runpath    = "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib"
	rpath      = "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib"
	libraryEnv = "LD_LIBRARY_PATH=/" + greetLib
)

var greetArgs = []string{"/" + greetProgram}

// compiled is a layer that holds one compiled program as /app.
func compiled(source string, how build) func(builder) {
	return func(b builder) { b.compile("app", source, how) }
}

// greeting is a layer with the program greet and its library.
func greeting(libc, ldflags string, flags ...string) func(builder) {
	return func(b builder) { b.greeter(libc, ldflags, flags...) }
}

// nested is a layer whose libgreet needs libinner.
func nested(libc, ldflags string) func(builder) {
	return func(b builder) { b.greeter(libc, ldflags, b.inner(libc)...) }
}

// text is a layer that holds one file as /app.
func text(content string) func(builder) {
	return func(b builder) { writeFile(b.t, b.dir, "app", 0o755, content) }
}

// external makes the C linker link a program; flags are given to it.
func external(flags string) []string {
	return []string{"-ldflags=-linkmode=external -extldflags '" + flags + "'"}
}

// importing builds a program that imports one C function.
func importing(libc, function, ldflags string) build {
	return build{libc: libc, cflags: "-DIMPORT=" + function, ldflags: ldflags}
}

// programs are the programs of the cross product.
func programs() []program {
	var all []program
	for _, group := range [][]program{pureGo, withLibc, withLibraries, withMusl, scripts, lookups} {
		all = append(all, group...)
	}
	return all
}

// pureGo has no C code.
var pureGo = []program{
	{name: "static", layer: compiled("plain", build{})},
	{name: "static-stripped", layer: compiled("plain", build{flags: []string{"-ldflags=-s -w"}})},
	{name: "pie", layer: compiled("plain", build{flags: []string{"-buildmode=pie"}})},
	{name: "packed", layer: func(b builder) {
		b.compile("app", "plain", build{})
		command(b.t, nil, b.upx[0], append(b.upx[1:], "-q", "-1", filepath.Join(b.dir, "app"))...)
	}},
	{name: "arm64", layer: compiled("plain", build{env: []string{"GOARCH=arm64"}})},
	{name: "386", layer: compiled("plain", build{env: []string{"GOARCH=386"}})},
	{name: "windows", layer: compiled("plain", build{env: []string{"GOOS=windows"}})},
	{name: "truncated", corrupt: true, layer: func(b builder) {
		b.compile("app", "plain", build{})
		if err := os.Truncate(filepath.Join(b.dir, "app"), 100); err != nil {
			b.t.Fatal(err)
		}
	}},
}

// leveled is for processors of a level. Programs of C carry it as a property that
// the loader looks at.
var leveled = []program{
	{name: "level-v3", layer: compiled("plain", build{env: []string{"GOAMD64=v3"}})},
	{name: "level-v4", layer: compiled("plain", build{env: []string{"GOAMD64=v4"}})},
	{name: "isa-v3", layer: compiled("cgo", build{libc: bullseye, flags: external("-Wl,-z,x86-64-v3")})},
	{name: "isa-v4", layer: compiled("cgo", build{libc: bullseye, flags: external("-Wl,-z,x86-64-v4")})},
}

// withLibc needs a C library at most.
var withLibc = []program{
	{name: "static-pie", layer: compiled("plain", build{libc: bookworm, flags: append(external("-static-pie"), "-buildmode=pie")})},
	{name: "cgo-static", layer: compiled("cgo", build{libc: bookworm, flags: external("-static")})},
	{name: "cgo-2.31", layer: compiled("cgo", build{libc: bullseye})},
	{name: "cgo-2.36", layer: compiled("cgo", build{libc: bookworm})},
	{name: "floor-2.36", layer: compiled("import", importing(bookworm, "arc4random", ""))},
	{name: "floor-2.38", layer: compiled("import", importing(trixie, "strlcpy", ""))},
	{name: "floor-2.41", layer: compiled("import", importing(trixie, "acospi", "-lm"))},
	{name: "relr", layer: compiled("cgo", build{libc: bookworm, flags: append(external("-Wl,-z,pack-relative-relocs"), "-buildmode=pie")})},
	{name: "preload-missing", layer: compiled("cgo", build{libc: bullseye}), env: []string{"LD_PRELOAD=/nowhere/lib.so"}},
	{name: "own-loader", layer: func(b builder) {
		b.compile("app", "cgo", build{libc: trixie, flags: external("-Wl,--dynamic-linker=/own/ld.so,-rpath,/own")})
		b.copyFile(filepath.Join(b.sysroots[trixie], libDir, "ld-linux-x86-64.so.2"), "own/ld.so")
		b.copyFile(filepath.Join(b.sysroots[trixie], libDir, "libc.so.6"), "own/libc.so.6")
	}},
	{name: "loader-not-executable", layer: func(b builder) {
		b.compile("app", "cgo", build{libc: trixie, flags: external("-Wl,--dynamic-linker=/own/ld.so")})
		b.copyFile(filepath.Join(b.sysroots[trixie], libDir, "ld-linux-x86-64.so.2"), "own/ld.so")
		chmod(b.t, b.dir, "own/ld.so", 0o644)
	}},
	{name: "loader-no-program", layer: func(b builder) {
		b.compile("app", "cgo", build{libc: trixie, flags: external("-Wl,--dynamic-linker=/own/ld.so")})
		writeFile(b.t, b.dir, "own/ld.so", 0o755, strings.Repeat("no loader\n", 100))
	}},
}

// withLibraries needs glibc and one library more.
var withLibraries = []program{
	{name: "libz", layer: compiled("zlib", build{libc: bullseye})},
	{name: "libz-2.36", layer: compiled("zlib", build{libc: bookworm})},
	{name: "runpath", args: greetArgs, layer: greeting(bullseye, runpath)},
	{name: "rpath", args: greetArgs, layer: greeting(bullseye, rpath)},
	{name: "runpath-by-link", args: []string{"/usr/local/bin/greet"}, layer: func(b builder) {
		b.greeter(bullseye, runpath)
		symlink(b.t, b.dir, "/"+greetProgram, "usr/local/bin/greet")
	}},
	{name: "runpath-nested", args: greetArgs, layer: nested(bullseye, runpath+" -Wl,--allow-shlib-undefined")},
	{name: "rpath-nested", args: greetArgs, layer: nested(bullseye, rpath+" -Wl,--allow-shlib-undefined")},
	{name: "inner-missing", args: greetArgs, layer: func(b builder) {
		nested(bullseye, rpath)(b)
		remove(b.t, b.dir, greetLib+"/libinner.so")
	}},
	{name: "library-by-env", args: greetArgs, env: []string{libraryEnv}, layer: greeting(bullseye, "")},
	{name: "library-by-workdir", args: greetArgs, env: []string{"LD_LIBRARY_PATH=:/nowhere"}, workdir: "/" + greetLib, layer: greeting(bullseye, "")},
	{name: "setuid", args: greetArgs, env: []string{libraryEnv}, layer: func(b builder) {
		b.greeter(bullseye, "")
		chmod(b.t, b.dir, greetProgram, 0o755|os.ModeSetuid)
	}},
	{name: "setuid-origin", args: greetArgs, layer: func(b builder) {
		b.greeter(bullseye, runpath)
		chmod(b.t, b.dir, greetProgram, 0o755|os.ModeSetuid)
	}},
	{name: "undefined-now", args: greetArgs, layer: greeting(bullseye, runpath+" -Wl,-z,now", "-DWITHOUT_GREET")},
	{name: "undefined-lazy", args: greetArgs, layer: greeting(bullseye, runpath+" -Wl,-z,lazy", "-DWITHOUT_GREET")},
	{name: "undefined-bind-now", args: greetArgs, env: []string{"LD_BIND_NOW=1"}, layer: greeting(bullseye, runpath+" -Wl,-z,lazy", "-DWITHOUT_GREET")},
	{name: "version-present", args: greetArgs, layer: greeting(bullseye, runpath, versionScript+"versions.map")},
	{name: "version-missing", args: greetArgs, layer: greeting(bullseye, runpath, versionScript+"versions-old.map")},
	{name: "versions-dropped", args: greetArgs, layer: func(b builder) {
		b.greeter(bullseye, runpath, versionScript+"versions.map")
		b.library(bullseye, greetLib+"/libgreet.so", "greet.c")
	}},
	{name: "library-unreadable", args: greetArgs, layer: func(b builder) {
		b.greeter(bullseye, runpath)
		chmod(b.t, b.dir, greetLib+"/libgreet.so", 0o600)
	}},
}

// withMusl is linked with musl.
var withMusl = []program{
	{name: "musl", layer: compiled("cgo", build{libc: muslLibc, flags: external("")})},
	{name: "musl-static", layer: compiled("cgo", build{libc: muslLibc, flags: external("-static")})},
	{name: "musl-runpath", args: greetArgs, layer: greeting(muslLibc, runpath)},
	{name: "musl-runpath-nested", args: greetArgs, layer: nested(muslLibc, runpath+" -Wl,--allow-shlib-undefined")},
	{name: "musl-library-missing", args: greetArgs, layer: greeting(muslLibc, "")},
	{name: "musl-library-by-env", args: greetArgs, env: []string{libraryEnv}, layer: greeting(muslLibc, "")},
	{name: "musl-undefined", args: greetArgs, layer: greeting(muslLibc, runpath+" -Wl,-z,lazy", "-DWITHOUT_GREET")},
}

// scripts are started through what their first line names.
var scripts = []program{
	{name: "script", layer: text("#!/bin/sh\necho started\n")},
	{name: "script-argument", layer: text("#! /bin/sh\t-e \necho started\n")},
	{name: "script-no-interpreter", layer: text("#!/usr/bin/python3\nprint('started')\n")},
	{name: "script-crlf", layer: text("#!/bin/sh\r\necho started\r\n")},
	{name: "script-no-shebang", layer: text("echo started\n")},
	{name: "script-empty-shebang", layer: text("#!\necho started\n")},
	{name: "empty", layer: text("")},
	{name: "script-env", layer: func(b builder) {
		b.compile("usr/local/bin/prog", "plain", build{})
		writeFile(b.t, b.dir, "app", 0o755, "#!/usr/bin/env prog\n")
	}},
	{name: "script-env-missing", layer: text("#!/usr/bin/env prog\n")},
	{name: "script-of-script", layer: func(b builder) {
		writeFile(b.t, b.dir, "opt/interpreter", 0o755, "#!/bin/sh\necho started\n")
		writeFile(b.t, b.dir, "app", 0o755, "#!/opt/interpreter\n")
	}},
	{name: "script-of-program", layer: func(b builder) {
		b.compile("opt/interpreter", "zlib", build{libc: bullseye})
		writeFile(b.t, b.dir, "app", 0o755, "#!/opt/interpreter\n")
	}},
	{name: "script-interpreter-not-executable", layer: func(b builder) {
		b.compile("opt/interpreter", "plain", build{})
		chmod(b.t, b.dir, "opt/interpreter", 0o644)
		writeFile(b.t, b.dir, "app", 0o755, "#!/opt/interpreter\n")
	}},
	{name: "script-unreadable", layer: func(b builder) {
		writeFile(b.t, b.dir, "app", 0o711, "#!/bin/sh\necho started\n")
	}},
}

// lookups are about finding the program at all.
var lookups = []program{
	{name: "not-executable", layer: func(b builder) {
		b.compile("app", "plain", build{})
		chmod(b.t, b.dir, "app", 0o644)
	}},
	{name: "missing", args: []string{"/app/server"}, layer: func(b builder) { makeDir(b.t, b.dir, "app") }},
	{name: "missing-in-path", args: []string{"server"}, layer: func(b builder) { makeDir(b.t, b.dir, "app") }},
	{name: "below-a-file", args: []string{"/app/server"}, layer: text("no directory\n")},
	{name: "directory", layer: func(b builder) { makeDir(b.t, b.dir, "app") }},
	{name: "symlink", args: []string{"/opt/link"}, layer: func(b builder) {
		b.compile("app", "plain", build{})
		symlink(b.t, b.dir, "../app", "opt/link")
	}},
	{name: "symlink-dangling", layer: func(b builder) { symlink(b.t, b.dir, "/opt/nothing", "app") }},
	{name: "symlink-loop", layer: func(b builder) { symlink(b.t, b.dir, "app", "app") }},
	{name: "in-path", args: []string{"server"}, layer: func(b builder) { b.compile("usr/local/bin/server", "plain", build{}) }},
	{name: "in-own-path", args: []string{"server"}, env: []string{"PATH=/nowhere:/opt/bin"}, layer: func(b builder) {
		b.compile("opt/bin/server", "plain", build{})
	}},
	{name: "second-in-path", args: []string{"server"}, layer: func(b builder) {
		b.compile("usr/local/bin/server", "plain", build{})
		writeFile(b.t, b.dir, "usr/local/sbin/server", 0o644, "no program\n")
	}},
	{name: "in-workdir", args: []string{"./server"}, workdir: "/srv", layer: func(b builder) { b.compile("srv/server", "plain", build{}) }},
	{name: "private-directory", args: []string{"/private/app"}, layer: func(b builder) {
		b.compile("private/app", "plain", build{})
		chmod(b.t, b.dir, "private", 0o700)
	}},
	{name: "owner-only", layer: func(b builder) {
		b.compile("app", "plain", build{})
		chmod(b.t, b.dir, "app", 0o700)
	}},
}
