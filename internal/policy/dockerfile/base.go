package dockerfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// answer is what is known about a question.
type answer int

const (
	perhaps answer = iota
	no
	yes
)

// The C libraries of images.
const (
	glibc = "glibc"
	musl  = "musl"
	noLib = "none"
)

// image is what is known of a base image.
type image struct {
	// ref is the reference as written, with variables expanded.
	ref string
	// libc is glibc, musl or none; empty when not known. glibc is glibc's version.
	libc  string
	glibc version
	// golang is true for images with the go command, whose version is goVersion
	// where the tag says it.
	golang    bool
	goVersion string
	// The questions: whether it holds CA certificates, the time zone database, a
	// shell and a C compiler.
	certs, zoneinfo, shell, compiler answer
	// user is whom it runs as; userKnown is false when that is not known.
	user      string
	userKnown bool
	// empty is true when it holds no program at all.
	empty bool
	// tag and digest are of the reference.
	tag, digest string
	// known is true for images that this file knows.
	known bool
}

// version is a release such as 2.36; the zero value is not known.
type version struct{ major, minor int }

func (v version) less(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

// parseVersion reads the first two numbers of "1.26.3", "1.26rc1" and the like.
func parseVersion(s string) (version, bool) {
	major, rest, ok := strings.Cut(s, ".")
	a, err := strconv.Atoi(major)
	if !ok || err != nil {
		return version{}, false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	b, err := strconv.Atoi(rest[:end])
	return version{a, b}, err == nil
}

func (i image) goAtLeast(major, minor int) bool {
	v, ok := parseVersion(i.goVersion)
	return ok && !v.less(version{major, minor})
}

// suites are the releases of Debian and Ubuntu by the words of image tags, with
// the glibc that each was released with (packages.debian.org, packages.ubuntu.com).
var suites = map[string]version{
	"stretch": {2, 24}, "buster": {2, 28}, "bullseye": {2, 31}, "bookworm": {2, 36}, "trixie": {2, 41},
	"9": {2, 24}, "10": {2, 28}, "11": {2, 31}, "12": {2, 36}, "13": {2, 41},
	"bionic": {2, 27}, "focal": {2, 31}, "jammy": {2, 35}, "noble": {2, 39}, "plucky": {2, 41},
	"18.04": {2, 27}, "20.04": {2, 31}, "22.04": {2, 35}, "24.04": {2, 39}, "25.04": {2, 41},
	"debian11": {2, 31}, "debian12": {2, 36}, "debian13": {2, 41},
}

// suiteOf returns the glibc of the suite that a tag's words name.
func suiteOf(words []string) version {
	for _, w := range words {
		if v, ok := suites[w]; ok {
			return v
		}
		if major, _, ok := strings.Cut(w, "."); ok && len(major) == 2 {
			if v, ok := suites[major]; ok { // debian:12.5
				return v
			}
		}
	}
	return version{}
}

// registries are prefixes under which Docker's official images are found too.
var registries = []string{
	"docker.io/", "index.docker.io/", "registry-1.docker.io/", "registry.hub.docker.com/",
	"public.ecr.aws/docker/", "mirror.gcr.io/", "library/",
}

// imageOf returns what is known of the image that ref names. The names are those
// of Docker's official images, of Distroless and of Chainguard.
func imageOf(ref string) image {
	i := image{ref: ref}
	if !isKnown(ref) {
		return i
	}
	name, digest, _ := strings.Cut(ref, "@")
	i.digest = digest
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		name, i.tag = name[:at], name[at+1:]
	}
	for _, r := range registries {
		name = strings.TrimPrefix(name, r)
	}
	if _, mirrored, ok := strings.Cut(name, "/library/"); ok {
		name = mirrored
	}
	i.known = true
	words := strings.Split(i.tag, "-")
	switch family, rest, _ := strings.Cut(name, "/"); {
	case ref == "scratch":
		i.libc, i.certs, i.zoneinfo, i.shell, i.compiler, i.empty = noLib, no, no, no, no, true
		i.asRoot()
	case name == "golang", name == "mcr.microsoft.com/oss/go/microsoft/golang":
		i.goImage(words)
	case name == "debian", name == "ubuntu", name == "buildpack-deps":
		i.debian(name, words)
	case name == "alpine":
		i.libc, i.certs, i.zoneinfo, i.shell, i.compiler = musl, perhaps, no, yes, no
		i.asRoot()
	case name == "busybox":
		i.busybox(words)
	case family == "gcr.io" && strings.HasPrefix(rest, "distroless/"):
		i.distroless(strings.TrimPrefix(rest, "distroless/"), words)
	case family == "cgr.dev":
		i.chainguard(strings.TrimPrefix(rest, "chainguard/"), words)
	default:
		i.known = false
	}
	return i
}

func (i *image) asRoot() { i.user, i.userKnown = "root", true }

// goImage describes golang:VERSION-SUITE. Since 1.25 the images without a suite
// are Debian 13; the older ones moved while they were supported. Those on Debian
// hold gcc, those on Alpine do not.
func (i *image) goImage(words []string) {
	i.golang, i.shell, i.certs, i.zoneinfo = true, yes, yes, perhaps
	if v := words[0]; v != "" && v[0] >= '0' && v[0] <= '9' && strings.Contains(v, ".") {
		i.goVersion = v
	}
	windows := func(w string) bool { return strings.HasPrefix(w, "windows") || strings.HasPrefix(w, "nanoserver") }
	switch {
	case slices.ContainsFunc(words, windows):
		i.shell, i.certs = perhaps, perhaps
		return
	case slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "alpine") }):
		i.libc, i.compiler = musl, no
	default:
		i.libc, i.compiler, i.glibc = glibc, yes, suiteOf(words[1:])
		if len(words) == 1 && i.goAtLeast(1, 25) {
			i.glibc = suites["trixie"]
		}
	}
	i.asRoot()
}

func (i *image) debian(name string, words []string) {
	i.libc, i.glibc, i.shell, i.compiler = glibc, suiteOf(words), yes, no
	i.certs = no
	if name == "buildpack-deps" {
		i.certs, i.compiler = perhaps, perhaps
	}
	if name == "ubuntu" {
		i.zoneinfo = no
	}
	i.asRoot()
}

func (i *image) busybox(words []string) {
	i.certs, i.zoneinfo, i.shell, i.compiler = no, no, yes, no
	for _, libc := range []string{musl, glibc} {
		if slices.Contains(words, libc) {
			i.libc = libc
		}
	}
	i.asRoot()
}

// distroless describes gcr.io/distroless/NAME-SUITE:TAG.
func (i *image) distroless(name string, words []string) {
	parts := strings.Split(name, "-")
	switch parts[0] {
	case "static":
		i.libc, i.empty = noLib, true
	case "base", "cc":
		i.libc, i.glibc = glibc, suiteOf(parts)
	default:
		i.known = false
		return
	}
	i.certs, i.zoneinfo, i.shell, i.compiler = yes, yes, no, no
	if slices.Contains(words, "debug") {
		i.shell, i.empty = yes, false
	}
	if i.asRoot(); slices.Contains(words, "nonroot") {
		i.user = "65532"
	}
}

// chainguard describes cgr.dev/chainguard/NAME.
func (i *image) chainguard(name string, words []string) {
	i.certs, i.user, i.userKnown = yes, "65532", true
	switch name {
	case "static":
		i.libc, i.zoneinfo, i.shell, i.compiler, i.empty = noLib, yes, no, no, true
		if slices.Contains(words, glibc) {
			i.libc, i.empty = glibc, false
		}
	case "glibc-dynamic":
		i.libc, i.shell, i.compiler = glibc, no, no
	case "wolfi-base":
		i.libc, i.shell, i.compiler = glibc, yes, no
		i.asRoot()
	case "go":
		i.libc, i.golang, i.shell, i.compiler = glibc, true, yes, yes
		if _, ok := parseVersion(i.tag); ok {
			i.goVersion = words[0]
		}
		i.asRoot()
	default:
		*i = image{ref: i.ref, tag: i.tag, digest: i.digest}
	}
}

// tooOld reports whether a program that was linked against the glibc of builder
// does not start on the glibc of i, whatever it uses: 2.34 moved the thread
// functions, which every program with cgo imports, to a new symbol version.
func (i image) tooOld(builder image) bool {
	moved := version{2, 34}
	return i.glibc != version{} && i.glibc.less(moved) && !builder.glibc.less(moved)
}
