package judge

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Action is what a change beyond a limit is.
type Action string

// The actions: Show says so and lets it pass.
const (
	Fail Action = "fail"
	Warn Action = "warn"
	Show Action = "show"
)

// limit is how much one metric of one benchmark may change.
type limit struct {
	// worse and better are bounds of the log ratio, both positive, with worse
	// counted in the direction that is worse.
	worse, better     float64
	onWorse, onBetter Action
	// written is the limit as a document says it.
	written api.BenchLimit
}

// Limits says how much each metric of each benchmark may change.
type Limits struct{ rules []rule }

type rule struct {
	benchmark *regexp.Regexp
	api.BenchLimit
}

// NewLimits compiles limits. Its errors name the index of the limit and the key.
func NewLimits(configured []api.BenchLimit) (*Limits, error) {
	l := &Limits{}
	for i, c := range configured {
		re, err := regexp.Compile(c.Benchmark)
		if err != nil {
			return nil, &LimitError{i, "benchmark", err}
		}
		for key, text := range map[string]string{"worse": c.Worse, "better": c.Better} {
			if _, err := parsePercent(text); text != "" && err != nil {
				return nil, &LimitError{i, key, err}
			}
		}
		for key, action := range map[string]string{"onWorse": c.OnWorse, "onBetter": c.OnBetter} {
			if !isAction(action) {
				return nil, &LimitError{i, key, fmt.Errorf("%q is none of fail, warn and show", action)}
			}
		}
		l.rules = append(l.rules, rule{re, c})
	}
	return l, nil
}

// LimitError says what is wrong with a limit.
type LimitError struct {
	// Index is the limit's place in the list, Key the key that is wrong.
	Index int
	Key   string
	Err   error
}

func (e *LimitError) Error() string { return fmt.Sprintf("limits[%d].%s: %v", e.Index, e.Key, e.Err) }

// Unwrap returns the reason.
func (e *LimitError) Unwrap() error { return e.Err }

func isAction(text string) bool {
	switch Action(text) {
	case Fail, Warn, Show, "":
		return true
	}
	return false
}

// maxPercent bounds what can be written as a limit.
const maxPercent = 10000

// parsePercent reads "5%" as 0.05.
func parsePercent(text string) (float64, error) {
	number, ok := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || !(v >= 0 && v <= maxPercent) {
		return 0, fmt.Errorf("%q is no percentage from 0%% to %d%%, such as 5%%", text, maxPercent)
	}
	return v / 100, nil
}

// defaults are the limits of a metric that nothing is configured for. direction
// is +1 when higher is better, -1 when lower is, 0 when that is not known.
func defaults(metric string, direction int) api.BenchLimit {
	switch {
	case metric == "B/op", metric == "allocs/op":
		return api.BenchLimit{Worse: "3%", Better: "3%", OnWorse: string(Warn), OnBetter: string(Warn)}
	case metric == "instructions/op":
		return api.BenchLimit{Worse: "3%", Better: "3%", OnWorse: string(Warn), OnBetter: string(Show)}
	case metric == "MB/s", direction == 0: // MB/s says the same as ns/op
		return api.BenchLimit{Worse: "5%", Better: "2%", OnWorse: string(Show), OnBetter: string(Show)}
	}
	return api.BenchLimit{Worse: "5%", Better: "2%", OnWorse: string(Fail), OnBetter: string(Show)}
}

// of returns the limit of a metric: what the first rule that matches says, and
// the defaults for what it leaves open.
func (l *Limits) of(b Benchmark, metric string, direction int) limit {
	written := defaults(metric, direction)
	for _, r := range l.rules {
		if (r.Metric == "" || r.Metric == metric) && r.benchmark.MatchString(b.Package+"."+b.Name) {
			fill(&written.Worse, r.Worse)
			fill(&written.Better, r.Better)
			fill(&written.OnWorse, r.OnWorse)
			fill(&written.OnBetter, r.OnBetter)
			written.Benchmark = r.Benchmark
			break
		}
	}
	written.Metric = metric
	worse, _ := parsePercent(written.Worse) // both were checked
	better, _ := parsePercent(written.Better)
	c := limit{math.Log1p(worse), -math.Log1p(-min(better, 0.999)), Action(written.OnWorse), Action(written.OnBetter), written}
	if direction > 0 {
		c.worse, c.better = -math.Log1p(-min(worse, 0.999)), math.Log1p(better)
	}
	return c
}

func fill(field *string, text string) {
	if text != "" {
		*field = text
	}
}

// Key tells limits apart.
func (l *Limits) Key() []api.BenchLimit {
	key := make([]api.BenchLimit, len(l.rules))
	for i, r := range l.rules {
		key[i] = r.BenchLimit
	}
	return key
}
