package start

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// process is the program image that execve(2) is building.
type process struct {
	root rootfs.FS
	user rootfs.User
	env  map[string]string
	cwd  string
	// path is the file's real path, as /proc/self/exe shows it; secure is
	// AT_SECURE, set for a set-user-ID or set-group-ID program.
	path   string
	object *exe.Object
	secure bool
}

// maxScripts is how many interpreters of interpreters the kernel follows.
const maxScripts = 5

// exec follows the container runtime and execve(2) to the program's loader. It
// reports whether the program was found at all.
func (c *check) exec() bool {
	spec := c.subject.Process
	if spec == nil || len(spec.Args) == 0 || spec.Args[0] == "" {
		c.report(EntrypointMissing, "", "", "the image names no entrypoint and no command")
		return false
	}
	p := &process{root: c.subject.Root, env: environment(spec.Env), cwd: path.Join("/", spec.WorkingDir)}
	if _, set := p.env["PATH"]; !set {
		p.env["PATH"] = rootfs.DefaultPath
	}
	user, err := rootfs.LookupUser(p.root, spec.User)
	if err != nil {
		c.report(UserUnknown, "", "", "user %q: %v", spec.User, err)
		return false
	}
	p.user = user
	file, err := rootfs.LookPath(p.root, p.user, p.env["PATH"], p.cwd, spec.Args[0])
	if err != nil {
		c.lookup(EntrypointMissing, spec.Args[0], "the entrypoint", err)
		return false
	}
	return c.load(p, file, spec.Args[0], 0)
}

// lookup reports why a file that is to be executed cannot be.
func (c *check) lookup(missing, file, role string, err error) {
	switch {
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EISDIR):
		c.report(NotExecutable, file, "", "%s %s may not be executed by the image's user: %v", role, file, err)
	case isPathError(err):
		c.report(missing, file, "", "%s %s is not in the image: %v", role, file, err)
	default:
		c.report(Unmeasured, file, "", "%s %s: %v", role, file, err)
	}
}

// load is execve(2) of file, which was called as name; depth counts the
// interpreters of scripts on the way.
func (c *check) load(p *process, file, name string, depth int) bool {
	missing, role := EntrypointMissing, "the entrypoint"
	if depth > 0 {
		missing, role = ScriptInterpreterMissing, "the script's interpreter"
	}
	real, node, err := rootfs.Resolve(p.root, p.user, p.cwd, file)
	if err == nil && (!node.Mode.IsRegular() || !p.user.May(node, rootfs.Execute)) {
		err = fs.ErrPermission
	}
	if err != nil {
		c.lookup(missing, name, role, err)
		return false
	}
	content, err := p.root.File(real)
	switch {
	case fault.CodeOf(err) == fault.Invalid:
		c.report(ExecFormat, real, "", "%s %s is damaged: %v", role, real, err)
		return true
	case err != nil:
		c.report(Unmeasured, real, "", "%s %s: %v", role, real, err)
		return false
	case content.Object != nil:
		p.path, p.object = real, content.Object
		c.program(p, node)
		return true
	case bytes.HasPrefix(content.Head, []byte("#!")):
		return c.script(p, real, node, content.Head, depth)
	}
	c.report(ExecFormat, real, "", "%s %s is neither an executable nor a script that begins with #!", role, real)
	return true
}

// script follows a #! line as the kernel's binfmt_script does, and env(1) when
// that is the interpreter.
func (c *check) script(p *process, file string, node rootfs.Node, head []byte, depth int) bool {
	interp, arg, ok := shebang(head)
	switch {
	case !ok:
		c.report(ExecFormat, file, "", "the #! line of %s names no interpreter within %d bytes", file, rootfs.HeadSize)
		return true
	case depth >= maxScripts:
		c.report(ExecFormat, file, "", "%s: more than %d scripts interpret one another", file, maxScripts)
		return true
	case !p.user.May(node, rootfs.Read):
		c.report(NotExecutable, file, "give the script mode 0755: its interpreter must read it",
			"the script %s may not be read by the image's user", file)
		return true
	}
	if strings.HasSuffix(interp, "\r") {
		c.report(ScriptInterpreterMissing, file, "save the script with Unix line ends (no carriage returns)",
			"%s asks for the interpreter %q: its lines end in CR LF", file, interp)
		return true
	}
	if !c.load(p, interp, interp, depth+1) || c.denied() {
		return true
	}
	if prog, isEnv := envProgram(interp, arg); isEnv {
		target, err := rootfs.LookPath(p.root, p.user, p.env["PATH"], p.cwd, prog)
		if err != nil {
			c.lookup(ScriptInterpreterMissing, prog, "the interpreter that "+file+" asks env for,", err)
			return true
		}
		if !c.load(p, target, prog, depth+1) || c.denied() {
			return true
		}
	}
	if depth == 0 {
		c.report(Wrapper, file, "", "the entrypoint %s is a script for %s: what it starts is not looked at", file, interp)
	}
	return true
}

// shebang splits a script's first line into the interpreter and its one
// argument. It fails where the kernel does: no name, or a name cut off.
func shebang(head []byte) (interp, arg string, ok bool) {
	line, _, whole := bytes.Cut(head[2:], []byte("\n"))
	text := strings.TrimLeft(string(bytes.TrimRight(line, " \t")), " \t")
	interp, arg, split := strings.Cut(strings.ReplaceAll(text, "\t", " "), " ")
	if interp == "" || !whole && !split && len(head) == rootfs.HeadSize {
		return "", "", false
	}
	return interp, strings.TrimLeft(arg, " "), true
}

// envProgram returns the program that `env arg` starts. Only the plain form and
// -S are followed.
func envProgram(interp, arg string) (string, bool) {
	if path.Base(interp) != "env" {
		return "", false
	}
	words := strings.Fields(strings.TrimPrefix(arg, "-S"))
	i := slices.IndexFunc(words, func(w string) bool { return !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") })
	if i < 0 {
		return "", false
	}
	return words[i], true
}

// program checks the executable itself and then its dynamic loader.
func (c *check) program(p *process, node rootfs.Node) {
	if !c.arch(p) {
		return
	}
	p.secure = node.Mode&fs.ModeSetuid != 0 && node.UID != p.user.UID ||
		node.Mode&fs.ModeSetgid != 0 && node.GID != p.user.GID
	if node.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		c.report(Setuid, p.path, "", "%s has mode %v, owner %d:%d", p.path, node.Mode, node.UID, node.GID)
	}
	if p.object.ELF.HasInterp {
		c.interpreter(p)
	}
	if !c.denied() {
		c.cpuLevel(p.path, goLevel(&p.object.Facts))
	}
	if c.subject.Image != nil && isShell(p.path) && len(c.subject.Process.Args) > 1 {
		c.report(Wrapper, p.path, "", "the entrypoint is the shell %s: what it starts is not looked at", p.path)
	}
}

// siblings are the 32-bit processors that a 64-bit kernel may also run.
var siblings = map[string]string{"amd64": "386", "arm64": "arm"}

// arch reports whether the kernel of the subject's platform takes the program.
func (c *check) arch(p *process) bool {
	have, want := p.object.Facts.Platform, c.subject.Platform
	switch {
	case p.object.ELF == nil || p.object.ELF.Type != etExec && p.object.ELF.Type != etDyn:
		c.report(Arch, p.path, "", "%s is a %s file for %s/%s, which Linux does not start",
			p.path, p.object.Facts.Format, have.OS, have.Arch)
		return false
	case want.Arch == "" || have.Arch == want.Arch:
		return true
	case have.Arch == siblings[want.Arch]:
		c.report(ArchCompat, p.path, "", "%s was built for %s, the image is for %s", p.path, have.Arch, want.Arch)
		return true
	}
	c.report(Arch, p.path, "", "%s was built for %s/%s, the image is for %s/%s",
		p.path, have.OS, have.Arch, want.OS, want.Arch)
	return false
}

// The ELF file types that the kernel starts.
const (
	etExec = 2
	etDyn  = 3
)

// interpreter finds the dynamic loader as the kernel does and hands over to it.
func (c *check) interpreter(p *process) {
	interp := p.object.ELF.Interp
	real, node, err := rootfs.Resolve(p.root, p.user, p.cwd, interp)
	switch {
	case err == nil && (!node.Mode.IsRegular() || !p.user.May(node, rootfs.Execute)), errors.Is(err, fs.ErrPermission):
		c.report(InterpreterInvalid, p.path, "", "%s needs the dynamic loader %s, which the image's user may not execute", p.path, interp)
		return
	case err != nil:
		c.report(InterpreterMissing, p.path, c.libcHint(p), "%s is linked for %s and needs the dynamic loader %s, which the image does not have",
			p.path, libcName(p.object.Facts.Link.Libc), interp)
		return
	}
	file, err := p.root.File(real)
	switch {
	case err != nil && fault.CodeOf(err) != fault.Invalid:
		c.report(Unmeasured, real, "", "the dynamic loader %s: %v", real, err)
	case file.Object == nil || file.Object.ELF == nil || !sameMachine(file.Object.ELF, p.object.ELF):
		c.report(InterpreterInvalid, p.path, "", "%s needs the dynamic loader %s, which is no executable for %s",
			p.path, interp, p.object.Facts.Platform.Arch)
	default:
		c.link(p, &dso{name: interp, real: real, elf: file.Object.ELF})
	}
}

// libcHint names the C library that the image has when it is the other one.
func (c *check) libcHint(p *process) string {
	have := ""
	for _, family := range []struct{ libc, dir, prefix string }{
		{api.LibcMusl, "/lib", "ld-musl-"},
		{api.LibcGNU, "/lib64", "ld-linux"},
		{api.LibcGNU, "/lib", "ld-linux"},
	} {
		real, _, err := rootfs.Resolve(p.root, rootfs.User{}, "/", family.dir)
		if err != nil {
			continue
		}
		names, _ := p.root.ReadDir(real)
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, family.prefix) }) {
			have = family.libc
		}
	}
	if have == "" || have == p.object.Facts.Link.Libc {
		return ""
	}
	return "the image is " + have + "-based: build the program there or with that C library, link it statically (CGO_ENABLED=0), or use a " +
		libcName(p.object.Facts.Link.Libc) + "-based image"
}

func libcName(family string) string {
	if family == "" || family == api.LibcNone {
		return "dynamic loading"
	}
	return family
}

func isShell(file string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "busybox", "zsh"}, path.Base(file))
}

func sameMachine(a, b *exe.ELF) bool {
	return a.Machine == b.Machine && a.Class == b.Class && a.BigEndian == b.BigEndian
}

// environment indexes KEY=VALUE lines; the last of a key counts, as in runc.
func environment(lines []string) map[string]string {
	env := make(map[string]string, len(lines))
	for _, line := range lines {
		key, value, _ := strings.Cut(line, "=")
		env[key] = value
	}
	return env
}
