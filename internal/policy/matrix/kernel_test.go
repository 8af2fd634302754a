package matrix

import "testing"

func TestKernelFloor(t *testing.T) {
	for _, tc := range []struct {
		version, arch string
		want          Kernel
	}{
		{"go1.23.12", "amd64", Kernel{2, 6}},
		{"go1.24", "amd64", Kernel{3, 2}},
		{"go1.24rc1", "amd64", Kernel{3, 2}},
		{"go1.26.8", "arm64", Kernel{3, 2}},
		{"go1.23.1", "arm", Kernel{3, 1}},
		{"go1.26.8", "arm", Kernel{3, 2}},
		{"go1.20", "mips64le", Kernel{4, 8}},
		{"go1.26.8", "loong64", Kernel{5, 19}},
		{"unknown", "amd64", Kernel{}},
	} {
		if got := KernelFloor(tc.version, tc.arch); got != tc.want {
			t.Errorf("%s on %s: %s, want %s", tc.version, tc.arch, got, tc.want)
		}
	}
}

func TestParseKernel(t *testing.T) {
	for text, want := range map[string]Kernel{
		"6.12.1-cloud-amd64":  {6, 12},
		"5.19":                {5, 19},
		"5.10+":               {5, 10},
		"2.6.32-754.el6":      {2, 6},
		"10.0.0":              {10, 0},
		"":                    {},
		"6":                   {},
		"v6.1":                {},
		"6.x":                 {},
		"-6.1":                {},
		"99999999999999999.1": {},
	} {
		got, ok := ParseKernel(text)
		if got != want || ok != (want != Kernel{}) {
			t.Errorf("%q: %s, %v, want %s", text, got, ok, want)
		}
	}
	if !(Kernel{5, 10}).Before(Kernel{5, 19}) || !(Kernel{5, 19}).Before(Kernel{6, 1}) || (Kernel{6, 1}).Before(Kernel{6, 1}) {
		t.Error("kernels are not ordered")
	}
}

func FuzzParseKernel(f *testing.F) {
	f.Add("6.12.1-cloud-amd64")
	f.Fuzz(func(t *testing.T, text string) {
		if k, ok := ParseKernel(text); !ok && k != (Kernel{}) || k.Major < 0 || k.Minor < 0 {
			t.Errorf("%q: %s, %v", text, k, ok)
		}
	})
}
