package cluster

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestParseRoutes(t *testing.T) {
	table := "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"br0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n" +
		"tun0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\nbroken\nx\tzz\t0\t0\t0\t0\t0\tzz\n"
	routes := parseRoutes([]byte(table))
	var got []string
	for _, r := range routes {
		got = append(got, r.String())
	}
	if want := []string{"192.168.1.0/24", "10.0.0.0/8"}; !slices.Equal(got, want) {
		t.Errorf("routes %q, want %q", got, want)
	}
	if free([2]byte{10, 64}, routes) {
		t.Error("10.64.0.0/16 is free beside 10.0.0.0/8")
	}
	if !free([2]byte{172, 20}, routes) {
		t.Error("172.20.0.0/16 is not free")
	}
	inside := []net.IPNet{{IP: net.IPv4(172, 20, 7, 0).To4(), Mask: net.CIDRMask(24, 32)}}
	if free([2]byte{172, 20}, inside) {
		t.Error("172.20.0.0/16 is free beside 172.20.7.0/24")
	}
}

func TestParseHierarchies(t *testing.T) {
	table := "9:name=systemd:/user\n4:cpu,cpuacct:/\n2:memory:/a:b\n0::/user\nbroken\n3:../x:/\n"
	if got := parseHierarchies([]byte(table)); !slices.Equal(got, []hierarchy{"name=systemd", "cpu,cpuacct", "memory"}) {
		t.Errorf("%q", got)
	}
}

func TestCgroupMounts(t *testing.T) {
	table := "30 24 0:26 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n" +
		"31 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n24 1 8:1 / / rw - ext4 /dev/sda rw\nbroken\n"
	if got := cgroupMounts([]byte(table)); !slices.Equal(got, []string{"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"}) {
		t.Errorf("%q", got)
	}
}

func TestRemoveGroup(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "group")
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // It may be gone already.
		if err := removeGroup(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left", dir)
	}
}

func FuzzTables(f *testing.F) {
	f.Add([]byte("a\t00000000\t0\t0\t0\t0\t0\tFFFFFFFF\n4:cpu:/\n1 2 3 / /m rw - cgroup c rw\n"))
	f.Fuzz(func(t *testing.T, table []byte) {
		parseRoutes(table)
		cgroupMounts(table)
		for _, h := range parseHierarchies(table) {
			if filepath.Base(string(h)) != string(h) {
				t.Errorf("hierarchy %q is a path", h)
			}
		}
	})
}
