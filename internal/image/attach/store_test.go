package attach

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// everywhere runs a test with an image in each kind of store that can hold
// attachments.
func everywhere(t *testing.T, test func(t *testing.T, s stored)) {
	for name, ref := range map[string]func(*testing.T) string{
		"registry with referrers":    func(t *testing.T) string { return newRegistry(t, true) + "/team/app:v1" },
		"registry without referrers": func(t *testing.T) string { return newRegistry(t, false) + "/team/app:v1" },
		"layout":                     func(t *testing.T) string { return "oci:" + filepath.Join(t.TempDir(), "layout") + ":v1" },
	} {
		t.Run(name, func(t *testing.T) { test(t, storeIndex(t, ref(t))) })
	}
}

// attachAll attaches what a build does: to each image its statements, and the
// signatures where there is a signer.
func attachAll(t *testing.T, s stored, run Run, signer *Signer) {
	t.Helper()
	for _, img := range s.images {
		if err := Put(t.Context(), s, img, describe(t, img, run), signer); err != nil {
			t.Fatal(err)
		}
	}
	if err := Put(t.Context(), s, s.index, nil, signer); err != nil {
		t.Fatal(err)
	}
}

// listed are the attachments in short.
func listed(t *testing.T, s stored, v *Verifier) []string {
	t.Helper()
	list, err := List(t.Context(), s, v)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for _, a := range list {
		platform := "index"
		if a.Platform != nil {
			platform = a.Platform.String()
		}
		lines = append(lines, fmt.Sprintf("%s %s signed=%t verified=%t %s", platform, a.PredicateType, a.Signed, a.Verified, a.Problem))
	}
	return lines
}

func TestPutUnsigned(t *testing.T) {
	everywhere(t, func(t *testing.T, s stored) {
		attachAll(t, s, sampleRun(), nil)
		var want []string
		for _, platform := range []string{"linux/amd64", "linux/arm64/v8.0"} {
			for _, p := range []string{api.PredicateCycloneDX, api.PredicateBuildFacts, api.PredicateFacts, api.PredicateProvenance, api.PredicateSPDX} {
				want = append(want, platform+" "+p+" signed=false verified=false ")
			}
		}
		if diff := cmp.Diff(want, listed(t, s, verifierOf(t, ecdsaKey(t)))); diff != "" {
			t.Errorf("attachments (-want +got):\n%s", diff)
		}
	})
}

func TestPutSigned(t *testing.T) {
	key := ecdsaKey(t)
	everywhere(t, func(t *testing.T, s stored) {
		attachAll(t, s, sampleRun(), signerOf(t, key))
		want := []string{"index " + api.PredicateSignature + " signed=true verified=true "}
		for _, platform := range []string{"linux/amd64", "linux/arm64/v8.0"} {
			for _, p := range []string{api.PredicateCycloneDX, api.PredicateBuildFacts, api.PredicateFacts, api.PredicateSignature, api.PredicateProvenance, api.PredicateSPDX} {
				want = append(want, platform+" "+p+" signed=true verified=true ")
			}
		}
		if diff := cmp.Diff(want, listed(t, s, verifierOf(t, ed25519Key(t), key))); diff != "" {
			t.Errorf("attachments (-want +got):\n%s", diff)
		}
		for _, line := range listed(t, s, nil) {
			if !strings.Contains(line, "signed=true verified=false") {
				t.Errorf("without keys: %s", line)
			}
		}
	})
}

// TestPutAgain attaches what is there already, and the same with a later build's
// times.
func TestPutAgain(t *testing.T) {
	later := sampleRun()
	later.Started, later.Finished = later.Started.Add(time.Hour), later.Finished.Add(time.Hour)
	for _, signer := range []*Signer{nil, signerOf(t, ecdsaKey(t)), signerOf(t, ed25519Key(t))} {
		everywhere(t, func(t *testing.T, s stored) {
			attachAll(t, s, sampleRun(), signer)
			before, err := List(t.Context(), s, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, run := range []Run{sampleRun(), later} {
				attachAll(t, s, run, signer)
				after, err := List(t.Context(), s, nil)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("attachments (-before +after):\n%s", diff)
				}
			}
			changed := later
			changed.Version = "v9"
			attachAll(t, s, changed, signer)
			after, err := List(t.Context(), s, nil)
			// Of each image, provenance and both bills of materials name the version.
			if err != nil || len(after) != len(before)+6 {
				t.Errorf("%d attachments after another version's build, %v; there were %d", len(after), err, len(before))
			}
		})
	}
}

// TestArtifact holds the stored form against the one that cosign stores.
func TestArtifact(t *testing.T) {
	subject := sampleSubject(t)
	s := signature(subject.Digest, sampleRun().Created)
	for name, test := range map[string]struct {
		signer      *Signer
		media       string
		annotations map[string]string
	}{
		"signed": {signerOf(t, ecdsaKey(t)), "application/vnd.dev.sigstore.bundle.v0.3+json", map[string]string{
			"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1",
			"org.opencontainers.image.created": "2026-11-02T02:04:05Z",
		}},
		"unsigned": {nil, "application/vnd.in-toto+json", map[string]string{
			"in-toto.io/predicate-type": "https://sigstore.dev/cosign/sign/v1", "org.opencontainers.image.created": "2026-11-02T02:04:05Z",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			img, err := artifactOf(subject, s, test.signer)
			if err != nil {
				t.Fatal(err)
			}
			m, err := img.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			if m.ArtifactType != test.media || m.Config.MediaType != "application/vnd.oci.empty.v1+json" || m.Config.Size != 2 ||
				len(m.Layers) != 1 || string(m.Layers[0].MediaType) != test.media || m.Subject.Digest != subject.Digest || m.Subject.Size != subject.Size {
				t.Errorf("manifest %+v", m)
			}
			if diff := cmp.Diff(test.annotations, m.Annotations); diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPutRefusesOtherSubject(t *testing.T) {
	s := storeIndex(t, newRegistry(t, true)+"/team/app:v1")
	err := Put(t.Context(), s, s.images[0], describe(t, s.images[1], sampleRun()), nil)
	if fault.CodeOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), s.images[0].Digest.String()) {
		t.Errorf("error %v (%s)", err, fault.HintOf(err))
	}
	if list := listed(t, s, nil); len(list) != 0 {
		t.Errorf("attached all the same: %v", list)
	}
}

func TestVerify(t *testing.T) {
	key, other := ecdsaKey(t), ed25519Key(t)
	s := storeIndex(t, newRegistry(t, true)+"/team/app:v1")
	check := func(v *Verifier, want ...string) {
		t.Helper()
		_, unsigned, err := Verify(t.Context(), s, v)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, err := range unsigned {
			_, reason, _ := strings.Cut(err.Error(), ": ")
			got = append(got, reason)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("unsigned (-want +got):\n%s", diff)
		}
	}
	v := verifierOf(t, key)
	check(v, "it has no signature", "the image for linux/amd64 has no signature", "the image for linux/arm64/v8.0 has no signature")
	attachAll(t, s, sampleRun(), signerOf(t, other))
	check(v, "no trusted key made a signature of it", "no trusted key made a signature of the image for linux/amd64",
		"no trusted key made a signature of the image for linux/arm64/v8.0")
	if err := Put(t.Context(), s, s.index, nil, signerOf(t, key)); err != nil {
		t.Fatal(err)
	}
	if err := Put(t.Context(), s, s.images[1], nil, signerOf(t, key)); err != nil {
		t.Fatal(err)
	}
	check(v, "no trusted key made a signature of the image for linux/amd64")
	if err := Put(t.Context(), s, s.images[0], nil, signerOf(t, key)); err != nil {
		t.Fatal(err)
	}
	check(v)
	signatures, _, err := Verify(t.Context(), s, v)
	if err != nil || len(signatures) != 6 {
		t.Errorf("%d signatures, %v", len(signatures), err)
	}
	for _, none := range []*Verifier{nil, {}} {
		if _, _, err := Verify(t.Context(), s, none); fault.CodeOf(err) != fault.Usage {
			t.Errorf("without a key: %v", err)
		}
	}
}

// TestVerifySingle has no index, and an attestation that is no signature.
func TestVerifySingle(t *testing.T) {
	signer := signerOf(t, ecdsaKey(t))
	s := open(t, newRegistry(t, true)+"/team/app:v1")
	img := platformImage(t, v1.Platform{OS: "linux", Architecture: "amd64"})
	if err := s.Put(t.Context(), img, true); err != nil {
		t.Fatal(err)
	}
	statement, err := NewStatement(descriptor(t, img).Digest, "", "https://example.org/review/v1", "fine")
	if err != nil {
		t.Fatal(err)
	}
	attachment, err := artifactOf(descriptor(t, img), statement, signer)
	if err == nil {
		err = s.Put(t.Context(), attachment, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, unsigned, err := Verify(t.Context(), s, signer.Verifier())
	if err != nil || len(unsigned) != 1 {
		t.Errorf("with an attestation alone: %v, %v", unsigned, err)
	}
	if err := Put(t.Context(), s, descriptor(t, img), nil, signer); err != nil {
		t.Fatal(err)
	}
	_, unsigned, err = Verify(t.Context(), s, signer.Verifier())
	if err != nil || len(unsigned) != 0 {
		t.Errorf("with a signature: %v, %v", unsigned, err)
	}
}

func TestFactsPreferVerified(t *testing.T) {
	signer := signerOf(t, ecdsaKey(t))
	everywhere(t, func(t *testing.T, s stored) {
		img := s.images[0]
		if _, _, ok, err := Facts(t.Context(), s, nil, img.Digest); ok || err != nil {
			t.Errorf("before there are any: %t, %v", ok, err)
		}
		lie := sampleRun()
		lie.Files = []api.Facts{{Path: "/lie"}}
		if err := Put(t.Context(), s, img, describe(t, img, lie), signerOf(t, ed25519Key(t))); err != nil {
			t.Fatal(err)
		}
		if err := Put(t.Context(), s, img, describe(t, img, lie), nil); err != nil {
			t.Fatal(err)
		}
		got, from, ok, err := Facts(t.Context(), s, signer.Verifier(), img.Digest)
		if err != nil || !ok || from.Verified || got[0].Path != "/lie" {
			t.Errorf("unverified facts: %v %+v %t %v", got, from, ok, err)
		}
		if err := Put(t.Context(), s, img, describe(t, img, sampleRun()), signer); err != nil {
			t.Fatal(err)
		}
		got, from, ok, err = Facts(t.Context(), s, signer.Verifier(), img.Digest)
		if err != nil || !ok || !from.Verified || from.KeyID != signer.KeyID() || got[0].Path != "/usr/local/bin/app" {
			t.Errorf("verified facts: %v %+v %t %v", got, from, ok, err)
		}
		build, from, ok, err := BuildFacts(t.Context(), s, signer.Verifier(), img.Digest)
		if err != nil || !ok || !from.Verified {
			t.Errorf("build facts: %+v %t %v", from, ok, err)
		}
		if diff := cmp.Diff(sampleBuilt().Build, build); diff != "" {
			t.Errorf("build facts (-want +got):\n%s", diff)
		}
	})
}

// TestHostile lists attachments that others could have put there.
func TestHostile(t *testing.T) {
	key := ecdsaKey(t)
	signer := signerOf(t, key)
	s := storeIndex(t, newRegistry(t, true)+"/team/app:v1")
	img := s.images[0]
	sealed := func(statement Statement) []byte {
		payload, err := json.Marshal(statement)
		if err != nil {
			t.Fatal(err)
		}
		data, err := signer.seal(payload)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	own, other := signature(img.Digest, time.Time{}), signature(s.images[1].Digest, time.Time{})
	forged := bytes.Replace(sealed(own), []byte(`"sig":"`), []byte(`"sig":"AAAA`), 1)
	for name, test := range map[string]struct {
		media types.MediaType
		data  []byte
		want  string // a part of the problem; empty when there is none
	}{
		"another image's":    {bundleMedia, sealed(other), "about other digests"},
		"no bundle":          {bundleMedia, []byte("<html>"), "no JSON of a Sigstore bundle"},
		"no statement":       {statementMedia, []byte("{}"), "no in-toto statement"},
		"a broken payload":   {bundleMedia, must(signer.seal([]byte("x")))(t), "no JSON of an in-toto statement"},
		"a forged signature": {bundleMedia, forged, ""},
		"of another kind":    {"application/vnd.example.sbom", []byte("x"), ""},
		"empty":              {statementMedia, nil, "no JSON"},
		"large":              {statementMedia, make([]byte, maxBundle+1), "limit"},
	} {
		t.Run(name, func(t *testing.T) {
			artifact, err := newArtifact(img, test.media, test.data, nil)
			if err == nil {
				err = s.Put(t.Context(), artifact, false)
			}
			if err != nil {
				t.Fatal(err)
			}
			a := attachment(t, s, artifact, verifierOf(t, key))
			if a.Verified || (a.Problem == "") != (test.want == "") || !strings.Contains(a.Problem, test.want) {
				t.Errorf("attachment %+v, want the problem %q", a, test.want)
			}
		})
	}
	t.Run("layers", func(t *testing.T) {
		artifact := many(t, img, static.NewLayer(sealed(own), bundleMedia), static.NewLayer([]byte("x"), "text/plain"))
		if err := s.Put(t.Context(), artifact, false); err != nil {
			t.Fatal(err)
		}
		if a := attachment(t, s, artifact, verifierOf(t, key)); a.Verified || !strings.Contains(a.Problem, "2 layers") {
			t.Errorf("attachment %+v", a)
		}
	})
	if _, unsigned, err := Verify(t.Context(), s, verifierOf(t, key)); err != nil || len(unsigned) != 3 {
		t.Errorf("unsigned %v, %v", unsigned, err)
	}
	if err := Put(t.Context(), s, img, nil, signer); err != nil {
		t.Fatal(err)
	}
	if _, unsigned, err := Verify(t.Context(), s, verifierOf(t, key)); err != nil || len(unsigned) != 2 {
		t.Errorf("unsigned with one signature that counts: %v, %v", unsigned, err)
	}
}

func must(data []byte, err error) func(*testing.T) []byte {
	return func(t *testing.T) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
}

// attachment returns what List says of an artifact.
func attachment(t *testing.T, s stored, artifact v1.Image, v *Verifier) api.Attachment {
	t.Helper()
	list, err := List(t.Context(), s, v)
	if err != nil {
		t.Fatal(err)
	}
	digest := descriptor(t, artifact).Digest.String()
	i := slices.IndexFunc(list, func(a api.Attachment) bool { return a.Digest == digest })
	if i < 0 {
		t.Fatalf("%s is not listed", digest)
	}
	return list[i]
}

// many is an artifact of several layers.
func many(t *testing.T, subject v1.Descriptor, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layers...)
	if err != nil {
		t.Fatal(err)
	}
	return mutate.Subject(img, subject).(v1.Image)
}

// TestPutMeasured attaches to images that others have built.
func TestPutMeasured(t *testing.T) {
	signer := signerOf(t, ecdsaKey(t))
	s := storeIndex(t, newRegistry(t, true)+"/team/app:v1")
	for i, files := range [][]api.Facts{{sampleBuilt().Facts}, nil} {
		if err := PutMeasured(t.Context(), s, s.images[i].Digest.String(), Run{Files: files}, signer); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for _, platform := range []string{"linux/amd64", "linux/arm64/v8.0"} {
		for _, p := range []string{api.PredicateCycloneDX, api.PredicateFacts, api.PredicateSignature, api.PredicateSPDX} {
			want = append(want, platform+" "+p+" signed=true verified=true ")
		}
	}
	if diff := cmp.Diff(want, listed(t, s, signer.Verifier())); diff != "" {
		t.Errorf("attachments (-want +got):\n%s", diff)
	}
	images, err := FactsOfImages(t.Context(), s, signer.Verifier())
	if err != nil || len(images) != 2 || len(images[0].Facts) != 1 || len(images[1].Facts) != 0 || !images[1].From.Verified {
		t.Errorf("facts of images %+v, %v", images, err)
	}
	facts, err := FactsOfImage(t.Context(), s, nil, s.images[0].Digest.String())
	if err != nil || len(facts) != 1 || facts[0].Ref != "" || facts[0].Path != "/usr/local/bin/app" {
		t.Errorf("facts of an image %+v, %v", facts, err)
	}
	for _, digest := range []string{"", "sha256:x"} {
		if err := PutMeasured(t.Context(), s, digest, Run{}, nil); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("digest %q: %v", digest, err)
		}
	}
}
