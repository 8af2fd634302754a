//go:build linux && cgo

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/gopherwood-dev/gopherwood/bench/machine"
)

func main() {
	var err error
	if spec := os.Getenv(blockVariable); spec != "" {
		err = block(spec)
	} else {
		err = run(os.Args[1:], os.Stdout)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench/cgo:", err)
		os.Exit(1)
	}
}

// settings is what the command line says.
type settings struct {
	rounds, calls, goroutines int
}

// processes is how often each way to block is measured.
const processes = 5

// run measures and prints the tables.
func run(args []string, w io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("bench/cgo", flag.ContinueOnError)
	flags.IntVar(&s.rounds, "rounds", 101, "how often each kind of call has its turn, at least 3")
	flags.IntVar(&s.calls, "calls", 10_000, "calls of a turn")
	flags.IntVar(&s.goroutines, "goroutines", 1_000, "goroutines that are blocked at once")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.rounds < 3 || s.calls < 1 || s.goroutines < 1 || flags.NArg() > 0 {
		return errors.New("at least 3 rounds, 1 call and 1 goroutine, and no other arguments; see -help")
	}
	costs, err := measureCalls(s.rounds, s.calls)
	if err != nil {
		return err
	}
	blocked := make([][]blockCost, len(blockers))
	for range processes {
		for number := range blockers {
			cost, err := measureBlock(number, s.goroutines)
			if err != nil {
				return err
			}
			blocked[number] = append(blocked[number], cost)
		}
	}
	m := machine.Describe()
	fmt.Fprintf(w, "%s, %d cores, Linux %s; %s; %s\n\n", m.CPU, m.Cores, m.Kernel, m.Go, compiler())
	writeCalls(w, s, costs)
	fmt.Fprintln(w)
	writeBlocked(w, s, blocked)
	return nil
}

// compiler is the first line that the C compiler says of itself.
func compiler() string {
	cc, _ := exec.Command("go", "env", "CC").Output()
	words := strings.Fields(string(cc))
	if len(words) == 0 {
		return "unknown C compiler"
	}
	version, _ := exec.Command(words[0], "--version").Output()
	line, _, _ := strings.Cut(string(version), "\n")
	return line
}

func writeCalls(w io.Writer, s settings, costs []callCost) {
	fmt.Fprintf(w, "%d calls a round, %d rounds in turns:\n\n", s.calls, s.rounds)
	fmt.Fprintln(w, "| Call | ns a call, median | IQR | × `syscall.Stat` | allocations a call | bytes a call |")
	fmt.Fprintln(w, "| --- | ---: | ---: | ---: | ---: | ---: |")
	reference := quantile(costs[0].nanoseconds, 0.5)
	for _, c := range costs {
		median := quantile(c.nanoseconds, 0.5)
		fmt.Fprintf(w, "| %s | %.0f | %.0f–%.0f | %.2f | %.0f | %.0f |\n", c.name, median,
			quantile(c.nanoseconds, 0.25), quantile(c.nanoseconds, 0.75), median/reference, c.allocations, c.bytes)
	}
}

func writeBlocked(w io.Writer, s settings, blocked [][]blockCost) {
	fmt.Fprintf(w, "%d goroutines blocked in a read of a pipe, median of %d processes:\n\n", s.goroutines, processes)
	fmt.Fprintln(w, "| Blocked in | threads | RSS, MiB | virtual, MiB |")
	fmt.Fprintln(w, "| --- | ---: | ---: | ---: |")
	for number, costs := range blocked {
		middle := func(of func(blockCost) int64) float64 {
			var values []float64
			for _, c := range costs {
				values = append(values, float64(of(c)))
			}
			return quantile(values, 0.5)
		}
		const MiB = 1 << 20
		fmt.Fprintf(w, "| %s | %.0f | %.1f | %.0f |\n", blockers[number].name,
			middle(func(c blockCost) int64 { return c.threads }),
			middle(func(c blockCost) int64 { return c.rss })/MiB,
			middle(func(c blockCost) int64 { return c.virtual })/MiB)
	}
}
