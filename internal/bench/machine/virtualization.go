package machine

import "strings"

// virtualization returns what the machine runs on, named as by
// systemd-detect-virt(1): kvm, amazon, microsoft, vmware, xen, …; "vm" for a
// hypervisor that is not known, "none" on x86 when the processor names no
// hypervisor, "" when it is not known whether there is one.
func (l linux) virtualization(info cpuInfo) string {
	flags, x86 := info.first["flags"]
	guest := strings.Contains(" "+flags+" ", " hypervisor ")
	if x86 && !guest && info.first["vendor_id"] != "" {
		return "none"
	}
	for _, find := range []func() string{l.hypervisorType, l.firmware, l.clocksource, l.deviceTree, l.sysinfo} {
		if v := find(); v != "" {
			return v
		}
	}
	if guest {
		return "vm"
	}
	return ""
}

// hypervisorType is what Xen's drivers say.
func (l linux) hypervisorType() string { return l.file("sys/hypervisor/type") }

// firmwares are hypervisors by the beginning of what the tables of the firmware
// (SMBIOS) say.
var firmwares = []struct{ begin, name string }{
	{"Amazon EC2", "amazon"},
	{"Google", "google"},
	{"VMware", "vmware"},
	{"innotek GmbH", "oracle"},
	{"VirtualBox", "oracle"},
	{"Parallels", "parallels"},
	{"BHYVE", "bhyve"},
	{"Apple Virtualization", "apple"},
	{"KVM", "kvm"},
	{"OpenStack", "kvm"},
	{"KubeVirt", "kvm"},
	{"QEMU", "qemu"},
	{"Xen", "xen"},
}

// firmware is what the tables of the firmware say.
func (l linux) firmware() string {
	const dmi = "sys/class/dmi/id/"
	return hypervisor(l.file(dmi+"sys_vendor"), l.file(dmi+"product_name"), l.file(dmi+"bios_vendor"))
}

// hypervisor returns the name of the hypervisor that texts of the firmware are of:
// "" for none that is known, "none" for a machine that a cloud rents as a whole.
func hypervisor(vendor, product string, more ...string) string {
	switch {
	case vendor == "Amazon EC2" && strings.Contains(product, ".metal"):
		return "none"
	case vendor == "Microsoft Corporation" && product == "Virtual Machine":
		return "microsoft"
	}
	for _, text := range append([]string{product, vendor}, more...) {
		for _, f := range firmwares {
			if strings.HasPrefix(text, f.begin) {
				return f.name
			}
		}
	}
	return ""
}

// clocksource is whose clock the kernel could use.
func (l linux) clocksource() string {
	clocks := l.file("sys/devices/system/clocksource/clocksource0/available_clocksource")
	switch {
	case strings.Contains(clocks, "kvm-clock"):
		return "kvm"
	case strings.Contains(clocks, "hyperv_"):
		return "microsoft"
	case strings.Contains(clocks, "xen"):
		return "xen"
	}
	return ""
}

// deviceTree is what a hypervisor writes there on arm64 and riscv64.
func (l linux) deviceTree() string {
	compatible := l.file("proc/device-tree/hypervisor/compatible")
	switch {
	case strings.Contains(compatible, "kvm"):
		return "kvm"
	case strings.Contains(compatible, "xen"):
		return "xen"
	case compatible != "":
		return "vm"
	}
	return ""
}

// sysinfo is what s390x says.
func (l linux) sysinfo() string {
	program, ok := fields(l.file("proc/sysinfo"))["VM00 Control Program"]
	switch {
	case strings.HasPrefix(program, "KVM"):
		return "kvm"
	case strings.HasPrefix(program, "z/VM"):
		return "zvm"
	case ok:
		return "vm"
	}
	return ""
}
