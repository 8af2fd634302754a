package bench

import (
	"errors"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
	"github.com/gopherwood-dev/gopherwood/internal/bench/machine"
)

// processor counts as a processor would: for the start of a process, for what each
// call of a benchmark's function prepares, and for each iteration, as package
// testing runs them with b.N.
type processor struct {
	start, prepare float64
	// perOp is of a process that is started in a directory.
	perOp func(dir string) float64
	// fails says that the counter cannot be opened, unread that it cannot be read.
	fails, unread bool
	open          atomic.Int64
}

type processCount struct {
	of *processor
	n  float64
}

func (c *processCount) Read() (machine.Counted, error) {
	if c.of.unread {
		return machine.Counted{}, errors.New("the counter was in use by others all the time")
	}
	return machine.Counted{Instructions: c.n, Share: 1}, nil
}

func (c *processCount) Close() error {
	c.of.open.Add(-1)
	return nil
}

// count is a startCounted.
func (p *processor) count(cmd *exec.Cmd, on *machine.Affinity) (count, error) {
	if p.fails {
		return nil, errors.New("too many open files")
	}
	if err := on.Start(cmd); err != nil {
		return nil, err
	}
	n := p.start
	if pattern := flag(cmd, "-test.bench="); pattern != "^$" {
		iterations, _ := strconv.ParseFloat(strings.TrimSuffix(flag(cmd, "-test.benchtime="), "x"), 64)
		times, _ := strconv.ParseFloat(flag(cmd, "-test.count="), 64)
		calls, ops := 1.0, 1.0
		if iterations > 1 {
			calls, ops = 2, 1+iterations
		}
		n += times * (calls*p.prepare + ops*p.perOp(cmd.Dir))
	}
	p.open.Add(1)
	return &processCount{p, n}, nil
}

func flag(cmd *exec.Cmd, name string) string {
	for _, arg := range cmd.Args {
		if v, ok := strings.CutPrefix(arg, name); ok {
			return v
		}
	}
	return ""
}

// TestCountInstructions compares what the sides count, exactly, and leaves out what
// is not of the iterations.
func TestCountInstructions(t *testing.T) {
	t.Parallel()
	r := newPair(t)
	opt := r.options()
	opt.Bench = "^BenchmarkA$"
	var err error
	if opt.Limits, err = judge.NewLimits([]api.BenchLimit{{Metric: "ns/op", OnWorse: "show", OnBetter: "show"}}); err != nil {
		t.Fatal(err)
	}
	p := &processor{start: 5e6, prepare: 1e6, perOp: func(dir string) float64 {
		if dir == r.dir { // the head's is the work tree
			return 1040
		}
		return 1000
	}}
	opt.counted = p.count
	i := item(t, r.gate(opt), "A", perOperation)
	says(t, i, api.BenchWarn, "worse than the limit of 3%")
	if math.Abs(i.Base-1000) > 1e-6 || math.Abs(i.Head-1040) > 1e-6 {
		t.Errorf("%v and %v instructions, want 1000 and 1040", i.Base, i.Head)
	}
	if n := p.open.Load(); n != 0 {
		t.Errorf("%d counts are open", n)
	}

	p.unread = true
	g := r.gate(opt)
	notes(t, g, "the instructions of example.com/shop.A are not counted: the processor's counter could not be read")
	for _, i := range g.Items {
		if i.Metric == perOperation {
			t.Errorf("%+v", i)
		}
	}
}

// TestUncounted starts a process that cannot be counted all the same.
func TestUncounted(t *testing.T) {
	c := &counting{lab: &lab{Options: Options{counted: (&processor{fails: true}).count}}}
	cmd := exec.Command("go", "version")
	if err := c.start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if n := c.read(); n != 0 {
		t.Errorf("%v instructions", n)
	}
	c.close()
}

// TestReference counts slices with many iterations and with few.
func TestReference(t *testing.T) {
	const start, perOp = 5e6, 1000.0
	for _, tt := range []struct {
		n, count int
		own      bool
		want     float64
	}{
		{1000, 10, false, 1000}, {enough, 1, false, 1000}, {1, 1, false, 1000}, {1, 10, false, 1000},
		// A first iteration that package testing tries with 1 counts where there are few.
		{2, 10, false, 1500}, {1000, 10, true, 7},
	} {
		s := &subject{Shape: Shape{N: int64(tt.n), Count: tt.count}}
		r := &reference{instructions: start}
		slice := start + float64(tt.count)*perOp*float64(tt.n+1)
		if tt.n == 1 {
			slice -= float64(tt.count) * 1000
		}
		if tt.n >= enough {
			r = &reference{instructions: start + float64(tt.count)*perOp*3, iterations: 2 * int64(tt.count)}
		}
		m := &execute.Measurement{Samples: []map[string]float64{{"ns/op": 1}, {"ns/op": 2}}}
		if tt.own {
			for _, s := range m.Samples {
				s[perOperation] = 7
			}
		}
		r.add(m, slice, s)
		for _, sample := range m.Samples {
			if got := sample[perOperation]; math.Abs(got-tt.want) > 1e-9 {
				t.Errorf("%d iterations %d times: %v, want %v", tt.n, tt.count, got, tt.want)
			}
		}
	}
}

// TestMachine notes what changed of the machine while it measured.
func TestMachine(t *testing.T) {
	l := newTestLab(t, Options{})
	l.before.Governor, l.before.Quota = "a governor of before", 0.125
	for i := range 300 {
		l.loops = append(l.loops, time.Millisecond+time.Duration(i/150)*100*time.Microsecond)
	}
	m := l.machine()
	notes(t, &api.BenchGate{Notes: l.notes}, "the governor of the clock frequency changed during the run: from a governor of before", "the quota of processors changed",
		"the machine became at least 10 % slower during the run")
	if m.Noise == nil || m.Noise.Samples != 300 || m.Noise.Fastest != 0.001 || m.ID == "" || m.Counters == "" {
		t.Errorf("%+v", m)
	}
}
