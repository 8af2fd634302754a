//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/cpu"
)

// TestStart really starts every program in every root file system, and holds
// against it what Gopherwood foretells from the image of the pair.
func TestStart(t *testing.T) {
	s := setStage(t, openArchive(t), roots, programs())
	real := s.allReal(t, nil)
	t.Log("\n" + s.table(real))
	requireVariety(t, real)
	level := machineLevel()
	for _, p := range s.pairs() {
		findings, err := s.foretold(t.Context(), p, level)
		if err != nil {
			t.Errorf("%s: %v", s.name(p), err)
			continue
		}
		s.compare(t, p, real[p], findings)
	}
}

// requireVariety fails when the cross product has grown so tame that it no
// longer shows every way to fail.
func requireVariety(t *testing.T, real map[pair]outcome) {
	t.Helper()
	count := map[string]int{}
	for _, o := range real {
		count[o.Rule]++
	}
	for _, rule := range append([]string{""}, reasons...) {
		if count[rule] == 0 {
			t.Errorf("no pair of the cross product ends with %q", orStarts(rule))
		}
	}
}

// table shows what really happened: of each program, the roots by outcome.
func (s *stage) table(real map[pair]outcome) string {
	var text strings.Builder
	for i, program := range s.programs {
		var order []string
		names := map[string][]string{}
		for j, r := range s.roots {
			rule := orStarts(real[pair{i, j}].Rule)
			if names[rule] == nil {
				order = append(order, rule)
			}
			names[rule] = append(names[rule], r.name)
		}
		fmt.Fprintf(&text, "%s\n", program.name)
		for _, rule := range order {
			fmt.Fprintf(&text, "    %-33s %s\n", rule, strings.Join(names[rule], " "))
		}
	}
	return text.String()
}

// machineLevel is the x86-64 level of this machine's processor.
func machineLevel() int {
	x := cpu.X86
	switch {
	case !x.HasSSE3 || !x.HasSSSE3 || !x.HasSSE41 || !x.HasSSE42 || !x.HasPOPCNT || !x.HasCX16:
		return 1
	case !x.HasAVX || !x.HasAVX2 || !x.HasBMI1 || !x.HasBMI2 || !x.HasFMA || !x.HasOSXSAVE:
		return 2
	case !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512CD || !x.HasAVX512DQ || !x.HasAVX512VL:
		return 3
	}
	return 4
}
