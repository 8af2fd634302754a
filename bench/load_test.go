//go:build linux

package main

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Requests are sent on time whatever the answers do, and count from when they were
// due.
func TestOpenLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := openLoop(t.Context(), 10, 2*time.Second, 100, func(i int) error {
			if want := time.Duration(i) * 100 * time.Millisecond; time.Since(begin) != want {
				t.Errorf("request %d was sent after %s, want %s", i, time.Since(begin), want)
			}
			time.Sleep(350 * time.Millisecond)
			if i == 7 {
				return errors.New("no")
			}
			return nil
		})
		if len(s.took) != 20 || s.most != 4 || s.failed != 1 || s.err == nil {
			t.Errorf("%d answers, %d at once, %d failed (%v)", len(s.took), s.most, s.failed, s.err)
		}
		if p50 := quantile(s.took, 0.5); p50 != 0.35 {
			t.Errorf("the median is %v s", p50)
		}
	})
}

// What does not keep up is not sent more and more.
func TestOpenLoopCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLoop(t.Context(), 100, 10*time.Second, 20, func(int) error { time.Sleep(time.Minute); return nil })
		if s.most != 21 || len(s.took) != 20 {
			t.Errorf("%d at once, %d sent", s.most, len(s.took))
		}
	})
}

func TestQuantile(t *testing.T) {
	var took []time.Duration
	for i := range 100 {
		took = append(took, time.Duration(i+1)*time.Second)
	}
	for q, want := range map[float64]float64{0.5: 50, 0.99: 99, 1: 100, 0: 1} {
		if got := quantile(took, q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := parseMetrics(`# HELP x y
x_sum{name="a",type="admit"} 1.5
x_sum{name="a",type="validating"} 2
x_sum{name="b",type="admit"} 4
x_sums 8
`)
	if got := m.sum("x_sum", `name="a"`); got != 3.5 {
		t.Errorf("the sum is %v", got)
	}
	if got := m.sum("x_sum", `type="admit"`); got != 5.5 {
		t.Errorf("the sum is %v", got)
	}
}
