package machine

import (
	"runtime"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/api"
)

// TestFacts reads this machine.
func TestFacts(t *testing.T) {
	m := Facts()
	if m.OS != runtime.GOOS || m.Arch != runtime.GOARCH || m.CPUs != runtime.NumCPU() || m.Counters == "" || m.Noise != nil {
		t.Errorf("%+v", m)
	}
	if runtime.GOOS == "linux" && (m.Kernel == "" || m.MemoryBytes < 1<<20 || m.CPU == "") {
		t.Errorf("missing in %+v", m)
	}
	if again := Facts(); m.ID == "" || again.ID != m.ID || len(Changes(m, again)) > 0 {
		t.Errorf("%+v, then %+v", m, again)
	}
	_, err := OpenCounters()
	if available := m.Counters == "available"; available != (err == nil) || !available && m.Counters != err.Error() {
		t.Errorf("counters %q, %v", m.Counters, err)
	}
}

// TestID changes one thing after the other.
func TestID(t *testing.T) {
	m := api.BenchMachine{OS: "linux", Arch: "amd64", CPU: "Xeon", Virtualization: "kvm", CPUs: 8, Kernel: "6.1"}
	is := identity{model: "6/106", processors: 8, instance: "0123456789abcdef0123456789abcdef"}
	id := is.of(m)
	same := m
	same.Kernel, same.CPUs, same.Quota, same.Governor, same.MHz, same.MemoryBytes = "6.2", 2, 1, "powersave", 1200, 1
	if got := is.of(same); got != id {
		t.Errorf("a new kernel and fewer processors make %s of %s", got, id)
	}
	if strings.Contains(id, is.instance[:6]) {
		t.Errorf("the ID %s shows the secret", id)
	}
	twin := is
	twin.instance = "another"
	if got := twin.of(m); got == id || Kind(got) != Kind(id) {
		t.Errorf("a twin of %s is %s", id, got)
	}
	nameless := is
	nameless.instance = ""
	if got := nameless.of(m); got != Kind(id) || Kind(got) != got {
		t.Errorf("without a name, %s is %s", id, got)
	}
	kinds := map[string]string{Kind(id): "itself"}
	for what, change := range map[string]func(*api.BenchMachine, *identity){
		"os":             func(m *api.BenchMachine, _ *identity) { m.OS = "darwin" },
		"arch":           func(m *api.BenchMachine, _ *identity) { m.Arch = "arm64" },
		"cpu":            func(m *api.BenchMachine, _ *identity) { m.CPU = "Epyc" },
		"virtualization": func(m *api.BenchMachine, _ *identity) { m.Virtualization = "" },
		"model":          func(_ *api.BenchMachine, i *identity) { i.model = "6/107" },
		"processors":     func(_ *api.BenchMachine, i *identity) { i.processors = 9 },
	} {
		other, i := m, is
		change(&other, &i)
		kind := Kind(i.of(other))
		if kinds[kind] != "" {
			t.Errorf("another %s is the same kind as %s", what, kinds[kind])
		}
		kinds[kind] = what
	}
}
