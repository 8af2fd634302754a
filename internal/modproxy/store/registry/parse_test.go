package registry

import (
	"encoding/json"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
)

func FuzzRecord(f *testing.F) {
	content := artifact.BlobOf([]byte("{}"))
	raw, err := recordDocument(content)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"artifactType":"` + recordType + `","layers":[{"digest":"sha256:00","size":-1}]}`))
	f.Add([]byte(`{"versions":{"v1.0.0":{"seen":"2026-01-02T03:04:05Z","used":"2026-01-02T03:00:00+01:00"},"":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if b, err := parseRecordManifest(data); err == nil {
			if err := artifact.CheckDigest(b.Digest); err != nil || b.Size < 0 || b.Size > maxRecord {
				t.Errorf("it took %+v", b)
			}
		}
		have, err := parseRecord(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(have)
		if err != nil {
			return // a year that cannot be written
		}
		got, err := parseRecord(again)
		if err != nil || !maps.Equal(got.Versions, have.Versions) {
			t.Errorf("%+v became %+v, %v", have, got, err)
		}
	})
}

func FuzzNextPage(f *testing.F) {
	current, err := url.Parse("https://registry.example.com/v2/a/tags/list?n=1")
	if err != nil {
		f.Fatal(err)
	}
	for _, link := range []string{
		`</v2/a/tags/list?last=b&n=1>; rel="next"`, `<https://registry.example.com/v2/_catalog?last=b>;rel="next"`,
		`<//elsewhere.example.com/v2/>; rel="next"`, `</v2/../admin>; rel="next"`, `<`, `>`, `<:>; rel="next"`,
	} {
		f.Add(link)
	}
	f.Fuzz(func(t *testing.T, link string) {
		next, err := nextPage(current, link)
		if err != nil || next == "" {
			return
		}
		if !strings.HasPrefix(next, "/v2/") || strings.Contains(strings.TrimPrefix(next, "/v2"), "//elsewhere") {
			t.Errorf("%q leads to %q", link, next)
		}
	})
}

func FuzzPrefix(f *testing.F) {
	for _, ref := range []string{"registry.example.com/modules", "localhost:5000/a/b", "[::1]:5000/a", "a/../b", "user@host.example.com/a"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		repo, err := parsePrefix(ref, false)
		if err != nil {
			return
		}
		if p := repo.RepositoryStr(); p != "" && !repositoryName.MatchString(p) {
			t.Errorf("%q has the prefix %q", ref, p)
		}
		if u, err := url.Parse("https://" + repo.RegistryStr() + "/v2/"); err != nil || u.Host != repo.RegistryStr() || u.User != nil {
			t.Errorf("%q is at %q, %v", ref, repo.RegistryStr(), err)
		}
	})
}

// TestRecordMerge: in whatever order records meet, and however often, the same
// comes out, which is the earliest and the latest of all.
func TestRecordMerge(t *testing.T) {
	times := rapid.Custom(func(t *rapid.T) time.Time {
		n := rapid.IntRange(0, 3).Draw(t, "time")
		if n == 0 {
			return time.Time{}
		}
		return time.Unix(int64(n), 0).UTC()
	})
	records := rapid.Custom(func(t *rapid.T) record {
		return record{Versions: rapid.MapOfN(rapid.SampledFrom([]string{"v1.0.0", "v1.1.0", "v1.2.0"}), rapid.Custom(func(t *rapid.T) noted {
			return noted{Seen: times.Draw(t, "seen"), Used: times.Draw(t, "used")}
		}), 0, 3).Draw(t, "versions")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := records.Draw(t, "a"), records.Draw(t, "b"), records.Draw(t, "c")
		merged := func(all ...record) record {
			var sum record
			for _, r := range all {
				sum, _ = sum.merge(r)
			}
			return sum
		}
		want := merged(a, b, c)
		for _, got := range []record{merged(c, b, a), merged(a, merged(b, c)), merged(b, a, b, c, a)} {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
		}
		if _, more := want.merge(b); more {
			t.Fatal("what is there counts as more")
		}
		for version, n := range a.Versions {
			got := want.Versions[version]
			if !n.Seen.IsZero() && got.Seen.After(n.Seen) || got.Used.Before(n.Used) {
				t.Fatalf("%s: %+v of %+v", version, got, n)
			}
		}
	})
}
