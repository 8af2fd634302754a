package machine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxCPUs is the largest number of processors that Linux can be built for
// (CONFIG_NR_CPUS).
const maxCPUs = 8192

// parseCPUs reads a list of processors as in cpuset(7), "0,2-3", and returns
// their numbers in ascending order, each once. An empty list has none.
func parseCPUs(list string) ([]int, error) {
	list = strings.TrimSpace(list)
	if list == "" {
		return nil, nil
	}
	has := make([]bool, maxCPUs)
	for item := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(item, "-")
		first, err := parseCPU(low)
		if err != nil {
			return nil, err
		}
		last := first
		if isRange {
			if last, err = parseCPU(high); err != nil {
				return nil, err
			}
		}
		if last < first {
			return nil, fmt.Errorf("%q runs backwards", item)
		}
		for cpu := first; cpu <= last; cpu++ {
			has[cpu] = true
		}
	}
	var cpus []int
	for cpu, is := range has {
		if is {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// parseCPU reads the number of a processor.
func parseCPU(s string) (int, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is not the number of a processor", s)
	}
	if n >= maxCPUs {
		return 0, fmt.Errorf("processor %d is beyond the limit of %d", n, maxCPUs)
	}
	return int(n), nil
}

// formatCPUs is the inverse of parseCPUs: the shortest list of ascending numbers.
func formatCPUs(cpus []int) string {
	var items []string
	for len(cpus) > 0 {
		n := 1
		for n < len(cpus) && cpus[n] == cpus[0]+n {
			n++
		}
		item := strconv.Itoa(cpus[0])
		if n > 1 {
			item += "-" + strconv.Itoa(cpus[n-1])
		}
		items = append(items, item)
		cpus = cpus[n:]
	}
	return strings.Join(items, ",")
}

// intersect returns what is in both of two ascending lists.
func intersect(a, b []int) []int {
	return slices.DeleteFunc(slices.Clone(a), func(cpu int) bool {
		_, found := slices.BinarySearch(b, cpu)
		return !found
	})
}
