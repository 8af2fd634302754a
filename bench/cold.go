//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// How cold admission is measured.
const (
	coldImages = 25
	coldSize   = 50_000_000 // bytes of layers as they are stored
	coldShared = 3          // images that are asked for at once
	coldAtOnce = 20         // requests for each of them
)

// cold measures the first pod of each of several images that nobody has seen, and
// how often these are fetched.
func (b *admissionBench) cold(ctx context.Context) ([]result, error) {
	var took []time.Duration
	var single, shared fetches
	for i := range coldImages + coldShared {
		ref, image, err := b.fresh(ctx, i)
		if err != nil {
			return nil, err
		}
		b.sent++
		if i < coldImages {
			begin := time.Now()
			if err := b.pod(ctx, b.ours, ref, i); err != nil {
				return nil, fmt.Errorf("%w\n%s", err, b.webhook.tail())
			}
			took = append(took, time.Since(begin))
			err = single.add(b.ourShelf, image)
		} else {
			if err := b.atOnce(ctx, ref); err != nil {
				return nil, fmt.Errorf("%w\n%s", err, b.webhook.tail())
			}
			err = shared.add(b.ourShelf, image)
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(took)
	memory, err := b.webhook.memory("VmHWM")
	if err != nil {
		return nil, err
	}
	first, last := took[0].Seconds(), took[len(took)-1].Seconds()
	return []result{
		{Name: fmt.Sprintf("cold: first pod of a %d MB image, p99 of %d", coldSize/1_000_000, coldImages), Unit: "seconds", Value: quantile(took, 0.99), Limit: coldLimit, Least: first, Most: last},
		informative(result{Name: "cold: first pod, p50", Unit: "seconds", Value: quantile(took, 0.5), Least: first, Most: last}),
		{Name: "cold: fetches of a blob, at most", Unit: "count", Value: float64(single.most), Limit: 1},
		{Name: fmt.Sprintf("cold: fetches of a blob, %d pods at once, at most", coldAtOnce), Unit: "count", Value: float64(shared.most), Limit: 1},
		{Name: "webhook: memory at most, after that", Unit: "bytes", Value: memory, Limit: memoryAtMost},
	}, nil
}

// fresh pushes an image that nobody has seen.
func (b *admissionBench) fresh(ctx context.Context, i int) (string, v1.Image, error) {
	image, err := baked{program: b.program, mark: marked("cold", i), user: "65532:65532", size: coldSize}.bake()
	if err != nil {
		return "", nil, err
	}
	ref, err := b.ourShelf.push(ctx, fmt.Sprintf("cold/app-%d:v1", i), image)
	b.ourShelf.forget()
	return ref, image, err
}

// atOnce creates many pods of an image at the same time.
func (b *admissionBench) atOnce(ctx context.Context, ref string) error {
	failed := make([]error, coldAtOnce)
	var group sync.WaitGroup
	for i := range failed {
		group.Go(func() { failed[i] = b.pod(ctx, b.ours, ref, i) })
	}
	group.Wait()
	return errors.Join(failed...)
}

// fetches is how often the blobs of images were fetched.
type fetches struct{ most int }

// add counts an image's blobs. One that nobody has fetched is an error: the image
// was not measured.
func (f *fetches) add(s *shelf, image v1.Image) error {
	digests, err := blobs(image)
	if err != nil {
		return err
	}
	for _, d := range digests {
		n := s.fetched(d)
		if n == 0 {
			return fmt.Errorf("%s was not fetched: the image was not measured", d)
		}
		f.most = max(f.most, n)
	}
	return nil
}
