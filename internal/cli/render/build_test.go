package render_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
)

func TestBuilds(t *testing.T) {
	list := &api.BuildList{Items: []api.Build{{Refs: []string{"r.example.org/a@sha256:1", "oci:b@sha256:1"}}, {Package: "refused"}}}
	var b bytes.Buffer
	if err := render.Builds(&b, render.Table, list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("r.example.org/a@sha256:1\noci:b@sha256:1\n", b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestBuildReport(t *testing.T) {
	build := &api.Build{
		Package: "example.org/app",
		Images: []api.BuiltImage{{
			Platform: api.Platform{OS: "linux", Arch: "amd64"}, Digest: "sha256:1", Size: 3 << 20, Layers: make([]api.Layer, 2),
			Base:    api.BaseChoice{Ref: "static", Reason: "the program is static"},
			Facts:   api.Facts{Size: 2 << 20},
			Build:   api.BuildFacts{CGO: api.CGODecision{Reason: "no package needs it"}},
			Verdict: api.Verdict{Verdict: api.Deny, Findings: []api.Finding{{Rule: "start/x", Severity: api.Deny, Message: "does not start", Hint: "mend it"}}},
		}},
	}
	var b bytes.Buffer
	if err := render.BuildReport(&b, build, render.Layout{}); err != nil {
		t.Fatal(err)
	}
	want := `deny  example.org/app (linux/amd64)
      digest  sha256:1
      size    3.0 MiB in 2 layers; the program 2.0 MiB
      base    static: the program is static
      cgo     no package needs it
      deny  start/x
        does not start
        fix: mend it
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestRebuilds(t *testing.T) {
	report := &api.RebuildReport{Ref: "r.example.org/app:1", Items: []api.Rebuild{{
		Platform: api.Platform{OS: "linux", Arch: "amd64"}, Verdict: api.RebuildDifferent, Recorded: "sha256:1", Rebuilt: "sha256:2",
		Differences: []api.Difference{{Kind: "setting", Name: "GOAMD64", Recorded: "v1", Rebuilt: "v3"}, {Kind: "file", Name: "/x", Rebuilt: "sha256:3"}},
	}}}
	var b bytes.Buffer
	if err := render.Rebuilds(&b, render.Table, report, render.Layout{}); err != nil {
		t.Fatal(err)
	}
	want := `different  r.example.org/app:1 (linux/amd64)
      recorded  sha256:1
      rebuilt   sha256:2
      differs: setting GOAMD64: v1, now v3
      differs: file /x: nothing, now sha256:3
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAttachments(t *testing.T) {
	list := &api.AttachmentList{Items: []api.Attachment{
		{Subject: "sha256:0123456789abcdef", Digest: "sha256:fedcba9876543210", PredicateType: api.PredicateFacts, Size: 2048,
			Platform: &api.Platform{OS: "linux", Arch: "arm64"}, Signed: true, Verified: true, KeyID: "0011223344556677"},
		{Subject: "sha256:1", Digest: "sha256:2", PredicateType: "https://e.org/r1", Signed: true},
		{Subject: "sha256:1", Digest: "sha256:3", MediaType: "text/plain\x1b", Problem: "the digest is another"},
	}}
	var b bytes.Buffer
	if err := render.Attachments(&b, render.Table, list, render.Layout{}); err != nil {
		t.Fatal(err)
	}
	want := `WHAT              OF           SUBJECT              ATTACHMENT           SIZE     SIGNATURE
facts             linux/arm64  sha256:0123456789ab  sha256:fedcba987654  2.0 KiB  trusted key 001122334455
https://e.org/r1  index        sha256:1             sha256:2             0 B      not by a trusted key
text/plain\x1b    index        sha256:1             sha256:3             0 B      none
  the digest is another
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
