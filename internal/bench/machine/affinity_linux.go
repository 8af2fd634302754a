package machine

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// newSet returns an empty set that is large enough for every kernel.
func newSet() unix.CPUSetDynamic { return unix.NewCPUSet(maxCPUs) }

// allowedCPUs returns the processors that the calling thread may use.
func allowedCPUs() ([]int, error) {
	set := newSet()
	if err := unix.SchedGetaffinityDynamic(0, set); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	var cpus []int
	for cpu := range maxCPUs {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// bindThread binds the calling thread, and returns what makes it as it was.
//
// The threads of the Go runtime are not started by a locked one (newm in
// runtime/proc.go), so none inherits this.
func bindThread(cpus []int) (restore func() error, err error) {
	before, set := newSet(), newSet()
	if err := unix.SchedGetaffinityDynamic(0, before); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := setAffinity(set); err != nil {
		return nil, err
	}
	return func() error { return setAffinity(before) }, nil
}

func setAffinity(set unix.CPUSetDynamic) error {
	if err := unix.SchedSetaffinityDynamic(0, set); err != nil {
		return fmt.Errorf("sched_setaffinity: %w", err)
	}
	return nil
}
