package results

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Write writes results in the Go benchmark format. What Read makes of it equals
// set, but for what the format cannot carry: Notes and Errors; series and runs without
// samples; the order of binaries, and repeated ones; metadata of units that a run does not use.
// Metadata is of the whole text, so that a run that uses a unit without saying
// anything of it has what other runs say.
//
// It writes nothing and returns a *fault.Error with code invalid when a name,
// label or value would not be read back as it is (a line break, a space in a
// name), and the error of w when writing fails.
func Write(w io.Writer, set *api.BenchResults) error {
	runs := normalRuns(set.Runs)
	var b bytes.Buffer
	if err := writeRuns(&b, runs); err != nil {
		return refuse(err)
	}
	if err := verify(b.Bytes(), runs); err != nil {
		return refuse(err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return &fault.Error{Code: fault.CodeOf(err), Op: "write benchmark results", Err: err}
	}
	return nil
}

func refuse(err error) error {
	return &fault.Error{
		Code: fault.Invalid, Op: "write benchmark results", Err: err,
		Hint: "the Go benchmark format cannot carry it; write JSON instead",
	}
}

// normalRuns returns runs as they are read back: without what is empty.
func normalRuns(runs []api.BenchRun) []api.BenchRun {
	var normal []api.BenchRun
	for _, r := range runs {
		r.Series = slices.DeleteFunc(slices.Clone(r.Series), func(s api.BenchSeries) bool { return len(s.Samples) == 0 })
		if len(r.Series) == 0 {
			continue
		}
		r.Side.Binaries = slices.Clone(r.Side.Binaries)
		slices.SortFunc(r.Side.Binaries, compareBinaries)
		r.Side.Binaries = slices.CompactFunc(r.Side.Binaries, func(a, b api.BenchBinary) bool { return sameJSON(a, b) })
		used := usedUnits(&r)
		r.Units = maps.Clone(r.Units)
		maps.DeleteFunc(r.Units, func(unit string, keys map[string]string) bool { return !used[unit] || len(keys) == 0 })
		normal = append(normal, r)
	}
	return normal
}

func writeRuns(b *bytes.Buffer, runs []api.BenchRun) error {
	w := benchfmt.NewWriter(b)
	if err := writeUnits(w, runs); err != nil {
		return err
	}
	numbered := needNumbers(runs)
	for i := range runs {
		lines := encodeRun(&runs[i])
		if numbered {
			lines = append(lines, line{keyNumber, strconv.Itoa(i + 1)})
		}
		if err := writeRun(w, &runs[i], lines); err != nil {
			return err
		}
	}
	return nil
}

// writeUnits writes the metadata of all runs, each once.
func writeUnits(w *benchfmt.Writer, runs []api.BenchRun) error {
	lines := map[[3]string]bool{}
	for i := range runs {
		for unit, keys := range runs[i].Units {
			for key, value := range keys {
				lines[[3]string{unit, key, value}] = true
			}
		}
	}
	sorted := slices.SortedFunc(maps.Keys(lines), func(a, b [3]string) int { return slices.Compare(a[:], b[:]) })
	for _, l := range sorted {
		m := &benchfmt.UnitMetadata{UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: l[0], Key: l[1]}, OrigUnit: l[0], Value: l[2]}
		if err := w.Write(m); err != nil {
			return err
		}
	}
	return nil
}

// needNumbers says whether two runs have the same configuration.
func needNumbers(runs []api.BenchRun) bool {
	seen := map[string]bool{}
	for i := range runs {
		lines := encodeRun(&runs[i])
		slices.SortFunc(lines, func(a, b line) int { return strings.Compare(a.key, b.key) })
		identity := fmt.Sprintf("%q", lines)
		if seen[identity] {
			return true
		}
		seen[identity] = true
	}
	return false
}

// writeRun writes the series of a run, each with its configuration: the lines
// are those of the run.
func writeRun(w *benchfmt.Writer, run *api.BenchRun, lines []line) error {
	names := make([]*textSeries, len(run.Series))
	for i := range run.Series {
		s := &run.Series[i]
		names[i] = &textSeries{seriesKey: seriesKey{s.Package, fullName(s), -1}}
	}
	explicit := !sameNames(splitNames(names), run.Series)
	binaries := binaryLines(run)
	for i := range run.Series {
		s := &run.Series[i]
		c := slices.Clone(lines)
		if s.Package != "" {
			c = append(c, line{keyPackage, s.Package})
		}
		if explicit {
			c = append(c, line{keyProcs, strconv.Itoa(s.Procs)})
		}
		of, err := binaries(s.Package)
		if err != nil {
			return err
		}
		if err := writeSeries(w, s, names[i].name, append(c, of...)); err != nil {
			return err
		}
	}
	return nil
}

func fullName(s *api.BenchSeries) string {
	if s.Procs == 0 {
		return s.Name
	}
	return s.Name + "-" + strconv.Itoa(s.Procs)
}

func sameNames(a, b []api.BenchSeries) bool {
	return slices.EqualFunc(a, b, func(a, b api.BenchSeries) bool { return a.Name == b.Name && a.Procs == b.Procs })
}

// binaryLines returns a function that gives the lines of a package's binaries.
// Those of packages without series come with the first.
func binaryLines(run *api.BenchRun) func(pkg string) ([]line, error) {
	measured := map[string]bool{}
	for i := range run.Series {
		measured[run.Series[i].Package] = true
	}
	first := run.Series[0].Package
	return func(pkg string) ([]line, error) {
		var lines []line
		for i := range run.Side.Binaries {
			b := &run.Side.Binaries[i]
			if b.Package != pkg && (measured[b.Package] || pkg != first) {
				continue
			}
			value, err := encodeBinary(b)
			if err != nil {
				return nil, err
			}
			lines = append(lines, line{keyBinary + strconv.Itoa(len(lines)+1), value})
		}
		return lines, nil
	}
}

func writeSeries(w *benchfmt.Writer, s *api.BenchSeries, name string, lines []line) error {
	result := benchfmt.Result{Name: benchfmt.Name(name)}
	for _, l := range lines {
		result.Config = append(result.Config, benchfmt.Config{Key: l.key, Value: []byte(l.value), File: true})
	}
	for _, sample := range s.Samples {
		result.Iters = int(sample.Iterations)
		result.Values = result.Values[:0]
		for _, unit := range SortUnits(slices.Collect(maps.Keys(sample.Values))) {
			result.Values = append(result.Values, benchfmt.Value{Value: sample.Values[unit], Unit: unit})
		}
		if err := w.Write(&result); err != nil {
			return err
		}
	}
	return nil
}

// SortUnits sorts units in place as the testing package prints them, and returns
// them: ns/op, MB/s, those of the benchmark by name, B/op, allocs/op.
func SortUnits(units []string) []string {
	slices.SortFunc(units, func(a, b string) int {
		return cmp.Or(place(a)-place(b), strings.Compare(a, b))
	})
	return units
}

func place(unit string) int {
	switch unit {
	case "ns/op":
		return 0
	case "MB/s":
		return 1
	case "B/op":
		return 3
	case "allocs/op":
		return 4
	}
	return 2
}

// verify reads back what was written, and names the first difference.
func verify(data []byte, runs []api.BenchRun) error {
	if len(data) > MaxBytes {
		return fmt.Errorf("more than %d MiB", MaxBytes>>20)
	}
	problems := &problems{name: "line"}
	got := readLines(data, problems)
	if len(problems.items) > 0 {
		return fmt.Errorf("%s", strings.TrimPrefix(problems.items[0].Message, "read benchmark results "))
	}
	if len(got) != len(runs) {
		return fmt.Errorf("%d runs would be read back as %d", len(runs), len(got))
	}
	for i := range runs {
		if err := sameRun(&runs[i], &got[i]); err != nil {
			return fmt.Errorf("run %d: %w", i+1, err)
		}
	}
	return nil
}

func sameRun(want, got *api.BenchRun) error {
	for unit, keys := range want.Units {
		for key, value := range keys {
			if got.Units[unit][key] != value {
				return fmt.Errorf("unit %s: %s=%s contradicts another run, or is no metadata", unit, key, value)
			}
		}
	}
	meta := func(r api.BenchRun) api.BenchRun { r.Units, r.Series = nil, nil; return r }
	if !sameJSON(meta(*want), meta(*got)) {
		return fmt.Errorf("the configuration has a name or value that does not fit in a line")
	}
	if len(want.Series) != len(got.Series) {
		return fmt.Errorf("%d series would be read back as %d", len(want.Series), len(got.Series))
	}
	for i := range want.Series {
		if !sameSeries(&want.Series[i], &got.Series[i]) {
			return fmt.Errorf("%q of package %q has a name, unit or value that does not fit in a line", want.Series[i].Name, want.Series[i].Package)
		}
	}
	return nil
}

func sameSeries(a, b *api.BenchSeries) bool {
	return a.Package == b.Package && a.Name == b.Name && a.Procs == b.Procs &&
		slices.EqualFunc(a.Samples, b.Samples, func(a, b api.BenchSample) bool {
			return a.Iterations == b.Iterations && maps.Equal(a.Values, b.Values)
		})
}

func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
