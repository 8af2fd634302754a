package execute

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// sample is a line of results as package testing prints it.
type sample struct {
	iterations int64
	values     map[string]float64
	// odd are values that are no finite number, as they were printed.
	odd map[string]string
}

// parseResult finds a result at the end of a line: a number of iterations, then
// values with their units, separated by tabs
// (https://golang.org/design/14313-benchmark-format, as B prints it). What
// is before it is the name, or what the benchmark printed itself, perhaps without
// a space between. expected are the iterations that were asked for, which
// tells their digits from others before them; 0 when not known.
func parseResult(line []byte, expected int64) (sample, bool) {
	s := sample{values: map[string]float64{}}
	fields := bytes.Split(line, []byte("\t"))
	count := fmt.Appendf(nil, "%8d", expected)
	i := len(fields) - 1
	for i >= 0 && (expected == 0 || !bytes.HasSuffix(fields[i], count)) && s.parseValue(fields[i]) {
		i--
	}
	if i < 0 || i == len(fields)-1 {
		return sample{}, false
	}
	if expected > 0 && bytes.HasSuffix(fields[i], count) {
		s.iterations = expected
		return s, true
	}
	digits := fields[i][len(bytes.TrimRight(fields[i], "0123456789")):]
	n, err := strconv.ParseInt(string(digits), 10, 64)
	s.iterations = n
	return s, err == nil
}

// parseValue adds "value unit" to the sample.
func (s *sample) parseValue(field []byte) bool {
	words := bytes.Fields(field)
	if len(words) != 2 {
		return false
	}
	value, unit := string(words[0]), string(words[1])
	v, err := strconv.ParseFloat(value, 64)
	if err != nil && !math.IsInf(v, 0) {
		return false
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		if s.odd == nil {
			s.odd = map[string]string{}
		}
		s.odd[unit] = value
	} else {
		s.values[unit] = v
	}
	return true
}

// printedProcs finds the name of a benchmark as package testing prints it before
// a result: the name, the suffix for GOMAXPROCS, spaces, a tab. Others may have
// printed what stands directly before it. It returns GOMAXPROCS.
func printedProcs(line []byte, name string) (procs int, found bool) {
	full := []byte("Benchmark" + name)
	for {
		before, after, found := bytes.Cut(line, []byte("\t"))
		if !found {
			return 0, false
		}
		word := bytes.TrimRight(before, " ")
		if bytes.HasSuffix(word, full) {
			return 1, true
		}
		if i := bytes.LastIndexByte(word, '-'); i >= 0 && bytes.HasSuffix(word[:i], full) {
			if procs, err := strconv.Atoi(string(word[i+1:])); err == nil && procs > 1 {
				return procs, true
			}
		}
		line = after
	}
}
