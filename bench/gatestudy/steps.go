package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/live"
	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/record"
	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/stream"
	"github.com/gopherwood-dev/gopherwood/internal/bench"
)

// recorded are the benchmarks of the streams.
var recorded = []string{"JSONDecode", "SortStrings", "RegexpMatch", "Deflate", "ModFile", "MapCount", "Tree", "SHA256", "Channel", "Template"}

// sizes are the slow-downs, in percent.
var sizes = []int{3, 5, 7, 10, 20}

// How the time is shared: 54 % for streams, 32 % for live gates, 14 % for go test
// and the gate beside it.
const (
	sameStreams = 4    // for each load
	sameShare   = 0.03 // of the time, each
	slowStreams = 2    // for each size and load
	slowShare   = 0.015
	liveShare   = 0.32
	sameGates   = 30
	slowGates   = 10
	// speedLeast is for how many minutes go test is run, which takes as long as it does.
	speedLeast = 60
)

func (s *study) share(of float64) time.Duration {
	return time.Duration(of * s.minutes * float64(time.Minute))
}

// part is one stream to record.
type part struct {
	name    string
	percent int
	load    bool
	length  time.Duration
}

// parts are in an order that spreads each comparison over the study.
func (s *study) parts() []part {
	var all []part
	for _, load := range []bool{false, true} {
		for i := range sameStreams {
			all = append(all, part{percent: 0, load: load, length: s.share(sameShare)}.named(i))
		}
		for _, p := range sizes {
			for i := range slowStreams {
				all = append(all, part{percent: p, load: load, length: s.share(slowShare)}.named(i))
			}
		}
	}
	random := rand.New(rand.NewPCG(s.seed, 0))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func (p part) named(i int) part {
	load := "quiet"
	if p.load {
		load = "load"
	}
	p.name = fmt.Sprintf("plus%02d-%s-%d", p.percent, load, i)
	return p
}

// record records the streams that are not there yet.
func (s *study) record(ctx context.Context) error {
	if s.only {
		return nil
	}
	s.say("building the benchmarks")
	b, err := record.Build(ctx, s.path(binariesDir), append([]int{0}, sizes...))
	if err != nil {
		return err
	}
	program, err := os.ReadFile(b.Base)
	if err != nil {
		return err
	}
	if err := s.mark("base.txt", fmt.Sprintf("base %x", sha256.Sum256(program))); err != nil {
		return err
	}
	r := record.New(b)
	series, err := s.series(ctx, r)
	if err != nil {
		return err
	}
	left := time.Duration(0)
	for _, p := range s.parts() {
		left += p.length
	}
	for _, p := range s.parts() {
		if err := s.recordPart(ctx, r, p, series, left); err != nil {
			return err
		}
		left -= p.length
	}
	return nil
}

// series are the same in the whole study: the iterations are chosen once.
func (s *study) series(ctx context.Context, r *record.Recorder) (series []stream.Series, err error) {
	file := s.path("series.json")
	if found, err := load(file, &series); found || err != nil {
		return series, err
	}
	if series, err = r.Size(ctx, recorded, bench.DefaultSlice); err != nil {
		return nil, err
	}
	return series, save(file, series)
}

func (s *study) recordPart(ctx context.Context, r *record.Recorder, p part, series []stream.Series, left time.Duration) error {
	file := s.path(streamsDir, p.name+".ndjson")
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	s.say("recording %s for %v, %v of streams left", p.name, p.length.Round(time.Second), left.Round(time.Second))
	here := slices.Clone(series)
	for i := range here {
		here[i].Percent = p.percent
	}
	return r.Record(ctx, file, stream.Header{Seed: s.seedOf(p.name), Load: p.load, Series: here}, p.length)
}

// seedOf is a seed for a part of the study.
func (s *study) seedOf(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash takes all
	return s.seed ^ h.Sum64()
}

// groups are the benchmarks of live gates, five at a time.
var groups = []string{
	"^Benchmark(JSONDecode|SortInts|RegexpMatch|Inflate|Tree)$",
	"^Benchmark(JSONEncode|SortStrings|MapCount|SHA256|Channel)$",
	"^Benchmark(RegexpSubmatch|Deflate|Semver|Strings|Sprintf)$",
	"^Benchmark(ModFile|MapLookup|Template|BigMul|CSV)$",
}

// live runs the gates that were not run yet, until their time is over.
func (s *study) live(ctx context.Context) error {
	if s.only {
		return nil
	}
	repository, err := s.repository(ctx)
	if err != nil {
		return err
	}
	end := time.Now().Add(s.share(liveShare))
	for i := range sameGates {
		for branch, count := range map[string]int{live.Slow: slowGates, live.Same: sameGates} {
			file := s.liveFile(branch, i)
			if _, err := os.Stat(file); err == nil || i >= count {
				continue
			}
			if time.Now().After(end) {
				s.say("no time is left for more live gates: run the study again for the rest")
				return nil
			}
			if err := s.gate(ctx, repository, file, branch,
				"--bench", groups[i%len(groups)], "--seed", strconv.FormatUint(s.seedOf(filepath.Base(file)), 10)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *study) liveFile(branch string, i int) string {
	return s.path(liveDir, fmt.Sprintf("%s-%02d.json", branch, i))
}

func (s *study) repository(ctx context.Context) (*live.Repository, error) {
	files, err := fs.Sub(sources, "subjects")
	if err != nil {
		return nil, err
	}
	return live.NewRepository(ctx, s.path("repository"), files)
}

// gate runs one gate and keeps what it said.
func (s *study) gate(ctx context.Context, r *live.Repository, file, branch string, flags ...string) error {
	s.say("a gate on %s: %q", branch, flags)
	g, err := r.Gate(ctx, s.program, branch, flags...)
	if err != nil {
		return err
	}
	s.say("  %s in %v", g.Document.Verdict, g.Wall.Round(100*time.Millisecond))
	return save(file, g)
}

// beside is what go test and the gate took for all benchmarks.
type beside struct {
	Test time.Duration `json:"testNs"`
	Gate live.Gate     `json:"gate"`
}

// speedFile has a beside.
const speedFile = "beside.json"

// speed runs all benchmarks with go test on both sides, and in a gate.
func (s *study) speed(ctx context.Context) error {
	file := s.path(speedDir, speedFile)
	if _, err := os.Stat(file); err == nil || s.only || s.minutes < speedLeast {
		return nil
	}
	repository, err := s.repository(ctx)
	if err != nil {
		return err
	}
	var took beside
	for _, branch := range []string{live.Base, live.Same} {
		s.say("go test -bench . -count=10 on %s", branch)
		t, err := repository.Test(ctx, branch, s.path(speedDir, branch+".txt"))
		if err != nil {
			return err
		}
		took.Test += t
	}
	s.say("a gate on all benchmarks")
	g, err := repository.Gate(ctx, s.program, live.Same)
	if err != nil {
		return err
	}
	took.Gate = *g
	return save(file, took)
}

// save writes a value as JSON, whole or not at all.
func save(file string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	part := file + ".part"
	return errors.Join(os.WriteFile(part, text, 0o600), os.Rename(part, file))
}

// load reads what save wrote; absent is no error, and found is false.
func load(file string, value any) (found bool, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, value); err != nil {
		return false, fmt.Errorf("%s: %w", file, err)
	}
	return true, nil
}
