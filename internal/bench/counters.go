package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
	"github.com/gopherwood-dev/gopherwood/internal/bench/machine"
)

// perOperation is the metric of counted instructions.
const perOperation = "instructions/op"

// startCounted starts a process bound to processors, with its instructions counted.
type startCounted func(cmd *exec.Cmd, on *machine.Affinity) (count, error)

// count is a count of instructions, as machine.Count. It must be closed.
type count interface {
	Read() (machine.Counted, error)
	Close() error
}

// openCounters returns nil where instructions cannot be counted; the machine's facts
// say why.
func openCounters() startCounted {
	c, err := machine.OpenCounters()
	if err != nil {
		return nil
	}
	return func(cmd *exec.Cmd, on *machine.Affinity) (count, error) {
		started, err := c.Start(cmd, on)
		if err != nil {
			return nil, err
		}
		return started, nil
	}
}

// counting runs one program with its instructions counted, where they can be.
type counting struct {
	lab    *lab
	counts []count
}

// start is a Start hook of a program. A process that cannot be counted is started
// all the same.
func (c *counting) start(cmd *exec.Cmd) error {
	if c.lab.counted != nil {
		n, err := c.lab.counted(cmd, c.lab.on)
		if err == nil {
			c.counts = append(c.counts, n)
			return nil
		}
	}
	return c.lab.on.Start(cmd)
}

// read returns the instructions of the process that was started first: others only
// find out why it failed. It returns 0 when they are not known.
func (c *counting) read() float64 {
	if len(c.counts) == 0 {
		return 0
	}
	counted, err := c.counts[0].Read()
	if err != nil {
		return 0
	}
	return counted.Instructions
}

func (c *counting) close() {
	for _, n := range c.counts {
		_ = n.Close() // it was read
	}
}

// run is execute.Run, with the number of instructions that the process executed; 0
// when it is not known.
func (l *lab) run(ctx context.Context, p execute.Program, s execute.Slice) (*execute.Measurement, float64, error) {
	c := &counting{lab: l}
	defer c.close()
	p.Start = c.start
	m, err := execute.Run(ctx, p, s)
	return m, c.read(), err
}

// reference is a process of a program that does nothing but what a slice does
// besides its iterations, and some of those.
type reference struct {
	instructions float64
	iterations   int64
}

// enough is from how many iterations on two of them can be taken away.
const enough = 10

// reference counts the instructions of one. It has two iterations a sample: the
// benchmark's function is then called as often as in a slice, whether it uses b.N,
// which package testing tries with 1 first, or b.Loop; what it prepares cancels
// out. Where a sample has too few iterations for that, the reference has no
// benchmark at all, and what is prepared counts as theirs.
func (l *lab) reference(ctx context.Context, p execute.Program, s *subject) (*reference, error) {
	c := &counting{lab: l}
	defer c.close()
	p.Start = c.start
	r := &reference{}
	var err error
	if s.N >= enough {
		r.iterations = 2 * int64(s.Count)
		_, err = execute.Run(ctx, p, execute.Slice{Benchmark: s.Name, N: 2, Count: s.Count})
	} else {
		_, err = execute.List(ctx, p, "^$")
	}
	if err != nil {
		return nil, err
	}
	if r.instructions = c.read(); r.instructions <= 0 {
		return nil, errors.New("the processor's counter could not be read")
	}
	return r, nil
}

// add gives the samples of a slice the instructions of one iteration: all have the
// same, since they are counted together. A metric of the benchmark's own with the
// same name stays.
func (r *reference) add(m *execute.Measurement, instructions float64, s *subject) {
	perOp := (instructions - r.instructions) / float64(s.N*int64(s.Count)-r.iterations)
	for _, sample := range m.Samples {
		if _, ok := sample[perOperation]; !ok {
			sample[perOperation] = perOp
		}
	}
}

// refer gives a subject the references of its programs, if instructions are counted.
// Without one of them, none of its instructions are compared.
func (l *lab) refer(ctx context.Context, s *subject, programs ...execute.Program) error {
	if l.counted == nil {
		return nil
	}
	references := map[string]*reference{}
	for _, p := range programs {
		r, err := l.reference(ctx, p, s)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			l.note(fmt.Sprintf("the instructions of %s are not counted: %s", s, text(err)))
			return nil
		}
		references[p.Path] = r
	}
	s.references = references
	return nil
}
