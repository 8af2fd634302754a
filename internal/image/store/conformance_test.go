package store

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// stores are the places that keep images and attachments.
var stores = map[string]func(t *testing.T) (ref string){
	"registry":                func(t *testing.T) string { return startServer(t).ref() },
	"registry with referrers": func(t *testing.T) string { return startServer(t, ggcr.WithReferrersSupport(true)).ref() },
	"layout":                  func(t *testing.T) string { return "oci:" + filepath.Join(t.TempDir(), "new", "layout") + ":v1" },
}

// TestStores holds every store to the contract of Store.
func TestStores(t *testing.T) {
	for name, start := range stores {
		t.Run(name, func(t *testing.T) {
			for name, check := range map[string]func(*testing.T, string){
				"what was put is there": checkRoundTrip,
				"nothing is sent twice": checkOnlyNew,
				"a tag moves":           checkTagMoves,
				"referrers":             checkReferrers,
				"writers at once":       checkConcurrent,
				"cancelled":             checkCancelled,
				"absent":                checkAbsent,
			} {
				t.Run(name, func(t *testing.T) { check(t, start(t)) })
			}
		})
	}
}

func checkRoundTrip(t *testing.T, ref string) {
	ctx := context.Background()
	s := open(t, ref, Options{})
	index := randomIndex(t, 3)
	put(t, s, index, true)
	got, desc, err := open(t, ref, Options{}).Get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	tree, ok := got.(v1.ImageIndex)
	if !ok || raw(t, got) != raw(t, index) || desc.Digest != digestOf(t, index) || desc.Size != int64(len(raw(t, index))) {
		t.Fatalf("got a %T of %+v", got, desc)
	}
	if err := validate.Index(tree); err != nil {
		t.Error(err)
	}
	children, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	child, err := s.Image(ctx, children.Manifests[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(child); err != nil {
		t.Error(err)
	}
	if _, err := s.Image(ctx, digestOf(t, index)); fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("an index as an image: %v", err)
	}
	byDigest, _, err := open(t, s.Ref(desc.Digest), Options{}).Get(ctx)
	if err != nil || raw(t, byDigest) != raw(t, index) {
		t.Errorf("%s: %v", s.Ref(desc.Digest), err)
	}
	if err := open(t, s.Ref(desc.Digest), Options{}).Put(ctx, index, true); fault.CodeOf(err) != fault.Usage {
		t.Errorf("a digest cannot be tagged: %v", err)
	}
}

// checkOnlyNew rebuilds an image with another last layer: only that layer, the
// configuration and the manifest are sent.
func checkOnlyNew(t *testing.T, ref string) {
	base := randomImage(t, 3)
	build := func() v1.Image {
		layers, err := randomImage(t, 1).Layers()
		if err != nil {
			t.Fatal(err)
		}
		img, err := mutate.AppendLayers(base, layers...)
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	first, second := build(), build()
	rec := &recorder{}
	put(t, open(t, ref, Options{Sent: rec.add, Progress: rec}), first, true)
	if want := blobsOf(t, first); !slices.Equal(rec.digests(), want) || rec.done != rec.expected || rec.done < 300_000 {
		t.Errorf("sent %q, want %q; %d of %d bytes", rec.digests(), want, rec.done, rec.expected)
	}

	rec = &recorder{}
	put(t, open(t, ref, Options{Sent: rec.add, Progress: rec}), second, true)
	var want []string
	for _, digest := range blobsOf(t, second) {
		if !slices.Contains(blobsOf(t, first), digest) {
			want = append(want, digest)
		}
	}
	if !slices.Equal(rec.digests(), want) || len(want) != 3 || rec.done != rec.expected || rec.done > 150_000 {
		t.Errorf("sent %q, want %q; %d of %d bytes", rec.digests(), want, rec.done, rec.expected)
	}

	rec = &recorder{}
	put(t, open(t, ref, Options{Sent: rec.add, Progress: rec}), second, true)
	if len(rec.sent) != 0 || rec.done != 0 {
		t.Errorf("nothing changed and %q was sent, %d bytes", rec.digests(), rec.done)
	}
}

func checkTagMoves(t *testing.T, ref string) {
	s := open(t, ref, Options{})
	for range 2 {
		img := randomImage(t, 2)
		put(t, s, img, true)
		got, _, err := s.Get(context.Background())
		if err != nil || raw(t, got) != raw(t, img) {
			t.Fatalf("%v", err)
		}
	}
	other := randomImage(t, 1)
	put(t, s, other, false)
	if got, desc, err := s.Get(context.Background()); err != nil || desc.Digest == digestOf(t, other) {
		t.Errorf("untagged: %v, %v", got, err)
	}
	img, err := s.Image(context.Background(), digestOf(t, other))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
}

func checkReferrers(t *testing.T, ref string) {
	s := open(t, ref, Options{})
	img, other := randomImage(t, 1), randomImage(t, 1)
	put(t, s, img, true)
	if got := texts(t, s, digestOf(t, img)); len(got) != 0 {
		t.Errorf("before: %q", got)
	}
	var want []string
	for _, text := range []string{"a", "b", "c"} {
		put(t, s, attachment(t, img, text), false)
		want = append(want, text)
		if diff := cmp.Diff(want, texts(t, open(t, ref, Options{}), digestOf(t, img))); diff != "" {
			t.Error(diff)
		}
	}
	put(t, s, attachment(t, img, "a"), false)
	put(t, s, attachment(t, other, "of another"), false)
	if diff := cmp.Diff(want, texts(t, s, digestOf(t, img))); diff != "" {
		t.Error(diff)
	}
	if got, desc, err := s.Get(context.Background()); err != nil || desc.Digest != digestOf(t, img) {
		t.Errorf("the image itself: %v, %v", got, err)
	}
}

// checkConcurrent lets several stores, as of several processes, write the same
// tag and attach to the same image.
func checkConcurrent(t *testing.T, ref string) {
	subject := randomImage(t, 1)
	put(t, open(t, ref, Options{}), subject, false)
	images := []v1.Image{randomImage(t, 2), randomImage(t, 2), randomImage(t, 2)}
	var want []string
	var group sync.WaitGroup
	for i, img := range images {
		s := open(t, ref, Options{})
		group.Go(func() { put(t, s, img, true) })
		for j := range 5 {
			text := string(rune('a'+i)) + string(rune('0'+j))
			want = append(want, text)
			group.Go(func() { put(t, s, attachment(t, subject, text), false) })
		}
	}
	group.Wait()
	got, desc, err := open(t, ref, Options{}).Get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(images, func(img v1.Image) bool { return digestOf(t, img) == desc.Digest }) {
		t.Errorf("the tag is %s, which nobody wrote", desc.Digest)
	}
	if err := validate.Image(got.(v1.Image)); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, texts(t, open(t, ref, Options{}), digestOf(t, subject))); diff != "" {
		t.Error(diff)
	}
}

func checkCancelled(t *testing.T, ref string) {
	s := open(t, ref, Options{Jobs: 1})
	before := randomImage(t, 1)
	put(t, s, before, true)
	ctx, cancel := context.WithCancel(context.Background())
	stopping := open(t, ref, Options{Jobs: 1, Sent: func(v1.Descriptor) { cancel() }})
	img := randomImage(t, 4)
	if err := stopping.Put(ctx, img, true); fault.CodeOf(err) != fault.Canceled {
		t.Fatalf("%v", err)
	}
	if _, desc, err := s.Get(context.Background()); err != nil || desc.Digest != digestOf(t, before) {
		t.Errorf("the tag is %v, %v", desc.Digest, err)
	}
	if _, err := s.Image(context.Background(), digestOf(t, img)); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the manifest is there: %v", err)
	}
	put(t, s, img, true)
}

func checkAbsent(t *testing.T, ref string) {
	s := open(t, ref, Options{})
	if _, _, err := s.Get(context.Background()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
	if _, err := s.Image(context.Background(), digestOf(t, empty.Image)); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
}
