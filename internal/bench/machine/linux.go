package machine

import (
	"bufio"
	"bytes"
	"io"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// linux reads a machine's facts from the file systems of the Linux kernel. It is
// pure, so that tests give it any machine.
type linux struct{ root fs.FS }

// maxFile is the largest file that is read: /proc/cpuinfo has 1.5 kB a processor.
const maxFile = 16 << 20

// file returns the content of a file without the space around it, "" when it
// cannot be read or is larger than maxFile.
func (l linux) file(name string) string {
	f, err := l.root.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil || len(b) > maxFile {
		return ""
	}
	return string(bytes.TrimSpace(b))
}

// number returns the number in a file; ok is false when there is none.
func (l linux) number(name string) (n int64, ok bool) {
	n, err := strconv.ParseInt(l.file(name), 10, 64)
	return n, err == nil
}

// readable returns the processors in a list, none when it cannot be read.
func readable(list string) []int {
	cpus, err := parseCPUs(list)
	if err != nil {
		return nil
	}
	return cpus
}

const cpuDir = "sys/devices/system/cpu/"

// read returns what is known of the machine, and of its identity.
func (l linux) read() (api.BenchMachine, identity) {
	info := readCPUInfo(l.file("proc/cpuinfo"))
	allowed := l.allowed()
	m := api.BenchMachine{
		Kernel:         l.file("proc/sys/kernel/osrelease"),
		CPU:            info.name(),
		CPUs:           len(allowed),
		MemoryBytes:    l.memory(),
		Virtualization: l.virtualization(info),
		Turbo:          l.turbo(),
	}
	groups := l.cgroups()
	m.Quota = l.quota(groups)
	if limit := l.memoryLimit(groups); limit > 0 && (m.MemoryBytes == 0 || limit < m.MemoryBytes) {
		m.MemoryBytes = limit
	}
	m.Governor, m.MHz = l.frequency(allowed)
	if m.MHz == 0 {
		m.MHz = info.mhz
	}
	present := len(readable(l.file(cpuDir + "present")))
	if present == 0 {
		present = info.processors
	}
	return m, identity{model: info.model(), processors: present, instance: l.instance()}
}

// instance returns the name of this installation as in machine-id(5).
func (l linux) instance() string {
	if id := l.file("etc/machine-id"); id != "uninitialized" {
		return id
	}
	return ""
}

// allowed returns the processors that a thread may use and that are online. It
// asks for the calling thread, because the first one of the process may be bound.
func (l linux) allowed() []int {
	var cpus []int
	for _, name := range []string{"proc/thread-self/status", "proc/self/status"} {
		if cpus = readable(fields(l.file(name))["Cpus_allowed_list"]); cpus != nil {
			break
		}
	}
	online := readable(l.file(cpuDir + "online"))
	switch {
	case cpus == nil:
		return online
	case online == nil:
		return cpus
	}
	return intersect(cpus, online)
}

// memory returns the size of the memory in bytes.
func (l linux) memory() int64 {
	n, unit, _ := strings.Cut(fields(l.file("proc/meminfo"))["MemTotal"], " ")
	kib, err := strconv.ParseInt(n, 10, 64)
	if err != nil || strings.TrimSpace(unit) != "kB" || kib < 0 || kib > math.MaxInt64>>10 {
		return 0
	}
	return kib << 10
}

// turbo says whether processors may be faster than their nominal clock frequency:
// intel_pstate, or cpufreq's boost.
func (l linux) turbo() *bool {
	if n, ok := l.number(cpuDir + "intel_pstate/no_turbo"); ok {
		on := n == 0
		return &on
	}
	if n, ok := l.number(cpuDir + "cpufreq/boost"); ok {
		on := n != 0
		return &on
	}
	return nil
}

// frequency returns the governors of the processors, joined by commas when there
// are several, and the highest clock frequency in MHz that one of them may have now.
func (l linux) frequency(cpus []int) (governor string, mhz float64) {
	var governors []string
	for _, cpu := range cpus {
		dir := cpuDir + "cpu" + strconv.Itoa(cpu) + "/cpufreq/"
		if g := l.file(dir + "scaling_governor"); g != "" && !slices.Contains(governors, g) {
			governors = append(governors, g)
		}
		for _, name := range []string{"scaling_max_freq", "cpuinfo_max_freq"} {
			if khz, ok := l.number(dir + name); ok && khz > 0 {
				mhz = max(mhz, float64(khz)/1000)
				break
			}
		}
	}
	slices.Sort(governors)
	return strings.Join(governors, ","), mhz
}

// cpuInfo is /proc/cpuinfo, the form of which differs between architectures.
type cpuInfo struct {
	// first has the fields of the first processor, and those that are of all.
	first      map[string]string
	processors int
	// mhz is the highest clock frequency in it.
	mhz float64
}

// readCPUInfo reads blocks of "key : value", of which each begins with a number
// of the processor.
func readCPUInfo(text string) cpuInfo {
	info := cpuInfo{first: map[string]string{}}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, maxFile)
	for lines.Scan() {
		key, value, ok := field(lines.Text())
		if !ok {
			continue
		}
		// s390x has "processor 0: version = …", all others "processor : 0".
		if key == "processor" || strings.HasPrefix(key, "processor ") {
			info.processors++
		}
		if _, have := info.first[key]; !have {
			info.first[key] = value
		}
		if key == "cpu MHz" || key == "clock" || key == "cpu MHz dynamic" {
			mhz, err := strconv.ParseFloat(strings.TrimSuffix(value, "MHz"), 64)
			if err == nil && mhz > info.mhz && mhz < 1e6 {
				info.mhz = mhz
			}
		}
	}
	return info
}

// name returns the name of the processor: on arm64, which has numbers only, those
// of the implementer and the part in the form of the kernel's files.
func (c cpuInfo) name() string {
	for _, key := range []string{"model name", "Model Name", "cpu model", "cpu", "uarch", "processor 0"} {
		if v := c.first[key]; v != "" {
			return strings.Join(strings.Fields(v), " ")
		}
	}
	implementer, part := c.first["CPU implementer"], c.first["CPU part"]
	if implementer == "" || part == "" {
		return ""
	}
	if name := armParts[implementer+" "+part]; name != "" {
		return name
	}
	return "implementer " + implementer + " part " + part
}

// armParts are names of processors of servers and small computers by the fields
// implementer and part of MIDR_EL1, as in the kernel's arch/arm64/include/asm/cputype.h.
var armParts = map[string]string{
	"0x41 0xd08": "Cortex-A72",
	"0x41 0xd0b": "Cortex-A76",
	"0x41 0xd0c": "Neoverse-N1",
	"0x41 0xd40": "Neoverse-V1",
	"0x41 0xd49": "Neoverse-N2",
	"0x41 0xd4f": "Neoverse-V2",
	"0x41 0xd84": "Neoverse-V3",
	"0x41 0xd8e": "Neoverse-N3",
	"0xc0 0xac3": "Ampere-1",
	"0xc0 0xac4": "Ampere-1A",
}

// model returns what tells processors apart that have one name: on x86, virtual
// machines often hide the model in the name.
func (c cpuInfo) model() string {
	var values []string
	for _, key := range []string{"vendor_id", "cpu family", "model", "stepping", "CPU variant", "CPU revision", "revision"} {
		values = append(values, c.first[key])
	}
	return strings.Join(values, "/")
}

// fields returns the lines "key: value" of a text; of equal keys the first.
func fields(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := field(line); ok {
			if _, have := m[key]; !have {
				m[key] = value
			}
		}
	}
	return m
}

// field cuts "key : value".
func field(line string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(line, ":")
	return strings.TrimSpace(key), strings.TrimSpace(value), ok
}
