//go:build linux

package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// slice is what became of the requests of one stretch of time.
type slice struct {
	// took are the times from when each request was due until its answer, sorted.
	took []time.Duration
	// failed counts those without the answer that was wanted; err is the first's.
	failed int
	err    error
	// most is the largest number that were unanswered at once.
	most int
}

// openLoop calls do rate times a second for as long as span, on a schedule that
// does not wait for answers, and then waits for those. A request that is sent late
// because the machine is busy counts from when it was due. More than crowd
// unanswered requests are too many: the rest is not sent.
func openLoop(ctx context.Context, rate int, span time.Duration, crowd int, do func(i int) error) slice {
	var s slice
	var mu sync.Mutex
	var group sync.WaitGroup
	open := 0
	begin := time.Now()
	for i := range int(span.Seconds() * float64(rate)) {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		mu.Lock()
		open++
		s.most = max(s.most, open)
		mu.Unlock()
		if s.most > crowd || ctx.Err() != nil {
			break
		}
		group.Go(func() {
			err := do(i)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			open--
			s.took = append(s.took, took)
			if err != nil {
				s.failed++
				s.err = errors.Join(s.err, err)
			}
		})
	}
	group.Wait()
	slices.Sort(s.took)
	return s
}

// quantile is the value that a fraction q of the sorted durations do not exceed,
// in seconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[max(rank, 1)-1].Seconds()
}

// pooled joins the durations of slices.
func pooled(all []slice) []time.Duration {
	var took []time.Duration
	for _, s := range all {
		took = append(took, s.took...)
	}
	slices.Sort(took)
	return took
}
