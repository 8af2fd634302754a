//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
)

// predicates are what travels with every image.
var predicates = []string{api.PredicateFacts, api.PredicateBuildFacts, api.PredicateProvenance, api.PredicateSPDX, api.PredicateCycloneDX}

// TestPush builds to every registry and reads back what is there.
func TestPush(t *testing.T) {
	for _, kind := range registries {
		t.Run(kind.name, func(t *testing.T) {
			host := kind.start(t)
			sent, proxy := watch(t, host)
			base := pushBase(t, proxy)
			sent.reset()
			dir := helloModule(t, "first")
			g := newTool(t, dir)
			ref := proxy + "/team/hello:v1"
			args := []string{"--plain-http", "--base", proxy + "/base/static:v1", "--platform", "linux/amd64,linux/arm64", "--push", ref, "."}
			built := g.build(args...)

			index := requireIndex(t, ref, built)
			requirePrograms(t, ref)
			requireAttachments(t, g, ref, host, index, kind.referrers)
			for _, layer := range base {
				if n := sent.blobs[layer]; n > 0 {
					t.Errorf("%d bytes of the base's layer %s were sent, which the registry has", n, layer)
				}
				if kind.mounts && !sent.mounted[layer] {
					t.Errorf("the base's layer %s was not mounted from its repository", layer)
				}
			}

			sent.reset()
			if again := g.build(args...); again.Digest != built.Digest {
				t.Errorf("the same source gave %s, then %s", built.Digest, again.Digest)
			}
			if len(sent.blobs) > 0 || len(sent.manifests) > 0 {
				t.Errorf("a build without a change sent blobs %v and manifests %v", sent.blobs, sent.manifests)
			}

			sent.reset()
			writeFile(t, dir, "main.go", 0o644, helloProgram("second"))
			changed := g.build(args...)
			requireOnlyChange(t, sent, ref, changed)
		})
	}
}

// pushBase puts a base of two platforms, each with layers of its own, and
// returns the digests of the layers.
func pushBase(t *testing.T, host string) (layers []string) {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	for _, arch := range []string{amd64, "arm64"} {
		layer, err := random.Layer(100_000, types.OCILayer)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := layer.Digest()
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, digest.String())
		img := forArch(t, imageOf(t, v1.Config{}, layer), arch)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	if err := remote.WriteIndex(reference(t, host+"/base/static:v1"), index); err != nil {
		t.Fatal(err)
	}
	return layers
}

// pulledIndex reads an index from a registry.
func pulledIndex(t *testing.T, ref string) (v1.ImageIndex, *v1.IndexManifest) {
	t.Helper()
	index, err := remote.Index(reference(t, ref))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	return index, manifest
}

// requireIndex reads the index and compares it with what the build said.
func requireIndex(t *testing.T, ref string, built api.Build) *v1.IndexManifest {
	t.Helper()
	index, manifest := pulledIndex(t, ref)
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if digest.String() != built.Digest || !slices.Equal(built.Refs, []string{strings.TrimSuffix(ref, ":v1") + "@" + built.Digest}) {
		t.Errorf("the tag is %s, the build said %s at %q", digest, built.Digest, built.Refs)
	}
	var have, want []string
	for _, m := range manifest.Manifests {
		have = append(have, m.Platform.String()+" "+m.Digest.String())
		img, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		requireUser(t, img)
	}
	for _, img := range built.Images {
		want = append(want, img.Platform.OS+"/"+img.Platform.Arch+" "+img.Digest)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("images of the index (-build +registry):\n%s", diff)
	}
	return manifest
}

// requirePrograms measures the images.
func requirePrograms(t *testing.T, ref string) {
	t.Helper()
	var have []string
	for _, s := range subjects(t, ref, facts.Options{PlainHTTP: true}) {
		for _, f := range s.Files {
			if f.Entrypoint {
				have = append(have, f.Platform.OS+"/"+f.Platform.Arch+" "+f.Path)
			}
		}
	}
	if diff := cmp.Diff([]string{"linux/amd64 /usr/local/bin/hello", "linux/arm64 /usr/local/bin/hello"}, have); diff != "" {
		t.Errorf("programs of the images (-want +have):\n%s", diff)
	}
}

// requireAttachments reads what is attached to each platform's image, from the
// place where a registry with or without the referrers API has it.
func requireAttachments(t *testing.T, g tool, ref, host string, index *v1.IndexManifest, api bool) {
	t.Helper()
	for _, m := range index.Manifests {
		place := "/v2/team/hello/referrers/" + m.Digest.String()
		if !api {
			place = "/v2/team/hello/manifests/" + m.Digest.Algorithm + "-" + m.Digest.Hex
		}
		var listed v1.IndexManifest
		fetchJSON(t, "http://"+host+place, &listed)
		if len(listed.Manifests) != len(predicates) {
			t.Errorf("%s lists %d referrers, want %d", place, len(listed.Manifests), len(predicates))
		}
		for _, r := range listed.Manifests {
			if r.ArtifactType == "" {
				t.Errorf("%s: the referrer %s has no artifact type", place, r.Digest)
			}
		}
	}
	requireAttestations(t, g, ref, index)
}

// requireAttestations asks the command what is attached. Builds of one image at
// the same time may each attach what is the same, and their own provenance.
func requireAttestations(t *testing.T, g tool, ref string, index *v1.IndexManifest) {
	t.Helper()
	ran := g.run("attestations", "-o", "json", "--plain-http", ref)
	if ran.code != 0 {
		t.Errorf("gopherwood attestations: exit code %d: %s", ran.code, ran.stderr)
	}
	var list api.AttachmentList
	if err := json.Unmarshal([]byte(ran.stdout), &list); err != nil {
		t.Fatalf("gopherwood attestations: %v: %s%s", err, ran.stdout, ran.stderr)
	}
	var have, want []string
	for _, a := range list.Items {
		have = append(have, a.Subject+" "+a.PredicateType)
		if a.Problem != "" {
			t.Errorf("attachment %s: %s", a.Digest, a.Problem)
		}
	}
	for _, m := range index.Manifests {
		for _, p := range predicates {
			want = append(want, m.Digest.String()+" "+p)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Compact(have)); diff != "" {
		t.Errorf("attachments (-want +have):\n%s", diff)
	}
}

func fetchJSON(t *testing.T, url string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", string(types.OCIImageIndex)) // Docker's registry hides indexes from who does not ask for them
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", url, response.Status)
		return
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Errorf("%s: %v", url, err)
	}
}

// requireOnlyChange fails when more was sent than what a change of the program
// changes: its layer, configurations, and what is attached.
func requireOnlyChange(t *testing.T, sent *traffic, ref string, built api.Build) {
	t.Helper()
	allowed := map[string]string{}
	index, _ := pulledIndex(t, ref)
	for _, image := range built.Images {
		digest, err := v1.NewHash(image.Digest)
		if err != nil {
			t.Fatal(err)
		}
		img, err := index.Image(digest)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		allowed[manifest.Config.Digest.String()] = "configuration"
		layer := manifest.Layers[len(manifest.Layers)-1].Digest.String()
		allowed[layer] = "program"
		if sent.blobs[layer] == 0 {
			t.Errorf("%s: the layer of the changed program was not sent", image.Platform)
		}
		for _, blob := range attachedBlobs(t, ref, digest) {
			allowed[blob] = "attachment"
		}
	}
	for digest, n := range sent.blobs {
		if allowed[digest] == "" {
			t.Errorf("a change of one line sent %d bytes for %s, which is neither program nor configuration nor attachment", n, digest)
		}
	}
}

// attachedBlobs are the blobs of what is attached to an image.
func attachedBlobs(t *testing.T, ref string, image v1.Hash) (blobs []string) {
	t.Helper()
	repository := reference(t, ref).Context()
	list, err := remote.Referrers(repository.Digest(image.String()))
	if err != nil {
		t.Fatal(err)
	}
	index, err := list.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range index.Manifests {
		descriptor, err := remote.Get(repository.Digest(m.Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		var manifest v1.Manifest
		if err := json.Unmarshal(descriptor.Manifest, &manifest); err != nil || descriptor.MediaType != types.OCIManifestSchema1 {
			t.Fatal(fmt.Errorf("attachment %s of type %s: %w", m.Digest, descriptor.MediaType, err))
		}
		blobs = append(blobs, manifest.Config.Digest.String())
		for _, l := range manifest.Layers {
			blobs = append(blobs, l.Digest.String())
		}
	}
	return blobs
}
