package record

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/bench/machine"
)

// The competing load is the program of the study again, which works on all
// processors but the first, in phases, until its standard input ends or its time
// is over: it does not outlive the study.

// LoadArgument makes the program of the study a load; a seed follows it.
const LoadArgument = "competing-load"

// loadMost bounds how long a load runs.
const loadMost = 30 * time.Minute

// load is a running load.
type load struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

func startLoad(ctx context.Context, seed uint64) (*load, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, LoadArgument, strconv.FormatUint(seed, 10))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &load{cmd, stdin}, nil
}

// stop ends the load. It returns an error when it had ended before.
func (l *load) stop() error {
	_ = l.stdin.Close() // the pipe of a load that has ended is closed already
	if err := l.cmd.Wait(); err != nil {
		return fmt.Errorf("the competing load: %w", err)
	}
	return nil
}

// Load is the load, for the main function of the study: workers that go through
// memory and compute, for a tenth of a second to two, and rest for a twentieth to
// half of one. It returns when stdin ends.
func Load(seed string, stdin io.Reader) error {
	s, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, stdin)
		ended <- err
	}()
	for cpu := 1; cpu < max(2, runtime.NumCPU()); cpu++ {
		go compete(rand.New(rand.NewPCG(s, uint64(cpu))), cpu)
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(loadMost):
		return fmt.Errorf("nobody ended this load for %v", loadMost)
	}
}

// loadBytes is more than the caches of a processor hold for one program.
const loadBytes = 64 << 20

// compete works forever: on one processor, or where the system puts it when it
// cannot be kept there.
func compete(r *rand.Rand, cpu int) {
	work := func() {
		memory := make([]uint64, loadBytes/8)
		for {
			inOrder := r.IntN(2) == 0
			for end := time.Now().Add(time.Duration(100+r.IntN(1900)) * time.Millisecond); time.Now().Before(end); {
				if inOrder {
					stride(memory)
				} else {
					jump(memory, r)
				}
			}
			time.Sleep(time.Duration(50+r.IntN(450)) * time.Millisecond)
		}
	}
	if a, err := machine.Pin(strconv.Itoa(cpu)); err != nil || a.Do(work) != nil {
		work()
	}
}

// stride changes a part of the memory in its order.
func stride(memory []uint64) {
	for i := range memory[:len(memory)/8] {
		memory[i] = memory[i]*2862933555777941757 + 3037000493
	}
}

// jump changes memory in no order.
func jump(memory []uint64, r *rand.Rand) {
	for range 1 << 16 {
		memory[r.IntN(len(memory))]++
	}
}
