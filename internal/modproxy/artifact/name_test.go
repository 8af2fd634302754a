package artifact

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The grammars of the OCI distribution specification 1.1.
var (
	repositoryGrammar = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

func TestRepository(t *testing.T) {
	for _, test := range []struct{ path, want string }{
		{"golang.org/x/mod", "golang.org/x/mod"},
		{"github.com/BurntSushi/toml", "github.com/qburntqsushi/toml"},
		{"github.com/quic-go/quic-go", "github.com/q0uic-go/q0uic-go"},
		{"gopkg.in/yaml.v3", "gopkg.in/yaml.v3"},
		{"github.com/a/b__c_d", "github.com/a/b__c_d"},
		{"github.com/a/b---c", "github.com/a/b---c"},
		{"github.com/a/_b-", "github.com/a/q4bq3"},
		{"github.com/a/b___c", "github.com/a/bq4q4q4c"},
		{"github.com/a/b..c", "github.com/a/bq2q2c"},
		{"github.com/a/b.-c", "github.com/a/bq2q3c"},
		{"github.com/a/~b/c~", "github.com/a/q1b/cq1"},
		{"github.com/a/--", "github.com/a/q3q3"},
		{"example.com/Q/q", "example.com/qq/q0"},
		{"q9.com/x", "q09.com/x"},
		{"example.com/" + strings.Repeat("a", 188), "example.com/" + strings.Repeat("a", 188)},
	} {
		got, err := Repository(test.path)
		if err != nil || got != test.want {
			t.Errorf("Repository(%q) = %q, %v; want %q", test.path, got, err, test.want)
		}
		if back, err := ModulePath(got); err != nil || back != test.path {
			t.Errorf("ModulePath(%q) = %q, %v; want %q", got, back, err, test.path)
		}
	}
}

func TestTag(t *testing.T) {
	for _, test := range []struct{ version, want string }{
		{"v1.2.3", "v1.2.3"},
		{"v2.0.0+incompatible", "v2.0.0_incompatible"},
		{"v1.0.0-RC1", "v1.0.0-__r__c1"},
		{"v1.0.0-rc.1", "v1.0.0-rc.1"},
		{"v3.0.0-A+incompatible", "v3.0.0-__a_incompatible"},
		{"v0.0.0-20200101000000-abcdefabcdef", "v0.0.0-20200101000000-abcdefabcdef"},
		{"v0.0.1-go1.26.0.linux-amd64", "v0.0.1-go1.26.0.linux-amd64"},
	} {
		got, err := Tag(test.version)
		if err != nil || got != test.want {
			t.Errorf("Tag(%q) = %q, %v; want %q", test.version, got, err, test.want)
		}
		if back, err := VersionOf(got); err != nil || back != test.version {
			t.Errorf("VersionOf(%q) = %q, %v; want %q", got, back, err, test.version)
		}
	}
}

func TestLongNamesAreHashes(t *testing.T) {
	path, version := "example.com/"+strings.Repeat("a", 189), "v1.0.0-"+strings.Repeat("a", 122)
	repo, err := Repository(path)
	if want := "q9/" + hash([]byte(path)); err != nil || repo != want {
		t.Errorf("Repository = %q, %v; want %q", repo, err, want)
	}
	if _, err := ModulePath(repo); !errors.Is(err, ErrHashed) {
		t.Errorf("ModulePath(%q): %v", repo, err)
	}
	tag, err := Tag(version)
	if want := "_" + hash([]byte(version)); err != nil || tag != want {
		t.Errorf("Tag = %q, %v; want %q", tag, err, want)
	}
	if _, err := VersionOf(tag); !errors.Is(err, ErrHashed) {
		t.Errorf("VersionOf(%q): %v", tag, err)
	}
}

func TestNamesThatAreRefused(t *testing.T) {
	for name, call := range map[string]func(string) (string, error){
		"Repository": Repository, "ModulePath": ModulePath, "Tag": Tag, "VersionOf": VersionOf,
	} {
		for _, in := range []string{"", "..", "../x", "example.com/../x", "/example.com", "example.com//x", "example.com/x\x00", `example.com\x`, "master", "v1", "v1.2.3+meta", "_record", "latest"} {
			if got, err := call(in); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("%s(%q) = %q, %v", name, in, got, err)
			}
		}
	}
	for _, in := range []string{"github.com/qBurnt", "github.com/BurntSushi", "example.com/q", "example.com/q5", "example.com/aq4b", "q9/abc", "q9/" + strings.Repeat("A", 64), "github.com/q3q3/" + strings.Repeat("a", 200)} {
		if got, err := ModulePath(in); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("ModulePath(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"v1.0.0-RC1", "v1.0.0__incompatible", "v1.0.0_incompatible_", "v1.0.0_meta", "v1.0.0+incompatible", "_" + strings.Repeat("g", 64)} {
		if got, err := VersionOf(in); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("VersionOf(%q) = %q, %v", in, got, err)
		}
	}
}

// paths draws module paths, short and long, of all that the go command allows.
var paths = rapid.Custom(func(t *rapid.T) string {
	elem := rapid.StringMatching(`[A-Za-cq0-2._~-]{1,12}`)
	n := rapid.SampledFrom([]int{0, 1, 2, 3, 30}).Draw(t, "elements")
	all := []string{rapid.StringMatching(`[a-cq0-2-]{1,6}\.[a-cq0-9]{1,3}`).Draw(t, "host")}
	for range n {
		all = append(all, elem.Draw(t, "element"))
	}
	return strings.Join(all, "/")
}).Filter(func(s string) bool { return module.CheckPath(s) == nil })

var versions = rapid.Custom(func(t *rapid.T) string {
	v := rapid.StringMatching(`v(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]?)\.(0|[1-9])(-[A-Za-c1-9-]{1,9}(\.[A-Za-c1-9-]{1,60}){0,4})?(\+incompatible)?`).Draw(t, "version")
	return v
}).Filter(func(s string) bool { return module.CanonicalVersion(s) == s })

// TestNamesAreReversible draws names, and wants of each that the grammar takes
// it, that it is lower case only, and that the way back gives what was drawn.
// With that two that differ never get the same name.
func TestNamesAreReversible(t *testing.T) {
	reversible := func(gen *rapid.Generator[string], grammar *regexp.Regexp, there, back func(string) (string, error)) func(*rapid.T) {
		return func(t *rapid.T) {
			in := gen.Draw(t, "in")
			name, err := there(in)
			if err != nil || !grammar.MatchString(name) || strings.ToLower(name) != name || len(name) > maxRepository {
				t.Fatalf("%q -> %q, %v", in, name, err)
			}
			got, err := back(name)
			if hashed := strings.HasSuffix(name, hash([]byte(in))); hashed != errors.Is(err, ErrHashed) || !hashed && (err != nil || got != in) {
				t.Fatalf("%q -> %q -> %q, %v", in, name, got, err)
			}
		}
	}
	t.Run("paths", func(t *testing.T) { rapid.Check(t, reversible(paths, repositoryGrammar, Repository, ModulePath)) })
	t.Run("versions", func(t *testing.T) { rapid.Check(t, reversible(versions, tagGrammar, Tag, VersionOf)) })
}

func FuzzModulePath(f *testing.F) {
	for _, s := range []string{"golang.org/x/mod", "github.com/qburntqsushi/toml", "q9/" + strings.Repeat("0", 64), "example.com/q1q2", "example.com/~1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, repo string) {
		path, err := ModulePath(repo)
		if err != nil {
			return
		}
		if again, err := Repository(path); err != nil || again != repo || !repositoryGrammar.MatchString(repo) {
			t.Errorf("%q -> %q -> %q, %v", repo, path, again, err)
		}
	})
}

func FuzzVersionOf(f *testing.F) {
	for _, s := range []string{"v1.2.3", "v2.0.0_incompatible", "v1.0.0-__r__c1", "_" + strings.Repeat("0", 64), "v1.0.0___a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		version, err := VersionOf(tag)
		if err != nil {
			return
		}
		if again, err := Tag(version); err != nil || again != tag || !tagGrammar.MatchString(tag) {
			t.Errorf("%q -> %q -> %q, %v", tag, version, again, err)
		}
	})
}
