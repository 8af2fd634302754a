package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/results"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func (r *repo) calibration() CalibrateOptions {
	opt := r.options()
	return CalibrateOptions{Options: opt.Options, Budget: 4 * time.Second, GateBudget: time.Minute, Limits: opt.Limits,
		Direction: func(m string) int { return results.Direction(m, nil, nil) }}
}

// TestCalibrate compares a benchmark with itself, beside others that do not work.
func TestCalibrate(t *testing.T) {
	t.Parallel()
	r := newRepo(t, map[string]string{
		"good/good_test.go": benchmarks("head", map[string]string{
			"Works": "\tfor b.Loop() {\n\t\twork(100)\n\t}\n\tif name, err := os.Executable(); err == nil {\n\t\tf, err := os.OpenFile(os.Getenv(\"PROGRAMS\"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)\n" +
				"\t\tif err != nil {\n\t\t\tb.Fatal(err)\n\t\t}\n\t\tfmt.Fprintln(f, name)\n\t\t_ = f.Close()\n\t}",
			"Fails": "\tb.Fatal(\"no luck\")", "Late": "\tif b.N > 1 {\n\t\tb.Fatal(\"too late\")\n\t}",
		}),
		"bad/bad_test.go": "package bad\n\nimport \"testing\"\n\nfunc BenchmarkX(b *testing.B) { undefined() }\n",
	})
	opt := r.calibration()
	programs := t.TempDir() + "/programs"
	opt.Env = append(slices.Clone(r.env), "PROGRAMS="+programs)
	stages := map[Stage]bool{}
	opt.Progress = func(p Progress) { stages[p.Stage] = true }
	c, err := Calibrate(t.Context(), opt)
	if err != nil {
		t.Fatalf("%v\n%s", err, fault.HintOf(err))
	}
	if c.Kind != api.KindBenchCalibration || c.Seed != 7 || c.Time == "" || c.Machine.Noise == nil || c.Machine.Noise.Samples != 4*c.Items[0].Rounds || len(stages) != 5 {
		t.Errorf("%+v, stages %v", c, stages)
	}
	if len(c.Items) != 1 || c.Items[0].Name != "Works" || c.Items[0].Rounds < 10 || c.Items[0].Seconds <= 0 || c.Items[0].Noise <= 0 {
		t.Fatalf("%+v", c.Items)
	}
	last := 1e9
	for _, d := range c.Items[0].MinDetectable {
		if d.Change <= 0 || d.Change > last {
			t.Errorf("%+v", c.Items[0].MinDetectable)
		}
		last = d.Change
	}
	if c.Gates < 500 || c.FalsePositives > c.Gates/20 {
		t.Errorf("%d of %d gates fail", c.FalsePositives, c.Gates)
	}
	if rec := c.Recommended; rec.Worse == "" && !strings.Contains(strings.Join(c.Notes, "\n"), "no limit can be held") || rec.Worse != "" && (rec.Rounds < 5 || rec.Budget == "") {
		t.Errorf("%+v, %q", rec, c.Notes)
	}
	notes(t, &api.BenchGate{Notes: c.Notes}, "shop/good.Fails is left out: ", "shop/good.Late is left out: ", "too late", "shop/bad is left out: ", "undefined: undefined")
	ran := map[string]bool{}
	for name := range strings.Lines(readFile(t, programs)) {
		ran[name] = true
	}
	if len(ran) != 3 {
		t.Errorf("each arm has a file of its own: %v", ran)
	}
}

// TestCalibrateNothing says why nothing is known.
func TestCalibrateNothing(t *testing.T) {
	t.Parallel()
	r := newRepo(t, map[string]string{"x_test.go": benchmarks("head", map[string]string{"Works": loop, "Fails": "\tb.Fatal(\"no luck\")"})})
	opt := r.calibration()
	opt.Bench, opt.Budget = "Works", time.Nanosecond
	if _, err := Calibrate(t.Context(), opt); fault.CodeOf(err) != fault.Limit || !strings.Contains(fault.HintOf(err), "raise --budget") {
		t.Errorf("one round: %v (%s)", err, fault.HintOf(err))
	}
	opt.Bench = "Fails"
	if _, err := Calibrate(t.Context(), opt); fault.CodeOf(err) != fault.NotFound || fault.HintOf(err) == "" {
		t.Errorf("a benchmark that fails: %v (%s)", err, fault.HintOf(err))
	}
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	opt.Bench, opt.Budget = "Works", time.Hour
	opt.Progress = func(p Progress) {
		if p.Stage == Recording {
			cancel(stop)
		}
	}
	if _, err := Calibrate(ctx, opt); !errors.Is(err, stop) {
		t.Errorf("interrupted: %v", err)
	}
}
