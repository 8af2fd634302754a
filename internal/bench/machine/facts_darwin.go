package machine

import (
	"math"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/gopherwood-dev/gopherwood/api"
)

// read asks sysctl(3). The clock frequency is known on Intel only, and nothing
// names the installation.
func read() (api.BenchMachine, identity) {
	text := func(name string) string {
		s, err := unix.Sysctl(name)
		if err != nil {
			return ""
		}
		return s
	}
	m := api.BenchMachine{
		Kernel: text("kern.osproductversion"),
		CPU:    text("machdep.cpu.brand_string"),
		CPUs:   runtime.NumCPU(),
	}
	if n, err := unix.SysctlUint64("hw.memsize"); err == nil && n <= math.MaxInt64 {
		m.MemoryBytes = int64(n)
	}
	if hz, err := unix.SysctlUint64("hw.cpufrequency_max"); err == nil {
		m.MHz = float64(hz) / 1e6
	}
	switch guest, err := unix.SysctlUint32("kern.hv_vmm_present"); {
	case err != nil:
	case guest != 0:
		m.Virtualization = "vm"
	default:
		m.Virtualization = "none"
	}
	processors, err := unix.SysctlUint32("hw.ncpu")
	if err != nil {
		processors = uint32(m.CPUs)
	}
	return m, identity{model: text("hw.model"), processors: int(processors)}
}
