package judge

import (
	"math"
	"slices"
)

// The evidence is that of a bet. A round gives the logarithm d of the ratio of
// head to base. The order of its slices is drawn such that swapping the sides is
// as likely as not, so under the hypothesis that the true change is m, d-m is as
// likely x as -x, whatever the noise and however it depends on the time. A bet of
// strength λ then multiplies what it has by
//
//	exp(λz) / cosh(λz) = 2 / (1 + exp(-2λz)),  z = (d-m) / scale
//
// whose expectation is 1, and less where the change is below m: a nonnegative
// supermartingale. By Ville's inequality it reaches 1/α with a probability of at
// most α, at whatever round one looks. See Ramdas, Ruf, Larsson, Koolen (2020),
// "Admissible anytime-valid sequential inference must rely on nonnegative
// martingales", section on symmetric distributions; de la Peña (1999) for the
// inequality behind it.

// strengths are the λ that bets are made with, each with the same share of the stake.
var strengths = []float64{0.15, 0.3, 0.6, 1.2, 2.4}

// clip bounds z, so that no round counts for more: noise has long tails.
const clip = 2.5

// deviation is a round's d and the scale by which it is measured, which only
// earlier rounds have a say in.
type deviation struct{ d, scale float64 }

func (v deviation) mirrored() deviation { return deviation{-v.d, v.scale} }

// wealth is the logarithm of what bets on "the change is more than m" have made
// of a stake of 1.
type wealth struct {
	m    float64
	logs []float64
}

func newWealth(m float64) *wealth { return &wealth{m, make([]float64, len(strengths))} }

func (w *wealth) add(v deviation) {
	z := max(-clip, min(clip, (v.d-w.m)/v.scale))
	for i, strength := range strengths {
		w.logs[i] += math.Ln2 - math.Log1p(math.Exp(-2*strength*z))
	}
}

// log returns the logarithm of the whole wealth.
func (w *wealth) log() float64 {
	top := slices.Max(w.logs)
	sum := 0.0
	for _, l := range w.logs {
		sum += math.Exp(l - top)
	}
	return top + math.Log(sum/float64(len(w.logs)))
}

// evidence returns the logarithm of the e-value against "the change is at most m".
func evidence(all []deviation, m float64) float64 {
	w := newWealth(m)
	for _, v := range all {
		w.add(v)
	}
	return w.log()
}

// mirrored returns the deviations with their signs turned: evidence against "at
// most" becomes evidence against "at least".
func mirrored(all []deviation) []deviation {
	turned := make([]deviation, len(all))
	for i, v := range all {
		turned[i] = v.mirrored()
	}
	return turned
}

// lower returns the largest m that the rounds speak against with evidence of
// 1/alpha or more: with a probability of 1-alpha the change is never below it,
// at any round. It is -Inf while nothing is known.
func lower(all []deviation, alpha float64) float64 {
	need := -math.Log(alpha)
	from, to := math.Inf(1), math.Inf(-1)
	for _, v := range all {
		from, to = min(from, v.d-4*clip*v.scale), max(to, v.d)
	}
	if len(all) == 0 || evidence(all, from) < need {
		return math.Inf(-1)
	}
	for range 50 { // evidence falls with m
		if middle := (from + to) / 2; evidence(all, middle) >= need {
			from = middle
		} else {
			to = middle
		}
	}
	return from
}

// interval is the confidence sequence of the change: each end misses it with a
// probability of at most alpha.
func interval(all []deviation, alpha float64) (low, high float64) {
	return lower(all, alpha), -lower(mirrored(all), alpha)
}

// series are the changes of all rounds. Each has the scale of those before it:
// 1.4826 times the median absolute deviation from the median, which is the standard
// deviation where the noise is normal.
type series struct {
	all []deviation
	ds  []float64
}

func (s *series) add(d float64) deviation {
	v := deviation{d, scale(s.ds)}
	s.all, s.ds = append(s.all, v), append(s.ds, d)
	return v
}

// guess is the scale while few rounds are known, floor the least: values are
// printed with three or four digits.
const (
	guess = 0.03
	floor = 0.001
	few   = 4
)

func scale(earlier []float64) float64 {
	if len(earlier) < few {
		return guess
	}
	return max(floor, noise(earlier))
}

// noise is the scaled median absolute deviation.
func noise(d []float64) float64 {
	middle := median(d)
	off := make([]float64, len(d))
	for i, v := range d {
		off[i] = math.Abs(v - middle)
	}
	return 1.4826 * median(off)
}

// median of a copy of values; NaN of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// center is the Hodges-Lehmann estimate: the median of the means of all pairs.
func center(d []float64) float64 {
	means := make([]float64, 0, len(d)*(len(d)+1)/2)
	for i := range d {
		for j := i; j < len(d); j++ {
			means = append(means, (d[i]+d[j])/2)
		}
	}
	return median(means)
}
