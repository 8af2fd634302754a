package render

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// factsTable returns one line an item, or all of each item when verbose. The
// files of a directory or an image stand below a line with its name.
func factsTable(list *api.FactsList, look Layout) string {
	if look.Verbose {
		var b strings.Builder
		for i := range list.Items {
			if i > 0 {
				b.WriteString("\n")
			}
			factsDetail(&b, &list.Items[i], look)
		}
		return b.String()
	}
	if len(list.Items) == 0 {
		return ""
	}
	t := &table{}
	t.row("NAME", "GO", "PLATFORM", "LINK", "LIBC", "SIZE", "FLAGS")
	for i := range list.Items {
		f := &list.Items[i]
		name := f.Ref
		if f.Path != "" {
			name = "  " + f.Path
		}
		t.row(name, goVersion(f), platform(f.Platform), orDash(f.Link.Mode), libc(f.Link), Size(f.Size), flags(f))
	}
	lines := t.lines()
	var b strings.Builder
	fmt.Fprintln(&b, look.paint(bold, lines[0]))
	group := ""
	for i, line := range lines[1:] {
		f := &list.Items[i]
		if f.Path != "" && f.Ref != group {
			fmt.Fprintln(&b, Shorten(Clean(f.Ref), width))
		}
		group = f.Ref
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// itemName returns the whole name of an item: the file, or the file in the
// directory or image.
func itemName(ref, path string) string {
	switch {
	case path == "":
		return ref
	case strings.HasPrefix(path, "/"):
		return ref + ":" + path
	}
	return strings.TrimSuffix(ref, "/") + "/" + path
}

func goVersion(f *api.Facts) string {
	if f.Go == nil {
		return "-"
	}
	return Shorten(orDash(f.Go.Version), 14)
}

func libc(l api.Link) string {
	if floor, ok := strings.CutPrefix(l.Floor, "GLIBC_"); ok {
		return "glibc " + Shorten(floor, 6)
	}
	return orDash(l.Libc)
}

// platform leaves out the level that every CPU of the architecture has.
func platform(p api.Platform) string {
	if p.Arch == "amd64" && p.Level == "v1" || p.Arch == "arm64" && p.Level == "v8.0" {
		p.Level = ""
	}
	return p.String()
}

func orDash(s string) string { return cmp.Or(s, "-") }

// flags returns in short what else stands out of an item.
func flags(f *api.Facts) string {
	var words []string
	add := func(is bool, word string) {
		if is {
			words = append(words, word)
		}
	}
	add(f.Entrypoint, "entry")
	add(f.Hardening.Packed != "", "packed")
	add(f.Hardening.PIE, "pie")
	add(f.Hardening.RELRO == api.RELROFull, "relro")
	add(f.Format == "elf" && !f.Hardening.NX && f.Hardening.Packed == "", "exec-stack")
	add(f.Hardening.Stripped, "stripped")
	add(f.Source == api.SourceAttached, f.Source)
	return strings.Join(words, " ")
}

// detail writes lines "  label   value" and wraps values.
type detail struct{ b *strings.Builder }

// labelWidth is the width of the label column of a detail.
const labelWidth = 16

func (d detail) line(label, value string) {
	if value != "" {
		hang(d.b, fmt.Sprintf("  %-*s", labelWidth-2, label), labelWidth, value)
	}
}

// list writes one value a line.
func (d detail) list(label string, values []string) {
	for _, v := range values {
		d.line(label, v)
		label = ""
	}
}

// factsDetail writes everything known of f.
func factsDetail(b *strings.Builder, f *api.Facts, look Layout) {
	title := Clean(itemName(f.Ref, f.Path))
	if f.Entrypoint {
		title += " (entrypoint)"
	}
	fmt.Fprintln(b, look.paint(bold, title))
	d := detail{b}
	d.line("platform", f.Platform.String()+" "+f.Format)
	d.line("source", f.Source)
	d.line("digest", f.Digest)
	d.line("size", fmt.Sprintf("%s (%d bytes)", Size(f.Size), f.Size))
	d.line("sections", sections(f.Sections))
	if f.Go != nil {
		goDetail(d, f.Go)
	} else {
		d.line("go", "not a Go program")
	}
	linkDetail(d, f.Link)
	d.line("hardening", hardening(f))
	d.line("capabilities", capabilities(f.Capabilities))
	if f.Image != nil {
		imageDetail(d, f.Image)
	}
	d.list("note", f.Notes)
}

func goDetail(d detail, g *api.Go) {
	d.line("go", g.Version)
	d.line("main", g.Main)
	if g.Module != nil {
		d.line("module", module(*g.Module))
	}
	d.line("build mode", g.BuildMode)
	d.line("trimpath", yes(g.Trimpath))
	d.line("experiments", strings.Join(g.Experiments, " "))
	d.line("fips140", g.FIPS140)
	if v := g.VCS; v != nil {
		modified := ""
		if v.Modified {
			modified = "modified"
		}
		d.line("vcs", join(" ", v.System, v.Revision, v.Time, modified))
	}
	var settings []string
	for _, k := range slices.Sorted(maps.Keys(g.Settings)) {
		settings = append(settings, k+"="+g.Settings[k])
	}
	d.list("settings", settings)
	var deps []string
	for _, m := range g.Deps {
		deps = append(deps, module(m))
	}
	d.list("deps", deps)
}

func module(m api.Module) string {
	s := join(" ", m.Path, m.Version, m.Sum)
	if m.Replace != nil {
		s += " => " + module(*m.Replace)
	}
	return s
}

func linkDetail(d detail, l api.Link) {
	d.line("link", orDash(l.Mode))
	d.line("interpreter", l.Interpreter)
	d.line("libc", join(" ", l.Libc, l.Floor))
	var needed []string
	for _, lib := range l.Needed {
		needed = append(needed, join(" ", lib, l.Floors[lib]))
	}
	d.list("needed", needed)
	d.line("rpath", strings.Join(l.Rpath, ":"))
	d.line("runpath", strings.Join(l.Runpath, ":"))
}

func hardening(f *api.Facts) string {
	h := f.Hardening
	relro := ""
	if h.RELRO != "" {
		relro = "relro " + h.RELRO
	}
	packed := ""
	if h.Packed != "" {
		packed = "packed by " + h.Packed
	}
	return join(", ", "pie "+yes(h.PIE), relro, "nx "+yes(h.NX), "stripped "+yes(h.Stripped), packed)
}

func capabilities(names []string) string {
	switch {
	case names == nil:
		return "unknown"
	case len(names) == 0:
		return "none"
	}
	return strings.Join(names, " ")
}

func sections(s api.Sections) string {
	part := func(name string, n int64) string {
		if n == 0 {
			return ""
		}
		return name + " " + Size(n)
	}
	return join(", ", part("text", s.Text), part("rodata", s.ROData), part("data", s.Data), part("bss", s.BSS),
		part("pclntab", s.Pclntab), part("symtab", s.Symtab), part("debug", s.Debug), part("other", s.Other))
}

func imageDetail(d detail, img *api.Image) {
	d.line("image", img.Digest)
	d.line("config", img.ConfigDigest)
	if img.Platform != (api.Platform{}) {
		d.line("image platform", img.Platform.String())
	}
	var layers []string
	for _, l := range img.Layers {
		layers = append(layers, l.Digest+" "+Size(l.Size))
	}
	d.list("layers", layers)
	d.line("entrypoint", quoted(img.Entrypoint))
	d.line("cmd", quoted(img.Cmd))
	d.line("user", img.User)
	d.line("working dir", img.WorkingDir)
	d.list("env", img.Env)
	d.line("ports", strings.Join(img.ExposedPorts, " "))
}

// quoted returns args in the JSON-like form in which image files write them.
func quoted(args []string) string {
	if len(args) == 0 {
		return ""
	}
	q := make([]string, len(args))
	for i, a := range args {
		q[i] = strconv.Quote(a)
	}
	return "[" + strings.Join(q, ", ") + "]"
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
