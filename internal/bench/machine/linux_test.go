package machine

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/api"
)

// system makes a file system of files.
func system(files map[string]string) linux {
	root := fstest.MapFS{}
	for name, content := range files {
		root[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return linux{root}
}

// processor is a block of /proc/cpuinfo on x86.
func processor(number, flags string) string {
	return "processor\t: " + number + "\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 106\n" +
		"model name\t: Intel(R)  Xeon(R) Gold 5318Y\nstepping\t: 6\ncpu MHz\t\t: 2100.5\nflags\t\t: " + flags + "\n\n"
}

func on(b bool) *bool { return &b }

// TestLinux reads machines of all kinds.
func TestLinux(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  api.BenchMachine
		id    identity
	}{
		{name: "nothing can be read"},
		{
			name: "bare metal, x86",
			files: map[string]string{
				"proc/sys/kernel/osrelease":                             "6.1.0-18-amd64\n",
				"proc/cpuinfo":                                          processor("0", "fpu sse") + processor("1", "fpu sse"),
				"proc/meminfo":                                          "MemTotal:       16384000 kB\nMemFree: 1 kB\n",
				"proc/thread-self/status":                               "Name:\tx\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n",
				"proc/self/status":                                      "Cpus_allowed_list:\t0\n",
				"sys/devices/system/cpu/online":                         "0-1\n",
				"sys/devices/system/cpu/present":                        "0-3\n",
				"sys/devices/system/cpu/intel_pstate/no_turbo":          "1\n",
				"sys/devices/system/cpu/cpufreq/boost":                  "1\n",
				"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor":  "powersave\n",
				"sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq":  "3000000\n",
				"sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq":  "3500000\n",
				"sys/devices/system/cpu/cpu1/cpufreq/scaling_governor":  "performance\n",
				"sys/devices/system/cpu/cpu1/cpufreq/cpuinfo_max_freq":  "3200000\n",
				"sys/devices/system/cpu/cpu2/cpufreq/scaling_governor":  "userspace\n", // offline
				"sys/devices/system/clocksource/clocksource0/available": "tsc hpet\n",
				"etc/machine-id":                                        "0123\n",
			},
			want: api.BenchMachine{
				Kernel: "6.1.0-18-amd64", CPU: "Intel(R) Xeon(R) Gold 5318Y", CPUs: 2, MemoryBytes: 16384000 << 10,
				Virtualization: "none", Governor: "performance,powersave", Turbo: on(false), MHz: 3200,
			},
			id: identity{model: "GenuineIntel/6/106/6///", processors: 4, instance: "0123"},
		},
		{
			name: "virtual, x86, a container with a quota of the second version",
			files: map[string]string{
				"proc/cpuinfo":                                               processor("0", "fpu hypervisor sse"),
				"proc/meminfo":                                               "MemTotal: 8000000 kB\n",
				"proc/self/status":                                           "Cpus_allowed_list:\t0-7\n",
				"sys/class/dmi/id/sys_vendor":                                "QEMU\n",
				"sys/class/dmi/id/product_name":                              "KVM\n",
				"sys/devices/system/cpu/cpufreq/boost":                       "1\n",
				"proc/self/cgroup":                                           "0::/a.slice/b c/d\n",
				"proc/self/mountinfo":                                        "30 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
				"sys/fs/cgroup/a.slice/cpu.max":                              "150000 100000\n",
				"sys/fs/cgroup/a.slice/memory.max":                           "1073741824\n",
				"sys/fs/cgroup/a.slice/b c/cpu.max":                          "max 100000\n",
				"sys/fs/cgroup/a.slice/b c/d/cpu.max":                        "400000 100000\n",
				"sys/fs/cgroup/a.slice/b c/d/memory.max":                     "max\n",
				"sys/devices/system/clocksource/clocksource0/available":      "tsc\n",
				"sys/devices/system/cpu/cpu0/cpufreq/scaling_available_freq": "1\n",
			},
			want: api.BenchMachine{
				CPU: "Intel(R) Xeon(R) Gold 5318Y", CPUs: 8, Quota: 1.5, MemoryBytes: 1 << 30,
				Virtualization: "kvm", Turbo: on(true), MHz: 2100.5,
			},
			id: identity{model: "GenuineIntel/6/106/6///", processors: 1},
		},
		{
			name: "groups of the first version; the mount is a part of the hierarchy",
			files: map[string]string{
				"proc/meminfo":     "MemTotal: 4000000 kB\n",
				"proc/self/cgroup": "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab/x\n1:name=systemd:/docker/ab\n0::/\n",
				"proc/self/mountinfo": "1 2 0:1 /docker/ab /sys/fs/cgroup/cpu\\040dir rw - cgroup cgroup rw,cpu,cpuacct\n" +
					"1 2 0:1 /docker/ab /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n" +
					"1 2 0:1 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" +
					"1 2 0:1 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n",
				"sys/fs/cgroup/cpu dir/cpu.cfs_quota_us":       "50000\n",
				"sys/fs/cgroup/cpu dir/cpu.cfs_period_us":      "100000\n",
				"sys/fs/cgroup/cpu dir/x/cpu.cfs_quota_us":     "-1\n",
				"sys/fs/cgroup/cpu dir/x/cpu.cfs_period_us":    "100000\n",
				"sys/fs/cgroup/memory/memory.limit_in_bytes":   "9223372036854771712\n", // none
				"sys/fs/cgroup/freezer/cpu.max":                "1 100000\n",
				"sys/fs/cgroup/freezer/memory.limit_in_bytes":  "1\n",
				"sys/fs/cgroup/cpu dir/memory.limit_in_bytes":  "1\n",
				"sys/fs/cgroup/docker/ab/cpu.cfs_quota_us":     "1\n",
				"sys/fs/cgroup/memory/docker/memory.limit.foo": "1\n",
			},
			want: api.BenchMachine{Quota: 0.5, MemoryBytes: 4000000 << 10},
		},
		{
			name: "a group outside of what the container sees",
			files: map[string]string{
				"proc/self/cgroup":              "0::/../../other\n",
				"proc/self/mountinfo":           "1 2 0:1 /../../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
				"sys/fs/cgroup/cpu.max":         "300000 100000",
				"sys/fs/cgroup/memory.max":      "4096",
				"sys/devices/system/cpu/online": "0",
			},
			want: api.BenchMachine{CPUs: 1, Quota: 3, MemoryBytes: 4096},
		},
		{
			name: "arm64",
			files: map[string]string{
				"proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\n" +
					"CPU revision\t: 1\n\nprocessor\t: 1\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n",
				"sys/class/dmi/id/sys_vendor":   "Amazon EC2",
				"sys/class/dmi/id/product_name": "m6g.large",
			},
			want: api.BenchMachine{CPU: "Neoverse-N1", Virtualization: "amazon"},
			id:   identity{model: "////0x3/1/", processors: 2},
		},
		{
			name: "an arm64 that is not in the table",
			files: map[string]string{
				"proc/cpuinfo":                           "processor\t: 0\nCPU implementer\t: 0x99\nCPU part\t: 0x001\n",
				"proc/device-tree/hypervisor/compatible": "linux,kvm\x00",
			},
			want: api.BenchMachine{CPU: "implementer 0x99 part 0x001", Virtualization: "kvm"},
			id:   identity{model: "//////", processors: 1},
		},
		{
			name: "s390x",
			files: map[string]string{
				"proc/cpuinfo": "vendor_id       : IBM/S390\n# processors    : 2\nprocessor 0: version = FF,  identification = 1,  machine = 8561\n" +
					"processor 1: version = FF,  identification = 1,  machine = 8561\n\ncpu number      : 0\ncpu MHz dynamic : 5200\n",
				"proc/sysinfo": "Manufacturer: IBM\nVM00 Control Program: z/VM    7.2.0\n",
			},
			want: api.BenchMachine{
				CPU: "version = FF, identification = 1, machine = 8561", Virtualization: "zvm", MHz: 5200,
			},
			id: identity{model: "IBM/S390//////", processors: 2},
		},
		{
			name: "ppc64le",
			files: map[string]string{
				"proc/cpuinfo": "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 3800.000000MHz\nrevision\t: 2.2\n",
			},
			want: api.BenchMachine{CPU: "POWER9, altivec supported", MHz: 3800},
			id:   identity{model: "//////2.2", processors: 1},
		},
		{
			name: "nonsense",
			files: map[string]string{
				"proc/cpuinfo":                   "processor\ncpu MHz : NaN\ncpu MHz : 1e300\nmodel name :\n",
				"proc/meminfo":                   "MemTotal: 9223372036854775807 kB\n",
				"proc/self/status":               "Cpus_allowed_list:\t3-1\n",
				"proc/self/cgroup":               "\n0\n0::\n::\n",
				"proc/self/mountinfo":            "x - cgroup2 a b\n1 2 3 / /../etc rw - cgroup2 a b\n1 2 3 / / rw - cgroup2 a b\n",
				"cpu.max":                        "1 0\n",
				"memory.max":                     "-5\n",
				"etc/machine-id":                 "uninitialized\n",
				"sys/devices/system/cpu/present": "0-99999999999\n",
				"sys/devices/system/cpu/online":  "0\n",
				"sys/devices/system/cpu/intel_pstate/no_turbo":         "?\n",
				"sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "-1\n",
			},
			want: api.BenchMachine{CPUs: 1},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, id := system(test.files).read()
			if diff := cmp.Diff(test.want, m); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			if test.id != (identity{}) && id != test.id {
				t.Errorf("identity %+v, want %+v", id, test.id)
			}
			if test.name == "nonsense" && id.instance != "" {
				t.Errorf("instance %q", id.instance)
			}
		})
	}
}

func TestVirtualization(t *testing.T) {
	const dmi, clocks = "sys/class/dmi/id/", "sys/devices/system/clocksource/clocksource0/available_clocksource"
	for _, test := range []struct {
		want  string
		files map[string]string
	}{
		{"", nil},
		{"vm", map[string]string{"proc/cpuinfo": processor("0", "hypervisor")}},
		{"none", map[string]string{"proc/cpuinfo": processor("0", "fpu"), clocks: "kvm-clock"}},
		{"kvm", map[string]string{"proc/cpuinfo": processor("0", "hypervisor"), clocks: "tsc kvm-clock"}},
		{"microsoft", map[string]string{clocks: "hyperv_clocksource_tsc_page acpi_pm"}},
		{"xen", map[string]string{clocks: "xen tsc"}},
		{"xen", map[string]string{"sys/hypervisor/type": "xen\n", dmi + "sys_vendor": "QEMU"}},
		{"microsoft", map[string]string{dmi + "sys_vendor": "Microsoft Corporation", dmi + "product_name": "Virtual Machine"}},
		{"", map[string]string{dmi + "sys_vendor": "Microsoft Corporation", dmi + "product_name": "Surface"}},
		{"google", map[string]string{dmi + "sys_vendor": "Google", dmi + "product_name": "Google Compute Engine"}},
		{"none", map[string]string{dmi + "sys_vendor": "Amazon EC2", dmi + "product_name": "c7g.metal"}},
		{"vmware", map[string]string{dmi + "product_name": "VMware20,1"}},
		{"oracle", map[string]string{dmi + "sys_vendor": "innotek GmbH"}},
		{"xen", map[string]string{dmi + "sys_vendor": "", dmi + "bios_vendor": "Xen"}},
		{"qemu", map[string]string{dmi + "sys_vendor": "QEMU", dmi + "product_name": "Standard PC"}},
		{"xen", map[string]string{"proc/device-tree/hypervisor/compatible": "xen,xen-4.17"}},
		{"vm", map[string]string{"proc/device-tree/hypervisor/compatible": "other"}},
		{"kvm", map[string]string{"proc/sysinfo": "VM00 Control Program: KVM/Linux\n"}},
		{"vm", map[string]string{"proc/sysinfo": "VM00 Control Program: new\n"}},
	} {
		l := system(test.files)
		if got := l.virtualization(readCPUInfo(l.file("proc/cpuinfo"))); got != test.want {
			t.Errorf("%v: %q, want %q", test.files, got, test.want)
		}
	}
}

// TestFileLimit reads a file that is as large as allowed, and one that is larger.
func TestFileLimit(t *testing.T) {
	l := system(map[string]string{"fits": strings.Repeat("x", maxFile), "large": strings.Repeat("x", maxFile+1)})
	if l.file("fits") == "" || l.file("large") != "" {
		t.Error("the limit does not hold")
	}
}

// FuzzLinux gives arbitrary content to all that is parsed.
func FuzzLinux(f *testing.F) {
	f.Add(processor("0", "fpu"), "0::/a\n", "1 2 0:1 / /c rw - cgroup2 c rw\n", "0-3", "100 100")
	f.Add("CPU part : 0x1", "1:cpu:/..\n", "1 2 0:1 /a /c rw - cgroup c rw,cpu\n", "0,2", "max 1")
	f.Fuzz(func(t *testing.T, info, groups, mounts, cpus, limit string) {
		m, _ := system(map[string]string{
			"proc/cpuinfo": info, "proc/self/cgroup": groups, "proc/self/mountinfo": mounts,
			"proc/self/status": "Cpus_allowed_list: " + cpus, "proc/meminfo": "MemTotal: " + limit,
			"sys/devices/system/cpu/online": cpus, "c/cpu.max": limit, "c/memory.max": limit,
		}).read()
		if m.CPUs < 0 || m.CPUs > maxCPUs || m.MemoryBytes < 0 || !(m.Quota >= 0) || !(m.MHz >= 0 && m.MHz < 1e6) {
			t.Errorf("%+v", m)
		}
	})
}
