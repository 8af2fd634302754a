package dockerfile

import (
	"slices"
	"strings"
)

// bases checks the images of the FROM lines.
func (c *check) bases() {
	for _, st := range c.file.stages {
		if st.from == nil && st.base.golang {
			c.goImage(st)
		}
	}
	for st := range c.file.final().chain() {
		if st.from == nil {
			c.pinned(st)
		}
	}
}

func (c *check) goImage(st *stage) {
	if st.base.goVersion == "" {
		if st.base.digest == "" {
			c.report(GoUnpinned, st.line, "%s does not say the minor version of Go", st.base.ref)
		}
		return
	}
	if v, ok := st.vars.lookup("GOTOOLCHAIN"); ok && v.value != "local" {
		return // another toolchain compiles
	}
	switch s := c.set.Matrix.Support(st.base.goVersion, c.set.Today); {
	case s.Known && !s.Supported && s.Until != nil:
		c.report(GoUnsupported, st.line, "%s: support of Go %s ended on %s; the oldest supported version is %s",
			st.base.ref, s.Minor, s.Until.Format("2006-01-02"), s.Oldest)
	case s.Known && !s.Supported:
		c.report(GoUnsupported, st.line, "%s: Go %s is not supported any more; the oldest supported version is %s", st.base.ref, s.Minor, s.Oldest)
	case s.Newer:
		c.report(GoUnknown, st.line, "%s: Go %s is newer than the version matrix", st.base.ref, s.Minor)
	}
}

// pinned checks the image that the final stage is based on.
func (c *check) pinned(st *stage) {
	b := st.base
	switch {
	case b.ref == "scratch" || !isKnown(b.ref) || b.digest != "":
	case b.tag == "" || strings.HasPrefix(b.tag, "latest"):
		if !b.golang {
			c.report(BaseUnpinned, st.line, "%s has no tag that says which release it is", b.ref)
		}
	default:
		c.report(BaseWithoutDigest, st.line, "%s has no digest", b.ref)
	}
}

// practice checks how programs are built.
func (c *check) practice() {
	for b := range c.file.builds() {
		switch {
		case b.vague || b.tool:
		case !b.trimpath:
			c.report(NoTrimpath, b.line, "go build without -trimpath")
		}
		if !b.tool && !b.cached {
			c.report(NoCacheMount, b.line, "go build without a cache mount for its build cache")
		}
	}
	for _, st := range c.file.stages {
		c.copyOrder(st)
	}
	for _, st := range c.file.stages {
		for _, in := range st.copies {
			for _, s := range in.sources {
				if in.add && !in.checked && isDownload(s) {
					c.report(AddRemote, in.line, "ADD %s without --checksum", withoutUser(shown(s)))
				}
			}
		}
	}
}

// isDownload reports whether ADD fetches source as a file; repositories are
// fetched by their commit or branch.
func isDownload(source string) bool {
	url, isURL := strings.CutPrefix(source, "https://")
	if !isURL {
		url, isURL = strings.CutPrefix(source, "http://")
	}
	url, _, _ = strings.Cut(url, "#")
	return isURL && !strings.HasSuffix(url, ".git")
}

// copyOrder finds a COPY of everything that stands before go mod download.
func (c *check) copyOrder(st *stage) {
	all := slices.IndexFunc(st.copies, func(in copied) bool {
		whole := func(s string) bool { return s == "." || s == "./" || s == "/" || s == "*" }
		return in.from == nil && !in.other && slices.ContainsFunc(in.sources, whole)
	})
	if all < 0 {
		return
	}
	line := st.copies[all].line
	for s := range st.chain() {
		for _, r := range s.runs {
			if r.downloads() && (r.modCache || s != st || r.line < line) {
				return
			}
		}
	}
	if slices.ContainsFunc(st.runs, run.downloads) {
		c.report(CopyBeforeDownload, line, "the whole source is copied before go mod download")
	}
}

// downloads reports whether r is a go mod download.
func (r run) downloads() bool {
	return slices.ContainsFunc(r.commands, func(c command) bool {
		args, _ := goCommand(c)
		return len(args) > 1 && args[0] == "mod" && args[1] == "download"
	})
}
