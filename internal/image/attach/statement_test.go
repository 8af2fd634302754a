package attach

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func TestStatementJSON(t *testing.T) {
	s, err := NewStatement(sampleSubject(t).Digest, "app", "https://example.org/review/v1", map[string]any{"b": 1, "a": "<ok>"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"app","digest":{"sha256":"` + strings.Repeat("1", 64) +
		`"}}],"predicateType":"https://example.org/review/v1","predicate":{"a":"\u003cok\u003e","b":1}}`
	if string(data) != want {
		t.Errorf("statement\n%s\nwant\n%s", data, want)
	}
	back, err := ParseStatement(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestParseStatementRefuses(t *testing.T) {
	const rest = `"subject":[{"digest":{"sha256":"ab"}}],"predicateType":"x","predicate":{}}`
	tests := map[string]struct {
		data string
		code fault.Code
	}{
		"nothing":           {"", fault.Invalid},
		"no JSON":           {"<html>", fault.Invalid},
		"another type":      {`{"_type":"https://in-toto.io/Link/v1",` + rest, fault.Invalid},
		"no type":           {`{` + rest, fault.Invalid},
		"no subject":        {`{"_type":"` + statementType + `","subject":[],"predicateType":"x"}`, fault.Invalid},
		"no predicate type": {`{"_type":"` + statementType + `","subject":[{"digest":{}}]}`, fault.Invalid},
		"deep":              {`{"_type":` + strings.Repeat("[", 20_000), fault.Invalid},
		"long":              {strings.Repeat(" ", maxStatement+1), fault.Limit},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseStatement([]byte(test.data))
			if fault.CodeOf(err) != test.code {
				t.Errorf("error %v with code %s, want %s", err, fault.CodeOf(err), test.code)
			}
		})
	}
	if _, err := ParseStatement([]byte(`{"_type":"` + statementTypeV0 + `",` + rest)); err != nil {
		t.Errorf("the older version of the format: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	statements := describe(t, sampleSubject(t), sampleRun())
	var types []string
	for _, s := range statements {
		types = append(types, s.PredicateType)
		if !s.about(sampleSubject(t).Digest) || s.Subjects[0].Name != "app" || !s.Created.Equal(sampleRun().Created) {
			t.Errorf("statement %s: subjects %v, created %s", s.PredicateType, s.Subjects, s.Created)
		}
	}
	want := []string{api.PredicateFacts, api.PredicateSPDX, api.PredicateCycloneDX, api.PredicateBuildFacts, api.PredicateProvenance}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
}

func TestDescribeIsTheSame(t *testing.T) {
	later := sampleRun()
	later.Started, later.Finished = later.Started.Add(1e12), later.Finished.Add(1e12)
	first, second := describe(t, sampleSubject(t), sampleRun()), describe(t, sampleSubject(t), later)
	for i := range first {
		equal := string(first[i].Predicate) == string(second[i].Predicate)
		if provenance := first[i].PredicateType == api.PredicateProvenance; equal == provenance {
			t.Errorf("%s: equal in two builds at different times: %t", first[i].PredicateType, equal)
		}
		if !same(first[i], second[i]) {
			t.Errorf("%s: counts as different", first[i].PredicateType)
		}
	}
}

func TestFactsStatement(t *testing.T) {
	var list api.FactsList
	if err := json.Unmarshal(predicate(t, describe(t, sampleSubject(t), sampleRun()), api.PredicateFacts), &list); err != nil {
		t.Fatal(err)
	}
	want := sampleBuilt().Facts
	want.Ref = ""
	if diff := cmp.Diff(api.FactsList{SchemaVersion: "gopherwood/v1", Kind: "FactsList", Items: []api.Facts{want}}, list); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestProvenance(t *testing.T) {
	var got map[string]any
	if err := json.Unmarshal(predicate(t, describe(t, sampleSubject(t), sampleRun()), api.PredicateProvenance), &got); err != nil {
		t.Fatal(err)
	}
	// The example of a module's sum and its dirHash is that of in-toto's own specification.
	const dirHash = "2a1bb6127fb481c60f67692e22285fb306f3c6ffe62075e0ccf674d7c3adcb8f"
	module := func(name, uri string, more map[string]any) map[string]any {
		m := map[string]any{"name": name, "uri": uri, "digest": map[string]any{"dirHash": dirHash}}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	platform := map[string]any{"os": "linux", "arch": "amd64", "level": "v1"}
	want := map[string]any{
		"buildDefinition": map[string]any{
			"buildType": "https://gopherwood.dev/build/v1",
			"externalParameters": map[string]any{
				"package": "example.org/app/cmd", "platform": platform,
				"config": map[string]any{"cgo": "auto", "ldflags": []any{"-s", "-w"}},
			},
			"internalParameters": map[string]any{
				"dir": "cmd", "cgo": map[string]any{"enabled": false, "asked": "auto", "reason": "nothing needs it"},
				"flags": []any{"-trimpath", "-ldflags=-s -w"}, "env": map[string]any{"CGO_ENABLED": "0", "GOAMD64": "v1"},
				"moduleGraph": digestOf("4"), "baseReason": "it is linked dynamically", "compression": "gzip",
			},
			"resolvedDependencies": []any{
				map[string]any{
					"name": "source", "uri": "pkg:golang/example.org/app",
					"digest":      map[string]any{"gitCommit": strings.Repeat("5", 40)},
					"annotations": map[string]any{"vcs": "git", "revision": strings.Repeat("5", 40), "modified": false},
				},
				map[string]any{
					"name": "base", "uri": "pkg:oci/glibc@" + digestOf("2") + "?repository_url=registry.example.org%2Fbase%2Fglibc&tag=12",
					"digest":      map[string]any{"sha256": strings.Repeat("2", 64)},
					"annotations": map[string]any{"ref": "registry.example.org/base/glibc:12"},
				},
				map[string]any{"name": "go", "uri": "pkg:golang/stdlib@1.26.8", "annotations": map[string]any{"version": "go1.26.8"}},
				module("github.com/Upper/Case", "pkg:golang/github.com/upper/case@v1.2.3", nil),
				module("example.org/old", "pkg:golang/example.org/old@v2.0.0%2Bincompatible", nil),
				module("example.org/fork", "pkg:golang/example.org/fork@v1.0.1",
					map[string]any{"annotations": map[string]any{"replaces": "example.org/replaced@v1.0.0"}}),
				map[string]any{"name": "example.org/local", "uri": "pkg:golang/example.org/local", "annotations": map[string]any{"replaces": "example.org/local@v1.0.0"}},
			},
		},
		"runDetails": map[string]any{
			"builder":  map[string]any{"id": "https://gopherwood.dev/builder/v1", "version": map[string]any{"gopherwood": "v1.2.3"}},
			"metadata": map[string]any{"startedOn": "2026-11-02T03:04:05Z", "finishedOn": "2026-11-02T03:05:05Z"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("provenance (-want +got):\n%s", diff)
	}
}

// TestProvenanceOfNothing has no source that anything could be said of.
func TestProvenanceOfNothing(t *testing.T) {
	p := newProvenance(api.BuildFacts{Go: "go1.26.8"}, Run{})
	for _, r := range p.BuildDefinition.ResolvedDependencies {
		if r.URI == "" && r.Digest == nil {
			t.Errorf("%+v names nothing", r)
		}
	}
	if p.RunDetails.Metadata != nil || p.RunDetails.Builder.Version != nil {
		t.Errorf("run %+v", p.RunDetails)
	}
}

func FuzzParseStatement(f *testing.F) {
	for _, s := range describe(f, sampleSubject(f), sampleRun()) {
		data, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"_type":"` + statementTypeV0 + `","subject":[null],"predicateType":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseStatement(data)
		if err != nil {
			return
		}
		s.about(sampleSubject(t).Digest)
		written, err := json.Marshal(s)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := parseStatement(written)
		if err != nil || !same(s, back) {
			t.Fatalf("%s\nis read back as\n%+v, %v", written, back, err)
		}
	})
}
