package image

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/base"
	"github.com/gopherwood-dev/gopherwood/internal/image/compile"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func TestChoose(t *testing.T) {
	static := api.Link{Mode: api.LinkStatic, Libc: api.LibcNone}
	staticPIE := api.Link{Mode: api.LinkStaticPIE, Libc: api.LibcNone}
	glibc := api.Link{Mode: api.LinkDynamic, Libc: api.LibcGNU, Floor: "GLIBC_2.34", Needed: []string{"libc.so.6"}}
	musl := api.Link{Mode: api.LinkDynamic, Libc: api.LibcMusl, Needed: []string{"libc.so"}}
	all := api.Bases{Glibc: "g", Musl: "m"}
	for _, tc := range []struct {
		name   string
		bases  api.Bases
		asked  string
		link   api.Link
		ref    string
		reason string
	}{
		{"static", all, "", static, base.StaticRef, "the program is static"},
		{"static pie", all, "", staticPIE, base.StaticRef, "the program is static"},
		{"own static base", api.Bases{Static: "s"}, "", static, "s", "the program is static"},
		{"glibc", all, "", glibc, "g", "the program needs glibc, at least GLIBC_2.34 (libc.so.6)"},
		{"musl", all, "", musl, "m", "the program needs musl (libc.so)"},
		{"no base for glibc", api.Bases{Musl: "m"}, "", glibc, base.StaticRef,
			"the program needs glibc, at least GLIBC_2.34 (libc.so.6), and no base for that is configured (build.bases.glibc)"},
		{"asked for", all, "mine", static, "mine", "it was asked for; the program is static"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := choose(tc.bases, tc.asked, &api.Facts{Link: tc.link})
			if want := (api.BaseChoice{Ref: tc.ref, Reason: tc.reason}); got != want {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestWaysOut(t *testing.T) {
	glibc := api.Facts{Link: api.Link{Mode: api.LinkDynamic, Libc: api.LibcGNU, Floor: "GLIBC_2.34"}}
	pie := api.Facts{Link: api.Link{Mode: api.LinkDynamic}, Hardening: api.Hardening{PIE: true}}
	musl := api.Facts{Link: api.Link{Mode: api.LinkDynamic, Libc: api.LibcMusl}}
	needed := api.CGODecision{Enabled: true, Packages: []string{"example.org/sqlite"}}
	for _, tc := range []struct {
		name  string
		facts api.Facts
		cgo   api.CGODecision
		want  []string
	}{
		{"cgo that is needed", glibc, needed, []string{"1. link it statically", "glibc of at least GLIBC_2.34", "build.bases.glibc"}},
		{"cgo that is not", glibc, api.CGODecision{Enabled: true}, []string{"1. build without cgo", "--cgo off"}},
		{"pie", pie, api.CGODecision{}, []string{"1. leave out --pie"}},
		{"musl", musl, needed, []string{"a base with musl", "build.bases.musl"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			img := &api.BuiltImage{Facts: tc.facts, Build: api.BuildFacts{CGO: tc.cgo}, Verdict: api.Verdict{
				Findings: []api.Finding{{Rule: start.InterpreterMissing, Hint: "old"}, {Rule: start.UserUnknown, Hint: "old"}}}}
			waysOut(img)
			for _, part := range append(tc.want, "2. ", "3. ") {
				if hint := img.Verdict.Findings[0].Hint; !strings.Contains(hint, part) {
					t.Errorf("the hint lacks %q: %s", part, hint)
				}
			}
			if got := img.Verdict.Findings[1].Hint; got != "old" {
				t.Errorf("the hint of another rule became %q", got)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	yes, no := true, false
	c := api.BuildConfig{
		Defaults: api.PackageConfig{CGO: api.CGOOff, Tags: []string{"a"}, PIE: &yes, Env: map[string]string{"A": "1", "B": "1"}},
		Packages: map[string]api.PackageConfig{"./cmd/app/": {Tags: []string{"b"}, PIE: &no, Env: map[string]string{"B": "2"}}},
	}
	got := ConfigOf(c, compile.Package{Rel: "./cmd/app"})
	want := api.PackageConfig{CGO: api.CGOOff, Tags: []string{"b"}, PIE: &no, Env: map[string]string{"A": "1", "B": "2"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(c.Defaults, ConfigOf(c, compile.Package{Rel: "./cmd/other"})); diff != "" {
		t.Error(diff)
	}
	if c.Defaults.Env["B"] != "1" {
		t.Error("the defaults were changed")
	}
}

func TestCheckTargets(t *testing.T) {
	one := []compile.Package{{ImportPath: "example.org/app"}}
	two := []compile.Package{{ImportPath: "example.org/app"}, {ImportPath: "example.org/tool"}}
	twins := []compile.Package{{ImportPath: "example.org/app"}, {ImportPath: "example.org/x/app"}}
	amd64 := []api.Platform{{OS: "linux", Arch: "amd64"}}
	both := append(amd64, api.Platform{OS: "linux", Arch: "arm64"})
	for _, tc := range []struct {
		target    string
		packages  []compile.Package
		platforms []api.Platform
		ok        bool
	}{
		{"localhost:5000/app:v1", one, both, true},
		{"localhost:5000/app:v1", two, both, false},
		{"localhost:5000/{name}:v1", two, both, true},
		{"localhost:5000/{name}:v1", twins, both, false},
		{"docker-archive:x.tar", one, amd64, true},
		{"docker-archive:x.tar", one, both, false},
	} {
		err := checkTargets([]string{tc.target}, tc.packages, tc.platforms)
		if tc.ok != (err == nil) || !tc.ok && (fault.CodeOf(err) != fault.Usage || fault.HintOf(err) == "") {
			t.Errorf("%s for %d packages on %d platforms: %v", tc.target, len(tc.packages), len(tc.platforms), err)
		}
	}
}

func TestCreatedTime(t *testing.T) {
	for value, want := range map[string]int64{"": 0, "SOURCE_DATE_EPOCH=1700000000": 1700000000} {
		got, err := createdTime([]string{"A=b", value})
		if err != nil || !got.Equal(time.Unix(want, 0)) {
			t.Errorf("%q: %v, %v", value, got, err)
		}
	}
	for _, bad := range []string{"-1", "soon", "999999999999999"} {
		if _, err := createdTime([]string{"SOURCE_DATE_EPOCH=" + bad}); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParsePlatforms(t *testing.T) {
	got, err := parsePlatforms([]string{"linux/amd64", "linux/amd64/v3", "linux/amd64"}, "arm64")
	want := []api.Platform{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "amd64", Level: "v3"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got, _ := parsePlatforms(nil, "arm64"); len(got) != 1 || got[0].String() != "linux/arm64" {
		t.Errorf("without platforms: %v", got)
	}
	for _, bad := range []string{"windows/amd64", "amd64"} {
		if _, err := parsePlatforms([]string{bad}, "amd64"); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
