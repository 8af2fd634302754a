package machine

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseCPUs(t *testing.T) {
	for _, test := range []struct {
		list      string
		want      []int
		canonical string
	}{
		{"", nil, ""},
		{" \n", nil, ""},
		{"0", []int{0}, "0"},
		{"3,0,2-3\n", []int{0, 2, 3}, "0,2-3"},
		{" 1 - 2 , 7", []int{1, 2, 7}, "1-2,7"},
		{"5-5", []int{5}, "5"},
		{"8191", []int{8191}, "8191"},
	} {
		got, err := parseCPUs(test.list)
		if err != nil || !slices.Equal(got, test.want) || formatCPUs(got) != test.canonical {
			t.Errorf("%q: %v (%q), %v; want %v", test.list, got, formatCPUs(got), err, test.want)
		}
	}
	for list, want := range map[string]string{
		"a": `"a" is not`, "1,": `"" is not`, "1-": `"" is not`, "-1": `"" is not`, "1-2-3": `"2-3" is not`,
		"3-1": `"3-1" runs backwards`, "8192": "beyond the limit of 8192", "0-99999999999": "is not", "+1": "is not", "0x1": "is not",
	} {
		if got, err := parseCPUs(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %s", list, got, err, want)
		}
	}
}

// TestCPUsRoundTrip writes and reads any set of processors.
func TestCPUsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cpus := rapid.SliceOfDistinct(rapid.IntRange(0, maxCPUs-1), rapid.ID[int]).Draw(t, "cpus")
		slices.Sort(cpus)
		got, err := parseCPUs(formatCPUs(cpus))
		if err != nil || !slices.Equal(got, cpus) {
			t.Errorf("%v became %v, %v", cpus, got, err)
		}
	})
}

func FuzzParseCPUs(f *testing.F) {
	for _, list := range []string{"0,2-3", "", "1-", "0-8191", "3-1", "99999999999999999999"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		cpus, err := parseCPUs(list)
		if err == nil && !slices.IsSorted(cpus) || len(cpus) > maxCPUs {
			t.Errorf("%q: %v", list, cpus)
		}
	})
}
