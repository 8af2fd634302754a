package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// errNotDocuments says that the input is no JSON document, so that it may be text.
var errNotDocuments = errors.New("no JSON document")

// syntaxError is an errNotDocuments of what begins like a JSON document.
type syntaxError struct{ err error }

func (e *syntaxError) Error() string        { return e.err.Error() }
func (e *syntaxError) Is(target error) bool { return target == errNotDocuments }

// probe has what documents are told apart by.
type probe struct {
	SchemaVersion string          `json:"schemaVersion"`
	Kind          string          `json:"kind"`
	Action        string          `json:"Action"`
	Suites        json.RawMessage `json:"Suites"`
	Entries       json.RawMessage `json:"entries"`
}

// readDocuments reads one JSON document after the other. The error is
// errNotDocuments when the input does not begin with one.
func readDocuments(data []byte, problems *problems) ([]api.BenchRun, error) {
	data = bytes.TrimSpace(data)
	if script, ok := bytes.CutPrefix(data, []byte("window.BENCHMARK_DATA")); ok {
		data = bytes.TrimLeft(script, " =")
	}
	if len(data) == 0 || data[0] != '{' && data[0] != '[' {
		return nil, errNotDocuments
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	var runs []api.BenchRun
	for count := 0; ; count++ {
		var document json.RawMessage
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) && count > 0 {
			return runs, nil
		}
		if err == nil {
			var more []api.BenchRun
			more, err = readDocument(document, problems)
			runs = append(runs, more...)
		} else if count == 0 {
			return nil, &syntaxError{err}
		}
		if err != nil && count == 0 {
			return nil, err
		}
		if err != nil {
			problems.add(fault.Invalid, 0, "", "document %d: %v", count+1, err)
			return runs, nil
		}
	}
}

func readDocument(data []byte, problems *problems) ([]api.BenchRun, error) {
	if data[0] == '[' {
		return readGobenchdata(data)
	}
	var p probe
	if data[0] != '{' || json.Unmarshal(data, &p) != nil {
		return nil, errors.New("a JSON document of an unknown kind")
	}
	switch {
	case p.Action != "":
		return nil, errNotDocuments
	case p.Kind != "":
		return readOwn(data, p, problems)
	case p.Suites != nil:
		return readGobenchdata(slices.Concat([]byte("["), data, []byte("]")))
	case p.Entries != nil:
		return readActionData(p.Entries, problems)
	}
	return readParseSet(data)
}

// readOwn reads a document of kind BenchResults.
func readOwn(data []byte, p probe, problems *problems) ([]api.BenchRun, error) {
	if p.Kind != api.KindBenchResults {
		return nil, fmt.Errorf("a document of kind %s, not %s", p.Kind, api.KindBenchResults)
	}
	if p.SchemaVersion != api.SchemaVersion {
		return nil, fmt.Errorf("schemaVersion %q; this version of Gopherwood reads %s", p.SchemaVersion, api.SchemaVersion)
	}
	var set api.BenchResults
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, err
	}
	problems.notes = append(problems.notes, set.Notes...)
	problems.items = append(problems.items, set.Errors...)
	return set.Runs, nil
}

// builder collects the series of one run by the names that the testing package
// prints, without "Benchmark".
type builder struct {
	run   api.BenchRun
	index map[seriesKey]*textSeries
	order []*textSeries
}

// add adds a sample; procs in the key is -1 when nothing but the name says it.
func (b *builder) add(key seriesKey, iterations int64, values map[string]float64) {
	if len(values) == 0 || iterations < 0 {
		return
	}
	s := b.index[key]
	if s == nil {
		if b.index == nil {
			b.index = map[seriesKey]*textSeries{}
		}
		s = &textSeries{seriesKey: key}
		b.index[key] = s
		b.order = append(b.order, s)
	}
	s.samples = append(s.samples, api.BenchSample{Iterations: iterations, Values: values})
}

func (b *builder) finish() api.BenchRun {
	b.run.Series = splitNames(b.order)
	return b.run
}

// nonZero removes values that other tools write as 0 when nothing was measured.
func nonZero(values map[string]float64) map[string]float64 {
	maps.DeleteFunc(values, func(_ string, v float64) bool { return v == 0 })
	return values
}

// gobenchdataRun is a run of gobenchdata (package bench of
// go.bobheadxi.dev/gobenchdata, v1).
type gobenchdataRun struct {
	Version string
	// Date is in seconds since 1970.
	Date   int64
	Tags   []string
	Suites []struct {
		Goos, Goarch, Pkg, Cpu string
		Benchmarks             []struct {
			Name    string
			Runs    int64
			NsPerOp float64
			Mem     struct{ BytesPerOp, AllocsPerOp, MBPerSec float64 }
			Custom  map[string]float64
		}
	}
}

// readGobenchdata reads an array of runs. Zeros of memory are kept only where a
// benchmark of the suite allocates: without -benchmem all are 0.
func readGobenchdata(data []byte) ([]api.BenchRun, error) {
	var list []gobenchdataRun
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("JSON that is not gobenchdata's: %w", err)
	}
	var runs []api.BenchRun
	for _, r := range list {
		byMachine := map[api.BenchMachine]*builder{}
		var order []*builder
		for _, suite := range r.Suites {
			machine := api.BenchMachine{OS: suite.Goos, Arch: suite.Goarch, CPU: suite.Cpu}
			b := byMachine[machine]
			if b == nil {
				b = &builder{run: api.BenchRun{Time: unixTime(r.Date), Machine: machine}}
				b.run.Side.Commit = r.Version
				if len(r.Tags) > 0 {
					b.run.Labels = map[string]string{"tags": strings.Join(r.Tags, " ")}
				}
				byMachine[machine] = b
				order = append(order, b)
			}
			memory := false
			for _, x := range suite.Benchmarks {
				memory = memory || x.Mem.BytesPerOp != 0 || x.Mem.AllocsPerOp != 0
			}
			for _, x := range suite.Benchmarks {
				values := nonZero(map[string]float64{"ns/op": x.NsPerOp, "MB/s": x.Mem.MBPerSec})
				maps.Copy(values, x.Custom)
				if memory {
					values["B/op"], values["allocs/op"] = x.Mem.BytesPerOp, x.Mem.AllocsPerOp
				}
				b.add(seriesKey{suite.Pkg, strings.TrimPrefix(x.Name, "Benchmark"), -1}, x.Runs, values)
			}
		}
		for _, b := range order {
			runs = append(runs, b.finish())
		}
	}
	return runs, nil
}

func unixTime(seconds int64) string {
	// Years of four digits only: others are no RFC 3339.
	if seconds <= 0 || seconds >= 253402300800 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

// The bits of Measured in golang.org/x/tools/benchmark/parse.
const (
	measuredNs = 1 << iota
	measuredMB
	measuredBytes
	measuredAllocs
)

// readParseSet reads a Set of golang.org/x/tools/benchmark/parse as
// encoding/json writes it: benchmarks by name.
func readParseSet(data []byte) ([]api.BenchRun, error) {
	var set map[string][]struct {
		Name              string
		N                 int64
		NsPerOp           float64
		AllocedBytesPerOp float64
		AllocsPerOp       float64
		MBPerS            float64
		Measured          int
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, errors.New("a JSON document of an unknown kind")
	}
	var b builder
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !strings.HasPrefix(name, "Benchmark") {
			return nil, errors.New("a JSON document of an unknown kind")
		}
		for _, x := range set[name] {
			values := map[string]float64{}
			for bit, v := range map[int]struct {
				unit  string
				value float64
			}{
				measuredNs: {"ns/op", x.NsPerOp}, measuredMB: {"MB/s", x.MBPerS},
				measuredBytes: {"B/op", x.AllocedBytesPerOp}, measuredAllocs: {"allocs/op", x.AllocsPerOp},
			} {
				if x.Measured&bit != 0 {
					values[v.unit] = v.value
				}
			}
			b.add(seriesKey{"", strings.TrimPrefix(name, "Benchmark"), -1}, x.N, values)
		}
	}
	return []api.BenchRun{b.finish()}, nil
}
