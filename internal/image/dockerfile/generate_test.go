package dockerfile_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/dockerfile"
	check "github.com/gopherwood-dev/gopherwood/internal/policy/dockerfile"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// plans returns a plan for every combination of what changes the file.
func plans() map[string]dockerfile.Plan {
	all := map[string]dockerfile.Plan{}
	for _, link := range []string{"static", "static-pie", "glibc", "glibc-pie", "musl"} {
		for _, modules := range []string{"plain", "vendor", "workspace", "private", "replaced"} {
			for _, extras := range []bool{false, true} {
				for _, version := range []string{"go1.26.8", "go1.27"} {
					p := dockerfile.Plan{Package: "./cmd/app", Name: "app", Go: version, Flags: []string{"-trimpath"}, ModuleDirs: []string{"."}, Libc: api.LibcGNU}
					p.CGO = api.CGODecision{Asked: api.CGOAuto, Reason: "cgo is off because no package needs C"}
					switch link {
					case "static-pie":
						p.StaticPIE = true
						p.Flags = append(p.Flags, "-buildmode=pie", "-tags=netgo,osusergo", "-ldflags=-linkmode=external -extldflags=-static-pie")
					case "glibc", "glibc-pie", "musl":
						p.CGO = api.CGODecision{Enabled: true, Asked: api.CGOAuto, Reason: "cgo is on because of example.org/c"}
					}
					if link == "musl" {
						p.Libc = api.LibcMusl
					}
					if link == "glibc-pie" {
						p.Flags = append(p.Flags, "-buildmode=pie")
					}
					switch modules {
					case "vendor":
						p.Vendor = true
					case "workspace":
						p.Workspace, p.ModuleDirs = true, nil
					case "private":
						p.Private = "git.example.org/*"
					case "replaced":
						p.ModuleDirs = []string{".", "internal/fork"}
					}
					if extras {
						extend(&p)
					}
					all[fmt.Sprintf("%s/%s/%v/%s", link, modules, extras, version)] = p
				}
			}
		}
	}
	return all
}

// extend adds what must be quoted.
func extend(p *dockerfile.Plan) {
	if !p.StaticPIE { // which has linker flags already, and the last -ldflags wins
		p.Flags = append(p.Flags, "-ldflags=-s -w '-X=main.version=it is $5 \"now\"'")
	}
	p.Flags = append(p.Flags, "-pgo=default.pgo")
	p.Assets = "web/dist"
	p.Config = api.PackageConfig{
		Env:      map[string]string{"GOEXPERIMENT": "greenteagc", "GOFLAGS": "-mod=mod", "CGO_ENABLED": "1"},
		ImageEnv: map[string]string{"GREETING": `say "$HOME" \ now`, "LOG_LEVEL": "info"},
		Ports:    []string{"8080/tcp"}, Args: []string{"serve", "--motto", `<a> & "b" $C`}, User: "1000:1000",
	}
}

func setting() check.Setting {
	return check.Setting{Today: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Matrix: matrix.Embedded(false)}
}

func parse(t *testing.T, data []byte) []instructions.Stage {
	t.Helper()
	result, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if len(result.Warnings) > 0 {
		t.Errorf("warnings %v\n%s", result.Warnings, data)
	}
	stages, _, err := instructions.Parse(result.AST, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return stages
}

// Whatever the plan, the checker has nothing to object to.
func TestGeneratedIsClean(t *testing.T) {
	for name, p := range plans() {
		data, err := dockerfile.Generate(p)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if stages := parse(t, data); len(stages) != 2 {
			t.Errorf("%s: %d stages", name, len(stages))
		}
		findings, err := check.Check("Dockerfile", data, setting())
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, data)
		}
		for _, f := range findings {
			if f.Severity != api.Info || f.Rule != check.BaseWithoutDigest {
				t.Errorf("%s: line %d: %s %s: %s\n%s", name, f.Line, f.Severity, f.Rule, f.Message, data)
			}
		}
	}
}

// Each plan is one that the checker objects to when what it rests on is taken
// away: the test above is not of a checker that sees no builds.
func TestCheckerSeesTheBuild(t *testing.T) {
	for _, tc := range []struct{ plan, old, new, rule string }{
		{"static/plain/false/go1.26.8", "CGO_ENABLED=0", "CGO_ENABLED=1", check.LibcMismatch},
		{"static/plain/false/go1.26.8", "GOARCH=\"$TARGETARCH\"", "", check.Arch},
		{"static/plain/true/go1.26.8", "-trimpath", "-buildmode=pie", check.PIEStatic},
		{"static-pie/plain/false/go1.27", "-tags=netgo,osusergo", "", check.StaticWithoutNetgo},
		{"glibc/plain/true/go1.27", "debian:${DEBIAN}-slim", "alpine:3.23", check.LibcMismatch},
		{"glibc/vendor/true/go1.27", "debian:${DEBIAN}-slim", "debian:bookworm-slim", check.GlibcOlder},
		{"musl/plain/false/go1.26.8", "alpine:${ALPINE}", "debian:trixie-slim", check.LibcMismatch},
		{"glibc/plain/false/go1.27", "ca-certificates tzdata", "tini", check.NoCACertificates},
	} {
		data, err := dockerfile.Generate(plans()[tc.plan])
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.ReplaceAll(string(data), tc.old, tc.new)
		findings, err := check.Check("Dockerfile", []byte(changed), setting())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(findings, func(f api.Finding) bool { return f.Rule == tc.rule }) {
			t.Errorf("%s with %q for %q: no %s in %v\n%s", tc.plan, tc.new, tc.old, tc.rule, findings, changed)
		}
	}
}

func TestGenerateErrors(t *testing.T) {
	base := func(change func(*dockerfile.Plan)) dockerfile.Plan {
		p := dockerfile.Plan{Package: ".", Name: "app", Go: "go1.26.8"}
		change(&p)
		return p
	}
	for name, tc := range map[string]struct {
		plan dockerfile.Plan
		code fault.Code
	}{
		"line break in an argument": {base(func(p *dockerfile.Plan) { p.Config.Args = []string{"a\nUSER root"} }), fault.Usage},
		"line break in a flag":      {base(func(p *dockerfile.Plan) { p.Flags = []string{"-X\nRUN"} }), fault.Usage},
		"spaces in a user":          {base(func(p *dockerfile.Plan) { p.Config.User = "a b" }), fault.Usage},
		"variable in a base":        {base(func(p *dockerfile.Plan) { p.Config.Base = "$X" }), fault.Usage},
		"name of a variable":        {base(func(p *dockerfile.Plan) { p.Config.ImageEnv = map[string]string{"A B": "c"} }), fault.Usage},
		"name of a go variable":     {base(func(p *dockerfile.Plan) { p.Config.Env = map[string]string{"1": "c"} }), fault.Usage},
		"development version":       {base(func(p *dockerfile.Plan) { p.Go = "devel +abc" }), fault.Unsupported},
	} {
		if _, err := dockerfile.Generate(tc.plan); fault.CodeOf(err) != tc.code || fault.HintOf(err) == "" {
			t.Errorf("%s: error %v with code %s", name, err, fault.CodeOf(err))
		}
	}
}
