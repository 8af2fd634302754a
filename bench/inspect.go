//go:build linux

package main

import (
	"context"
	"os"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// The limits, from what the work costs at least.
const (
	hashLimit   = 1.25        // × the time to hash each byte once
	factsLimit  = 5           // × the time to read the build information
	syftLimit   = 0.25        // × syft's time
	memoryLimit = 150_000_000 // bytes
	fetchLimit  = 1.02        // × the image's compressed size
)

// contest measures `gopherwood inspect` beside its peers.
type contest struct {
	rounds     int
	gopherwood string
	syft       string
	corpus     *corpus
	// work is a directory for files of this run.
	work string
}

// measureInspect adds the part about `gopherwood inspect` to the report.
func measureInspect(ctx context.Context, s settings, work string, r *report) (err error) {
	if s.syft == "" {
		if s.syft, err = syft.build(ctx, s.cache); err != nil {
			return err
		}
	}
	files, err := prepareCorpus(ctx, s.cache, s.syft)
	if err != nil || s.prepare {
		return err
	}
	c := &contest{rounds: s.rounds, gopherwood: s.command, syft: s.syft, corpus: files, work: work}
	results, err := c.run(ctx)
	if err != nil {
		return err
	}
	summary := files.summary()
	r.Corpus, r.Results = &summary, append(r.Results, results...)
	r.Versions["syft"] = moduleVersion(s.syft)
	r.Versions["openssl"], err = opensslVersion(ctx)
	return err
}

// run returns every result; an error means that nothing could be measured.
func (c *contest) run(ctx context.Context) ([]result, error) {
	if err := c.corpus.warm(); err != nil {
		return nil, err
	}
	hash, memory, err := c.hashing(ctx)
	if err != nil {
		return nil, err
	}
	facts, err := inTurns(ctx, c.rounds, "inspect --no-digest / go version -m", factsLimit,
		c.inspect("--no-digest", c.corpus.dir), timed(nil, "go", "version", "-m", c.corpus.dir))
	if err != nil {
		return nil, err
	}
	syft, err := inTurns(ctx, c.rounds, "inspect / syft dir:", syftLimit,
		c.inspect(c.corpus.dir), timed([]string{"SYFT_CHECK_FOR_APP_UPDATE=false"}, c.syft, "scan", "-q", "-o", "json", "dir:"+c.corpus.dir))
	if err != nil {
		return nil, err
	}
	image, err := c.images(ctx)
	if err != nil {
		return nil, err
	}
	return append([]result{hash, memory, facts, syft}, image...), nil
}

// hashing compares with openssl and also takes the peak of memory.
func (c *contest) hashing(ctx context.Context) (ratio, memory result, err error) {
	var peak int64
	inspect := c.inspect(c.corpus.dir)
	ours := func(ctx context.Context) (cost, error) {
		spent, err := inspect(ctx)
		peak = max(peak, spent.peak)
		return spent, err
	}
	ratio, err = inTurns(ctx, c.rounds, "inspect / openssl dgst -sha256", hashLimit, ours, c.openssl())
	memory = result{Name: "inspect: peak memory", Unit: "bytes", Value: float64(peak), Limit: memoryLimit}
	return ratio, memory, err
}

// inspect is a run of gopherwood, with a cache of its own that starts empty.
func (c *contest) inspect(args ...string) command {
	return func(ctx context.Context) (cost, error) {
		cache, err := os.MkdirTemp(c.work, "cache-")
		if err != nil {
			return cost{}, err
		}
		defer os.RemoveAll(cache)
		return c.inspectWith(cache, args...)(ctx)
	}
}

// inspectWith is a run of gopherwood with the given cache.
func (c *contest) inspectWith(cache string, args ...string) command {
	return timed([]string{"XDG_CACHE_HOME=" + cache}, c.gopherwood, append([]string{"inspect", "-o", "json"}, args...)...)
}

// openssl hashes the corpus with as many processes as there are processors.
func (c *contest) openssl() command {
	var processes []command
	for _, files := range c.corpus.shares(runtime.NumCPU()) {
		processes = append(processes, timed(nil, "openssl", append([]string{"dgst", "-sha256"}, files...)...))
	}
	return func(ctx context.Context) (cost, error) {
		start := time.Now()
		group, ctx := errgroup.WithContext(ctx)
		for _, process := range processes {
			group.Go(func() error { _, err := process(ctx); return err })
		}
		err := group.Wait()
		return cost{wall: time.Since(start)}, err
	}
}
