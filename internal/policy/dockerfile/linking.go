package dockerfile

import (
	"iter"
	"slices"
	"strings"
)

// shipped returns every build whose program a container of the file runs, with
// the stage that it runs in: those that no other stage uses, and the final one.
// A stage with nothing but files, for `docker build --output`, is none.
func (f *file) shipped() iter.Seq2[*stage, *build] {
	return func(yield func(*stage, *build) bool) {
		for _, st := range f.stages {
			if st.used && st != f.final() || st.base.empty && st.entrypoint == nil && st.cmd == nil {
				continue
			}
			for _, b := range st.programBuilds() {
				if !yield(st, b) {
					return
				}
			}
		}
	}
}

// programBuilds returns the builds of the programs in st, each once.
func (st *stage) programBuilds() []*build {
	var builds []*build
	for s := range st.chain() {
		for _, p := range s.programs {
			if !slices.Contains(builds, p.build) {
				builds = append(builds, p.build)
			}
		}
	}
	return builds
}

// bringsLibc reports whether st may hold another C library than its base does.
func (st *stage) bringsLibc() bool {
	return st.runsText("glibc", "gcompat", "libc6-compat", "ld-linux", "ld-musl", "musl") ||
		st.copiesPath(func(p string) bool {
			return !isKnown(p) || strings.HasPrefix(p, "/lib") || strings.HasPrefix(p, "/usr/lib") || strings.Contains(p, "ld-")
		})
}

// linking checks whether programs can start where they are copied to.
func (c *check) linking() {
	for st, b := range c.file.shipped() {
		if !st.bringsLibc() {
			c.libc(st, b)
			c.pie(st, b)
		}
	}
	for b := range c.file.builds() {
		c.static(b)
	}
	c.cgoSettings()
}

func (c *check) libc(st *stage, b *build) {
	builder, runtime := b.stage.base, st.base
	if !b.dynamic() || builder.libc == "" || runtime.libc == "" {
		return
	}
	why := "cgo is on, as CGO_ENABLED does not turn it off"
	if b.cgo == cgoOn {
		why = "CGO_ENABLED=1"
	}
	switch {
	case builder.libc != runtime.libc:
		has := "has " + runtime.libc
		if runtime.libc == noLib {
			has = "has no C library"
		}
		c.report(LibcMismatch, b.line, "%s: the program is linked with %s of %s, and %s (line %d) that it is copied to %s",
			why, builder.libc, builder.ref, runtime.ref, st.line, has)
	case runtime.tooOld(builder):
		c.report(LibcMismatch, b.line, "%s: the program is linked with glibc %s of %s and needs at least 2.34; %s (line %d) that it is copied to has %s",
			why, builder.glibc, builder.ref, runtime.ref, st.line, runtime.glibc)
	case b.cgo == cgoOn && runtime.glibc != version{} && runtime.glibc.less(builder.glibc):
		c.report(GlibcOlder, b.line, "the program is linked with glibc %s of %s; %s (line %d) that it is copied to has %s",
			builder.glibc, builder.ref, runtime.ref, st.line, runtime.glibc)
	}
}

func (c *check) pie(st *stage, b *build) {
	if b.vague || b.cross || b.mode != "pie" || b.cgo != cgoOff || b.external() {
		return
	}
	if st.base.libc == noLib || st.base.libc == musl {
		c.report(PIEStatic, b.line, "-buildmode=pie with CGO_ENABLED=0: the program names glibc's dynamic loader, which %s (line %d) does not have",
			st.base.ref, st.line)
	}
}

func (c *check) static(b *build) {
	for i, f := range b.ldflags {
		if f == "-static" && (i == 0 || !strings.HasSuffix(b.ldflags[i-1], "-extldflags")) {
			c.report(StaticWithoutNetgo, b.line, "-ldflags=-static: Go's linker has no such flag; the C linker's flags go into -extldflags")
			return
		}
	}
	cgo := b.cgo == cgoOn || b.cgo == cgoDefault
	if b.vague || b.cross || !cgo || b.stage.base.libc != glibc || !b.plainCompiler() || !b.asksStatic() ||
		b.hasTag("netgo") && b.hasTag("osusergo") {
		return
	}
	c.report(StaticWithoutNetgo, b.line, "-extldflags %q with cgo and glibc, without the tags netgo and osusergo", b.ldflag("extldflags"))
}

// cgoSettings finds settings of CGO_ENABLED that no build sees.
func (c *check) cgoSettings() {
	const name = "CGO_ENABLED"
	builds := slices.Collect(c.file.builds())
	if len(builds) == 0 {
		return
	}
	for _, st := range c.file.stages {
		for _, a := range st.assignments {
			if a.name == name && !a.empty && !c.file.seen(st, a.line) {
				c.report(CGORuntimeOnly, a.line, "%s=%s: no go build follows in this stage", name, shown(a.value))
			}
		}
	}
	repeated := slices.ContainsFunc(c.file.stages, func(st *stage) bool { return st.assigns(name) })
	for _, a := range c.file.globals {
		if a.name == name && !a.empty && !repeated {
			c.report(CGORuntimeOnly, a.line, "ARG %s=%s stands before FROM, and no stage repeats ARG %s", name, shown(a.value), name)
		}
	}
}

// shown returns a value for a message.
func shown(value string) string { return strings.ReplaceAll(value, unknown, "…") }

// seen reports whether a command that may be a go build sees what st sets in a
// line: it follows in st or stands in a stage that is based on st.
func (f *file) seen(st *stage, line int) bool {
	if st.base.golang && !st.used && len(st.builds) == 0 {
		return true // an image to develop in: the container itself may build
	}
	for _, other := range f.stages {
		based := other != st && other.any(func(s *stage) bool { return s == st })
		if other != st && !based {
			continue
		}
		for _, r := range other.runs {
			if (based || r.line > line) && r.mayBuild() {
				return true
			}
		}
	}
	return false
}

// mayBuild reports whether r runs the go command, or what may run it.
func (r run) mayBuild() bool {
	return len(r.commands) == 0 || slices.ContainsFunc(r.commands, func(c command) bool {
		name := c.name()
		return name == "go" || name == "xx-go" || installer(c) == "" && !slices.Contains(plain, name)
	})
}

// platforms checks whether programs are of the platform of the image.
func (c *check) platforms() {
	for st, b := range c.file.shipped() {
		if b.vague || b.cross || st.entrypoint == nil && st.cmd == nil || strings.Contains(st.platform, "BUILDPLATFORM") {
			continue
		}
		c.platform(st, b)
	}
}

func (c *check) platform(st *stage, b *build) {
	onBuild := b.stage.any(func(s *stage) bool { return strings.Contains(s.platform, "BUILDPLATFORM") })
	_, target, _ := strings.Cut(st.platform, "/")
	target, _, _ = strings.Cut(target, "/")
	if strings.Contains(st.platform, "$") {
		target = ""
	}
	switch {
	case slices.Contains([]string{"darwin", "windows", "freebsd"}, b.goos) && st.base.libc != "":
		c.report(Arch, b.line, "GOOS=%s: %s (line %d) runs on Linux", b.goos, st.base.ref, st.line)
	case onBuild && b.goarch == "":
		c.report(Arch, b.line, "the builder runs on $BUILDPLATFORM and GOARCH is not set: the program is the build machine's, whatever the image's platform")
	case b.goarch == "" || !isKnown(b.goarch):
	case target != "" && target != b.goarch:
		c.report(Arch, b.line, "GOARCH=%s: the stage of line %d has --platform=%s", b.goarch, st.line, st.platform)
	case target == "" && (onBuild || c.file.multiPlatform()):
		c.report(Arch, b.line, "GOARCH=%s in a file for several platforms", b.goarch)
	}
}

// multiPlatform reports whether the file asks for the platform it is built for.
func (f *file) multiPlatform() bool {
	return slices.ContainsFunc(f.stages, func(st *stage) bool { return st.assigns("TARGETARCH", "TARGETPLATFORM") })
}
