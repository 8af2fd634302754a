package dockerfile

import (
	"path"
	"slices"
	"strings"
)

// runtime checks what containers of the final stage find.
func (c *check) runtime() {
	st := c.file.final()
	if st.base.empty && st.entrypoint == nil && st.cmd == nil {
		return // files for `docker build --output`, no image to run
	}
	c.user(st)
	c.shell(st)
	c.entrypoint(st)
	if len(st.programBuilds()) > 0 && !st.isOpaque() && !st.copiesUnknown() {
		c.certificates(st)
		c.zoneinfo(st)
	}
}

func (c *check) user(st *stage) {
	name, _, _ := strings.Cut(st.user.name, ":")
	line := st.user.line
	switch {
	case !st.user.known:
	case name == "" || name == "root" || strings.Trim(name, "0") == "":
		if st.dropsRights() {
			return
		}
		if line == 0 {
			c.report(Root, st.line, "the final stage has no USER, and %s runs as root", st.base.ref)
			return
		}
		c.report(Root, line, "the final stage runs as USER %s", st.user.name)
	case !isNumber(name) && st.base.shell == no:
		c.report(UserName, line, "USER %s is a name", st.user.name)
	}
}

// dropsRights reports whether st holds a program that changes the user at start.
func (st *stage) dropsRights() bool {
	droppers := []string{"gosu", "su-exec", "setpriv", "runuser", "s6-setuidgid"}
	is := func(name string) bool { return slices.Contains(droppers, path.Base(name)) }
	for _, p := range []*process{st.entrypoint, st.cmd} {
		if p != nil && slices.ContainsFunc(strings.Fields(strings.Join(p.args, " ")), is) {
			return true
		}
	}
	return st.runsText(droppers...) || st.copiesPath(is)
}

// started returns the process of a container: the entrypoint, or without one the
// command; nil when neither is given.
func (st *stage) started() *process {
	if st.entrypoint != nil {
		return st.entrypoint
	}
	return st.cmd
}

func (c *check) shell(st *stage) {
	kind, p := "ENTRYPOINT", st.entrypoint
	if p == nil || !p.shell && st.cmd != nil && st.cmd.shell {
		kind, p = "CMD", st.cmd
	}
	if p == nil || len(p.args) == 0 {
		return
	}
	shells := []string{"sh", "bash", "ash"}
	named := !p.shell && slices.Contains(shells, path.Base(p.args[0]))
	hasShell := st.copiesPath(func(name string) bool {
		return !isKnown(name) || slices.Contains(append(shells, "busybox", "bin", "/", "rootfs"), path.Base(name)) ||
			path.Dir(name) == "/bin"
	})
	switch {
	case (p.shell || named) && st.base.shell == no && !hasShell:
		c.report(ShellMissing, p.line, "%s needs a shell, and %s has none", kind, st.base.ref)
	case p.shell && !strings.HasPrefix(p.args[0], "exec "):
		c.report(ShellEntrypoint, p.line, "%s in shell form: process 1 is a shell", kind)
	}
}

// defaultPath is PATH where an image sets none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// entrypoint checks whether a program that must have been copied was.
func (c *check) entrypoint(st *stage) {
	p := st.started()
	if !st.base.empty || p == nil || p.shell || len(p.args) == 0 || st.any(func(s *stage) bool { return len(s.runs) > 0 }) {
		return
	}
	var places []string
	switch name := p.args[0]; {
	case strings.Contains(name, "/"):
		places = []string{join(st.dir, name)}
	default:
		dirs := defaultPath
		if v, ok := st.vars.lookup("PATH"); ok {
			dirs = v.value
		}
		for _, dir := range strings.Split(dirs, ":") {
			places = append(places, join(dir, name))
		}
	}
	for _, place := range places {
		if !isKnown(place) || st.any(func(s *stage) bool { return slices.ContainsFunc(s.copies, covering(place)) }) {
			return
		}
	}
	c.report(EntrypointMissing, p.line, "nothing copies %s, and %s holds no programs", p.args[0], st.base.ref)
}

// covering returns whether a copy can bring the file name. The files that a
// directory has are not known; of programs that were built, the names are.
func covering(name string) func(copied) bool {
	return func(c copied) bool {
		switch {
		case !isKnown(c.dest):
			return true
		case c.programs:
			return c.dest == name || slices.ContainsFunc(c.sources, func(s string) bool { return path.Join(c.dest, path.Base(s)) == name })
		}
		_, ok := below(name, c.dest)
		return ok
	}
}

// copiesUnknown reports whether st is given directories whose content may be
// anything, such as a root file system.
func (st *stage) copiesUnknown() bool {
	return st.any(func(s *stage) bool {
		return slices.ContainsFunc(s.copies, func(c copied) bool {
			return !c.programs && (!isKnown(c.dest) || slices.Contains([]string{"/", "/etc", "/usr", "/usr/share"}, c.dest))
		})
	})
}

func (c *check) certificates(st *stage) {
	if st.base.certs != no || st.recommends ||
		st.installs(func(name string) bool { return strings.HasPrefix(name, "ca-cert") }) ||
		st.assigns("SSL_CERT_FILE", "SSL_CERT_DIR") ||
		st.copiesPath(func(p string) bool {
			return strings.Contains(p, "ssl") || strings.Contains(p, "cert") || strings.Contains(p, "/pki")
		}) {
		return
	}
	c.report(NoCACertificates, st.line, "%s holds no CA certificates, and no line adds them", st.base.ref)
}

func (c *check) zoneinfo(st *stage) {
	embedded := func(b *build) bool { return b.vague || b.hasTag("timetzdata") }
	zones := func(name string) bool { return strings.Contains(name, "zoneinfo") || strings.Contains(name, "tzdata") }
	if st.base.zoneinfo != no || st.recommends || st.installs(zones) || st.copiesPath(zones) || st.assigns("ZONEINFO") ||
		slices.ContainsFunc(st.programBuilds(), embedded) {
		return
	}
	c.report(NoZoneinfo, st.line, "%s holds no time zone data, and no line adds it", st.base.ref)
}
