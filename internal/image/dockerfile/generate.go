// Package dockerfile writes Dockerfiles that build what `gopherwood build` would
// have built: the same decision about cgo, the same flags, the same kind of base.
package dockerfile

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

// Plan is what a Dockerfile is written from.
type Plan struct {
	// Package is the main package's directory from the build context, "./cmd/app";
	// Name is the program's.
	Package string
	Name    string
	// Go is the release that compiles, for example "go1.26.8".
	Go  string
	CGO api.CGODecision
	// StaticPIE says that the C linker makes a static position-independent
	// executable of a program without C code.
	StaticPIE bool
	// Libc is the C library of a program with cgo: api.LibcGNU or api.LibcMusl.
	Libc string
	// Flags are the arguments of go build, without -o.
	Flags []string
	// ModuleDirs are the directories of the modules, from the build context and
	// slash-separated: "." first, then those that go.mod replaces modules with.
	ModuleDirs []string
	// Workspace says that there is a go.work, Vendor a directory vendor.
	Workspace, Vendor bool
	// Private are patterns of modules that are not public, empty for none.
	Private string
	// Assets is a directory from the build context, empty for none.
	Assets string
	// Config has the rest: environment, base, user, arguments, ports.
	Config api.PackageConfig
}

//go:embed Dockerfile.tmpl
var text string

// release is what the official images of a Go minor are made on.
type release struct{ debian, alpine string }

// releaseOf returns the distributions that images of a Go version are made on,
// which its runtime must equal.
func releaseOf(v goversion.Version) release {
	switch {
	case v.Minor >= 26:
		return release{"trixie", "3.23"}
	case v.Minor == 25:
		return release{"trixie", "3.22"}
	}
	return release{"bookworm", "3.21"}
}

// view is what the template shows of a Plan.
type view struct {
	Plan
	Reason string
	// Args are the build arguments before the first FROM, NAME=value.
	Args []string
	// Cross is true where the builder's platform is not the program's.
	Cross bool
	// Builder and Runtime are images; Packages and RuntimePackages are the commands
	// that install what they lack.
	Builder, Runtime, RuntimeComment string
	Packages, RuntimePackages        string
	// Scratch is true where the runtime image is empty.
	Scratch bool
	// Secret is the mount with the credentials for private modules.
	Secret string
	// Environ are the assignments before a go command.
	Environ    string
	Flags      string
	Package    string
	Assets     string
	ImageEnv   []string
	Ports      []string
	User       string
	Entrypoint string
	ModuleDirs []string
}

// Generate returns the Dockerfile. The error has the code fault.Usage for what a
// Dockerfile cannot say and fault.Unsupported for a Go version without an image.
func Generate(p Plan) ([]byte, error) {
	v, err := newView(p)
	if err != nil {
		return nil, err
	}
	t, err := template.New("Dockerfile").Parse(text)
	if err != nil {
		return nil, &fault.Error{Code: fault.Internal, Op: "write Dockerfile", Err: err}
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, &fault.Error{Code: fault.Internal, Op: "write Dockerfile", Err: err}
	}
	return b.Bytes(), nil
}

func newView(p Plan) (*view, error) {
	if err := checkPlan(p); err != nil {
		return nil, err
	}
	version, err := goversion.Parse(p.Go)
	if err != nil {
		return nil, &fault.Error{Code: fault.Unsupported, Op: "write Dockerfile for", Input: p.Go,
			Err: errors.New("only releases of Go have an image"), Hint: "choose a release with --go"}
	}
	v := &view{
		Plan:       p,
		Reason:     "About cgo: " + strings.Join(strings.Fields(p.CGO.Reason), " "),
		Package:    quote(p.Package),
		Flags:      quoteAll(p.Flags),
		Environ:    environ(p.Config.Env),
		Assets:     copySource(p.Assets),
		Ports:      p.Config.Ports,
		User:       cmp.Or(p.Config.User, "65532:65532"),
		Entrypoint: execForm(append([]string{"/usr/local/bin/" + p.Name}, p.Config.Args...)),
	}
	for _, dir := range p.ModuleDirs {
		if dir == "." {
			v.ModuleDirs = append(v.ModuleDirs, "")
		} else {
			v.ModuleDirs = append(v.ModuleDirs, dir+"/")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Config.ImageEnv)) {
		v.ImageEnv = append(v.ImageEnv, name+"="+envValue(p.Config.ImageEnv[name]))
	}
	if p.Private != "" {
		v.Secret = " \\\n    --mount=type=secret,id=netrc,target=/root/.netrc"
		v.Environ += "GOPRIVATE=" + quote(p.Private) + " "
	}
	if p.StaticPIE {
		v.Reason += "; that CGO_ENABLED is 1 below has the C linker make the static position-independent executable"
	}
	v.images(version)
	return v, nil
}

// images chooses builder and runtime.
func (v *view) images(version goversion.Version) {
	const alpinePackages = "apk add --no-cache "
	on := releaseOf(version)
	v.Args = []string{"GO_VERSION=" + strings.TrimPrefix(version.String(), "go")}
	c := v.CGO.Enabled || v.StaticPIE
	v.Cross, v.Scratch = !c, !v.CGO.Enabled
	switch {
	case c && v.Libc == api.LibcMusl:
		v.Args = append(v.Args, "ALPINE="+on.alpine)
		v.Builder, v.Runtime = "golang:${GO_VERSION}-alpine${ALPINE}", "alpine:${ALPINE}"
		v.Packages = alpinePackages + "build-base"
		v.RuntimePackages = alpinePackages + "ca-certificates tzdata"
	default:
		v.Args = append(v.Args, "DEBIAN="+on.debian)
		v.Builder, v.Runtime = "golang:${GO_VERSION}-${DEBIAN}", "debian:${DEBIAN}-slim"
		if c {
			v.Packages = debianPackages("gcc libc6-dev pkg-config")
		}
		v.RuntimePackages = debianPackages("ca-certificates tzdata")
	}
	v.RuntimeComment = "# The same release as the builder's: the program needs its C library, and starts\n# on none that is older or of another kind."
	if v.Config.Base != "" && v.Config.Base != "static" {
		v.Scratch, v.Runtime, v.RuntimePackages = false, v.Config.Base, ""
		v.RuntimeComment = "# The base that was asked for."
	}
}

func debianPackages(names string) string {
	return "apt-get update && \\\n    apt-get install -y --no-install-recommends " + names + " && \\\n    rm -rf /var/lib/apt/lists/*"
}

// checkPlan refuses values that a Dockerfile has no way to write.
func checkPlan(p Plan) error {
	values := slices.Concat(p.Flags, p.Config.Args, p.ModuleDirs, p.Config.Ports,
		[]string{p.Package, p.Name, p.Private, p.Assets, p.Config.User, p.Config.Base},
		slices.Collect(maps.Keys(p.Config.Env)), slices.Collect(maps.Values(p.Config.Env)),
		slices.Collect(maps.Keys(p.Config.ImageEnv)), slices.Collect(maps.Values(p.Config.ImageEnv)))
	for _, s := range values {
		if strings.ContainsAny(s, "\n\r\x00") {
			return usage(fmt.Sprintf("%q", s), "a line break has no place in an instruction")
		}
	}
	for _, s := range slices.Concat(p.ModuleDirs, p.Config.Ports, []string{p.Name, p.Assets, p.Config.User, p.Config.Base}) {
		if strings.ContainsAny(s, " \t\"'\\$#") {
			return usage(s, "spaces, quotes and $ have no place in it")
		}
	}
	for _, env := range []map[string]string{p.Config.Env, p.Config.ImageEnv} {
		for name := range env {
			if !isName(name) {
				return usage(name, "it is no name of an environment variable")
			}
		}
	}
	return nil
}

func usage(input, reason string) error {
	return &fault.Error{Code: fault.Usage, Op: "write Dockerfile with", Input: input, Err: errors.New(reason),
		Hint: "change the value, or build with `gopherwood build`"}
}

func isName(s string) bool {
	return s != "" && (s[0] < '0' || s[0] > '9') &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// decided are the variables that the Dockerfile itself gives their values.
var decided = []string{"CGO_ENABLED", "GOOS", "GOARCH"}

// environ returns the assignments before a command, each ended by a space.
func environ(env map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if slices.Contains(decided, name) {
			continue
		}
		fmt.Fprintf(&b, "%s=%s ", name, quote(env[name]))
	}
	return b.String()
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}

// quote returns a word that a shell takes for s.
func quote(s string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=.,/:@%"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}

// execForm returns words as the JSON list of an instruction.
func execForm(words []string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(words) // strings always encode
	return strings.ReplaceAll(strings.TrimSpace(b.String()), `","`, `", "`)
}

// envValue returns a value of ENV that nothing is expanded in.
func envValue(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`).Replace(s) + `"`
}

// copySource returns a directory as the source of a COPY.
func copySource(dir string) string {
	if dir == "" {
		return ""
	}
	return strings.TrimSuffix(dir, "/") + "/"
}
