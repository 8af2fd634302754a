// Package stream is the format of recorded rounds of measurements: text with a
// JSON value a line. The first line is a [Header], each other one a [Round].
package stream

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Format names the format and its version in the first line.
const Format = "gopherwood-bench-stream/1"

// maxLine bounds a line in bytes.
const maxLine = 1 << 20

// Header says what was recorded, and how.
type Header struct {
	Format string `json:"format"`
	// Time is when the recording began, in RFC 3339.
	Time string `json:"time"`
	// Seed is what the order of the slices was drawn from.
	Seed uint64 `json:"seed"`
	// Load says that a competing load ran on another processor.
	Load    bool             `json:"load"`
	Machine api.BenchMachine `json:"machine"`
	// Series are the pairs that were measured in turns.
	Series []Series `json:"series"`
}

// Series is one benchmark of one pair of builds, measured in one shape of slices.
type Series struct {
	// Benchmark has no prefix Benchmark.
	Benchmark string `json:"benchmark"`
	// Percent is how much more work the head does.
	Percent int `json:"percent"`
	// N is the iterations of one measurement, Count the measurements of a slice.
	N     int64 `json:"n"`
	Count int   `json:"count"`
}

// Round is one round of a series.
type Round struct {
	// Series is an index of [Header.Series].
	Series int `json:"series"`
	// At is when the round began, in seconds since the recording did.
	At float64 `json:"at"`
	// Slices are in the order in which they ran.
	Slices []Slice `json:"slices"`
}

// Arm is the role of a slice in its round.
type Arm string

// The arms. Null is a second slice of the base, to compare the base with itself.
const (
	Base Arm = "base"
	Head Arm = "head"
	Null Arm = "null"
)

// Slice is one process.
type Slice struct {
	Arm Arm `json:"arm"`
	// Loop is what the calibration loop took just before the process.
	Loop time.Duration `json:"loopNs"`
	// Took is the time of the whole process.
	Took time.Duration `json:"tookNs"`
	// Values has the values by unit of each measurement, in their order.
	Values []map[string]float64 `json:"values"`
}

// Recording is a stream as it was read.
type Recording struct {
	Header Header
	Rounds []Round
}

// Read reads a whole stream. Its errors name the line.
func Read(r io.Reader) (*Recording, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	rec := &Recording{}
	number := 0
	for lines.Scan() {
		number++
		if err := rec.line(number, lines.Bytes()); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	}
	if number == 0 {
		return nil, errors.New("it is empty")
	}
	return rec, nil
}

func (r *Recording) line(number int, text []byte) error {
	if number == 1 {
		if err := json.Unmarshal(text, &r.Header); err != nil {
			return err
		}
		if r.Header.Format != Format {
			return fmt.Errorf("the format is %q, not %q", r.Header.Format, Format)
		}
		return nil
	}
	var round Round
	if err := json.Unmarshal(text, &round); err != nil {
		return err
	}
	if round.Series < 0 || round.Series >= len(r.Header.Series) {
		return fmt.Errorf("there is no series %d", round.Series)
	}
	r.Rounds = append(r.Rounds, round)
	return nil
}
