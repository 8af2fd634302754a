package record

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/gopherwood-dev/gopherwood/bench/gatestudy/stream"
	"github.com/gopherwood-dev/gopherwood/internal/bench"
	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
	"github.com/gopherwood-dev/gopherwood/internal/bench/machine"
)

// Recorder records streams.
type Recorder struct {
	Binaries Binaries
	loop     *machine.Loop
}

// New returns a recorder of the binaries.
func New(b Binaries) *Recorder { return &Recorder{b, machine.NewLoop()} }

// Size returns a series for each benchmark, with the shape that the gate chooses
// by what the base takes.
func (r *Recorder) Size(ctx context.Context, benchmarks []string, slice time.Duration) ([]stream.Series, error) {
	var all []stream.Series
	for _, b := range benchmarks {
		shape, err := bench.ChooseShape(ctx, execute.Program{Path: r.Binaries.Base}, b, slice)
		if err != nil {
			return nil, err
		}
		all = append(all, stream.Series{Benchmark: b, N: shape.N, Count: shape.Count})
	}
	return all, nil
}

// Record writes rounds of the series of h, in turns, for a duration, to a file,
// which is there as a whole or not at all. It sets what h says of the format, the
// time and the machine.
func (r *Recorder) Record(ctx context.Context, file string, h stream.Header, length time.Duration) (err error) {
	part := file + ".part"
	f, err := os.Create(part)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err == nil {
			err = os.Rename(part, file)
		} else {
			err = errors.Join(err, os.Remove(part))
		}
	}()
	if h.Load {
		l, err := startLoad(ctx, h.Seed)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.stop()) }()
	}
	w := bufio.NewWriter(f)
	if err := r.rounds(ctx, json.NewEncoder(w), h, length); err != nil {
		return err
	}
	return w.Flush()
}

func (r *Recorder) rounds(ctx context.Context, to *json.Encoder, h stream.Header, length time.Duration) error {
	random := rand.New(rand.NewPCG(h.Seed, 0))
	begin := time.Now()
	h.Format, h.Time, h.Machine = stream.Format, begin.UTC().Format(time.RFC3339), machine.Facts()
	if err := to.Encode(h); err != nil {
		return err
	}
	for time.Since(begin) < length {
		for i, s := range h.Series {
			round := stream.Round{Series: i, At: time.Since(begin).Seconds()}
			for _, arm := range order(random) {
				slice, err := r.slice(ctx, s, arm)
				if err != nil {
					return err
				}
				round.Slices = append(round.Slices, slice)
			}
			if err := to.Encode(round); err != nil {
				return err
			}
		}
	}
	return nil
}

// order draws the order of a round.
func order(random *rand.Rand) []stream.Arm {
	first, second := stream.Base, stream.Null
	if random.IntN(2) == 0 {
		first, second = second, first
	}
	if random.IntN(2) == 0 {
		return []stream.Arm{stream.Head, first, second, stream.Head}
	}
	return []stream.Arm{first, stream.Head, stream.Head, second}
}

func (r *Recorder) slice(ctx context.Context, s stream.Series, arm stream.Arm) (stream.Slice, error) {
	file := map[stream.Arm]string{stream.Base: r.Binaries.Base, stream.Null: r.Binaries.Null, stream.Head: r.Binaries.Heads[s.Percent]}[arm]
	loop := r.loop.Run()
	m, err := execute.Run(ctx, execute.Program{Path: file}, execute.Slice{Benchmark: s.Benchmark, N: s.N, Count: s.Count})
	switch {
	case err != nil:
		return stream.Slice{}, err
	case len(m.Samples) != s.Count:
		return stream.Slice{}, fmt.Errorf("%s: %d measurements instead of %d", s.Benchmark, len(m.Samples), s.Count)
	}
	return stream.Slice{Arm: arm, Loop: loop, Took: m.Took, Values: m.Samples}, nil
}
