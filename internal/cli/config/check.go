package config

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
	"github.com/gopherwood-dev/gopherwood/internal/policy/document"
	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

// The values that fields take; "" stands for the default.
var (
	cgoValues         = []string{api.CGOAuto, api.CGOOff, api.CGOOn}
	compressionValues = []string{"gzip", "zstd"}
	// inconclusiveValues are what a gate may say that could not tell, betterValues
	// what may be said of a metric.
	inconclusiveValues = []string{"warn", "pass", "fail"}
	betterValues       = []string{"lower", "higher"}
)

// CGO returns the values of PackageConfig.CGO, and Compression those of
// BuildConfig.Compression. The first is the default.
func CGO() []string { return slices.Clone(cgoValues) }

// Inconclusive returns the values of BenchConfig.Inconclusive. The first is the default.
func Inconclusive() []string { return slices.Clone(inconclusiveValues) }

// Compression returns the values of BuildConfig.Compression.
func Compression() []string { return slices.Clone(compressionValues) }

var (
	portForm = regexp.MustCompile(`^[1-9][0-9]{0,4}/(tcp|udp|sctp)$`)
	userForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$`)
)

// checker reports what the types of a configuration do not rule out.
type checker struct{ doc *document.Document }

func (c checker) report(p document.Path, format string, args ...any) {
	c.doc.Report(p, 0, fmt.Sprintf(format, args...))
}

// build checks the part about images.
func (c checker) build(b *api.BuildConfig) {
	at := document.Path{"build"}
	for i, name := range b.Platforms {
		if err := CheckPlatform(name); err != nil {
			c.report(at.Join("platforms", i), "%v", err)
		}
	}
	for i, target := range b.Push {
		if err := CheckPush(target); err != nil {
			c.report(at.Join("push", i), "%v", err)
		}
	}
	c.oneOf(b.Compression, compressionValues, at.Join("compression"))
	c.packed(at.Join("defaults"), &b.Defaults)
	for dir, pkg := range b.Packages {
		p := at.Join("packages", dir)
		if clean := cleanDir(dir); clean != dir {
			c.report(p, "a package is named by its directory, as in %q, not %q", clean, dir)
		}
		c.packed(p, &pkg)
	}
}

// bench checks the part about benchmarks.
func (c checker) bench(b *api.BenchConfig) {
	at := document.Path{"bench"}
	if d, err := time.ParseDuration(b.Budget); b.Budget != "" && (err != nil || d <= 0) {
		c.report(at.Join("budget"), "%q is no duration such as 5m", b.Budget)
	}
	c.oneOf(b.Inconclusive, inconclusiveValues, at.Join("inconclusive"))
	for _, unit := range slices.Sorted(maps.Keys(b.Units)) {
		c.oneOf(b.Units[unit], betterValues, at.Join("units", unit))
	}
	for i := range b.Limits {
		if _, err := judge.NewLimits(b.Limits[i : i+1]); err != nil {
			var wrong *judge.LimitError
			errors.As(err, &wrong)
			c.report(at.Join("limits", i, wrong.Key), "%v", wrong.Err)
		}
	}
}

// packed checks how a package is compiled and packed.
func (c checker) packed(at document.Path, p *api.PackageConfig) {
	c.oneOf(p.CGO, cgoValues, at.Join("cgo"))
	if err := CheckGo(p.Go); err != nil {
		c.report(at.Join("go"), "%v", err)
	}
	if err := CheckUser(p.User); err != nil {
		c.report(at.Join("user"), "%v", err)
	}
	c.texts(p.Tags, at.Join("tags"), "a build tag")
	c.names(p.Env, at.Join("env"))
	c.names(p.ImageEnv, at.Join("imageEnv"))
	for i, port := range p.Ports {
		if !portForm.MatchString(port) {
			c.report(at.Join("ports", i), "%q is no port: write for example 8080/tcp", port)
		}
	}
}

func (c checker) oneOf(value string, allowed []string, at document.Path) {
	if value != "" && !slices.Contains(allowed, value) {
		c.report(at, "want one of %s, got %q", strings.Join(allowed, ", "), value)
	}
}

// texts reports empty elements of a list of what.
func (c checker) texts(values []string, at document.Path, what string) {
	for i, v := range values {
		if strings.TrimSpace(v) == "" {
			c.report(at.Join(i), "want %s, got nothing", what)
		}
	}
}

// names reports keys that cannot be environment variables.
func (c checker) names(env map[string]string, at document.Path) {
	for name := range env {
		if name == "" || strings.ContainsAny(name, "=\x00 ") {
			c.report(at.Join(name), "%q is no name of an environment variable", name)
		}
	}
}

// cleanDir returns dir in the form of compile.Package.Rel.
func cleanDir(dir string) string {
	clean := path.Clean(strings.TrimPrefix(dir, "./"))
	if clean == "." || clean == ".." || strings.HasPrefix(clean, "../") {
		return clean
	}
	return "./" + clean
}

// CheckPlatform says what is wrong with the name of a platform.
func CheckPlatform(name string) error {
	p, err := api.ParsePlatform(name)
	if err != nil {
		return err
	}
	if p.OS != "linux" {
		return fmt.Errorf("platform %q: images are built for linux only", name)
	}
	return nil
}

// CheckPush says what is wrong with the name that an image is pushed to.
func CheckPush(target string) error {
	host, _, _ := strings.Cut(target, "/")
	switch {
	case strings.Contains(target, "://"):
		return fmt.Errorf("%q is no image's name: leave out what stands before ://", target)
	case strings.Contains(target, "@"):
		return fmt.Errorf("%q has a digest, which is known only after the build: name a tag or none", target)
	case !strings.Contains(target, "/") || !strings.ContainsAny(host, ".:") && host != "localhost":
		return fmt.Errorf("%q does not name a registry: write registry.example.org/team/{name}:tag", target)
	case strings.ContainsAny(strings.ReplaceAll(target, NamePlace, ""), "{} \t\n"):
		return fmt.Errorf("%q: only %s can stand in braces, for the program's name", target, NamePlace)
	}
	return nil
}

// NamePlace stands for the program's name in a target.
const NamePlace = "{name}"

// CheckGo says what is wrong with the version of a toolchain; none is right.
func CheckGo(version string) error {
	if version == "" {
		return nil
	}
	if _, err := goversion.Parse(version); err != nil || strings.HasPrefix(version, "go") {
		return fmt.Errorf("%q is no version of Go: write for example 1.26.8", version)
	}
	return nil
}

// CheckUser says what is wrong with an image's user; none is right.
func CheckUser(user string) error {
	if user != "" && !userForm.MatchString(user) {
		return fmt.Errorf("%q is no user: write uid:gid, for example 65532:65532", user)
	}
	return nil
}
