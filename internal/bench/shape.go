package bench

import (
	"context"
	"errors"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
)

// Shape is how a slice of a benchmark measures.
type Shape struct {
	// N is how many iterations a sample has, Count how many samples a slice, Slice
	// how long its process takes.
	N     int64         `json:"n"`
	Count int           `json:"count"`
	Slice time.Duration `json:"slice"`
}

const (
	// samples is how many samples a slice has, unless they take too long.
	samples = 10
	// start is how long a process of usual size takes to start.
	start = 15 * time.Millisecond
	// rare is what a sample may allocate without meeting the garbage collector: a
	// sixteenth of the smallest heap that is collected.
	rare = 256 << 10
	// cycles is what a sample allocates that has at least eight collections of the
	// smallest heap: one more or less is then no cliff.
	cycles = 32 << 20
	// longest is how many slices long a sample may be for that.
	longest = 8
)

var errSkipped = errors.New("it skips itself")

// ChooseShape finds the shape of slices of about this length, by what one program
// takes. Samples of a benchmark that allocates are so long that each has several
// collections: package testing collects before every sample, so that the best of
// short ones would be those without any. Errors are those of execute.Run.
func ChooseShape(ctx context.Context, p execute.Program, name string, slice time.Duration) (Shape, error) {
	s, err := execute.Size(ctx, p, name, slice/samples)
	if err != nil {
		return Shape{}, err
	}
	if s.Skipped {
		return Shape{}, errSkipped
	}
	return shapeOf(s, slice), nil
}

func shapeOf(s execute.Sizing, slice time.Duration) Shape {
	n := float64(s.N)
	if s.BytesPerOp*n > rare {
		n = max(n, min(cycles/s.BytesPerOp, longest*float64(slice)/s.NsPerOp))
	}
	// What the benchmark does before its iterations it does again for each sample,
	// and before that for a first iteration.
	sample := time.Duration(s.NsPerOp*n) + 2*max(0, s.Startup-start)
	count := int(min(max(slice/max(sample, 1), 1), samples))
	if count < samples && sample < slice {
		count = min(count*2, samples)
	}
	return Shape{N: int64(n), Count: count, Slice: s.Startup + time.Duration(count)*sample}
}
