package results

import (
	"cmp"
	"encoding/json"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"

	"github.com/gopherwood-dev/gopherwood/api"
)

// The configuration keys that are not of a run.
const (
	// keyPackage is the testing package's own.
	keyPackage = "pkg"
	// keyProcs is GOMAXPROCS, where the suffix of names does not say it; 0 when
	// it is not known and names have no suffix.
	keyProcs = "procs"
	// keyNumber tells runs apart whose configuration is the same otherwise.
	keyNumber = "run-number"
	// keyBinary and a number from 1 have the test binaries of the package.
	keyBinary = "binary-"
)

// field is a configuration line and where it is in a run.
type field struct {
	key string
	// get returns the value, "" when the run has none.
	get func(*api.BenchRun) string
	// set reports false, and changes nothing, when the value is not of its type
	// or means none.
	set func(*api.BenchRun, string) bool
}

// fields are the lines of a run, in the order in which they are written.
var fields = []field{
	text("run-time", func(r *api.BenchRun) *string { return &r.Time }),
	text("commit", func(r *api.BenchRun) *string { return &r.Side.Commit }),
	text("revision", func(r *api.BenchRun) *string { return &r.Side.Revision }),
	text("tree", func(r *api.BenchRun) *string { return &r.Side.Tree }),
	{
		"dirty",
		func(r *api.BenchRun) string { return word(r.Side.Dirty, "true", "") },
		func(r *api.BenchRun, v string) bool { r.Side.Dirty = r.Side.Dirty || v == "true"; return v == "true" },
	},
	text("goos", func(r *api.BenchRun) *string { return &r.Machine.OS }),
	text("goarch", func(r *api.BenchRun) *string { return &r.Machine.Arch }),
	text("cpu", func(r *api.BenchRun) *string { return &r.Machine.CPU }),
	text("machine-id", func(r *api.BenchRun) *string { return &r.Machine.ID }),
	text("machine-kernel", func(r *api.BenchRun) *string { return &r.Machine.Kernel }),
	number("machine-cpus", func(r *api.BenchRun) *int { return &r.Machine.CPUs }),
	decimal("machine-quota", func(r *api.BenchRun) *float64 { return &r.Machine.Quota }),
	number("machine-memory-bytes", func(r *api.BenchRun) *int64 { return &r.Machine.MemoryBytes }),
	text("machine-virtualization", func(r *api.BenchRun) *string { return &r.Machine.Virtualization }),
	text("machine-governor", func(r *api.BenchRun) *string { return &r.Machine.Governor }),
	{"machine-turbo", getTurbo, setTurbo},
	decimal("machine-mhz", func(r *api.BenchRun) *float64 { return &r.Machine.MHz }),
	text("machine-counters", func(r *api.BenchRun) *string { return &r.Machine.Counters }),
	{"noise-samples", getNoiseSamples, setNoiseSamples},
	noise("noise-fastest-sec", func(n *api.BenchNoise) *float64 { return &n.Fastest }),
	noise("noise-median", func(n *api.BenchNoise) *float64 { return &n.Median }),
	noise("noise-p90", func(n *api.BenchNoise) *float64 { return &n.P90 }),
	number("gomaxprocs", func(r *api.BenchRun) *int { return &r.Settings.GOMAXPROCS }),
	text("gogc", func(r *api.BenchRun) *string { return &r.Settings.GOGC }),
	text("gomemlimit", func(r *api.BenchRun) *string { return &r.Settings.GOMEMLIMIT }),
	text("godebug", func(r *api.BenchRun) *string { return &r.Settings.GODEBUG }),
	text("cpu-pin", func(r *api.BenchRun) *string { return &r.Settings.CPUs }),
	decimal("slice-sec", func(r *api.BenchRun) *float64 { return &r.Settings.Slice }),
	number("layouts", func(r *api.BenchRun) *int { return &r.Settings.Layouts }),
}

func text(key string, at func(*api.BenchRun) *string) field {
	return field{
		key,
		func(r *api.BenchRun) string { return *at(r) },
		func(r *api.BenchRun, v string) bool { *at(r) = v; return true },
	}
}

func number[T int | int64](key string, at func(*api.BenchRun) *T) field {
	get := func(r *api.BenchRun) string {
		if *at(r) == 0 {
			return ""
		}
		return strconv.FormatInt(int64(*at(r)), 10)
	}
	return field{key, get, func(r *api.BenchRun, v string) bool {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n == 0 || int64(T(n)) != n {
			return false
		}
		*at(r) = T(n)
		return true
	}}
}

func decimal(key string, at func(*api.BenchRun) *float64) field {
	return field{
		key,
		func(r *api.BenchRun) string { return formatDecimal(*at(r)) },
		func(r *api.BenchRun, v string) bool { return parseDecimal(v, func() *float64 { return at(r) }) },
	}
}

func noise(key string, at func(*api.BenchNoise) *float64) field {
	get := func(r *api.BenchRun) string {
		if r.Machine.Noise == nil {
			return ""
		}
		return formatDecimal(*at(r.Machine.Noise))
	}
	return field{key, get, func(r *api.BenchRun, v string) bool {
		return parseDecimal(v, func() *float64 { return at(noiseOf(r)) })
	}}
}

func noiseOf(r *api.BenchRun) *api.BenchNoise {
	if r.Machine.Noise == nil {
		r.Machine.Noise = &api.BenchNoise{}
	}
	return r.Machine.Noise
}

func formatDecimal(v float64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func parseDecimal(v string, at func() *float64) bool {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || f == 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		return false
	}
	*at() = f
	return true
}

// Noise without samples is something else than no noise, so that 0 is written.
func getNoiseSamples(r *api.BenchRun) string {
	if r.Machine.Noise == nil {
		return ""
	}
	return strconv.Itoa(r.Machine.Noise.Samples)
}

func setNoiseSamples(r *api.BenchRun, v string) bool {
	n, err := strconv.Atoi(v)
	if err != nil {
		return false
	}
	noiseOf(r).Samples = n
	return true
}

func getTurbo(r *api.BenchRun) string {
	if r.Machine.Turbo == nil {
		return ""
	}
	return word(*r.Machine.Turbo, "on", "off")
}

func setTurbo(r *api.BenchRun, v string) bool {
	if v != "on" && v != "off" {
		return false
	}
	on := v == "on"
	r.Machine.Turbo = &on
	return true
}

func word(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

// line is one configuration line.
type line struct{ key, value string }

// encodeRun returns the lines of all but the units, binaries and series of a run.
// Labels come last, by name.
func encodeRun(run *api.BenchRun) []line {
	var lines []line
	for _, f := range fields {
		if v := f.get(run); v != "" {
			lines = append(lines, line{f.key, v})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(run.Labels)) {
		lines = append(lines, line{key, run.Labels[key]})
	}
	return lines
}

// decodeRun is the reverse of encodeRun, in any order; lines that are no fields
// are labels.
func decodeRun(lines []line) api.BenchRun {
	var run api.BenchRun
	for _, l := range lines {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == l.key })
		if i >= 0 && fields[i].set(&run, l.value) {
			continue
		}
		if run.Labels == nil {
			run.Labels = map[string]string{}
		}
		run.Labels[l.key] = l.value
	}
	return run
}

// config is the configuration in force, sorted by what it is about.
type config struct {
	pkg string
	// procs is -1 when it is not said.
	procs    int
	binaries map[string]api.BenchBinary
	// identity is the same for all results of a run.
	identity identity
}

// identity is a sum of hashes of configuration lines, with two seeds, so that
// their order does not matter and nobody can make two of them equal.
type identity [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func (id *identity) add(c *benchfmt.Config) {
	for i, seed := range seeds {
		var h maphash.Hash
		h.SetSeed(seed)
		_, _ = h.WriteString(c.Key) // never fails
		_ = h.WriteByte(':')
		_, _ = h.Write(c.Value)
		id[i] += h.Sum64()
	}
}

func splitConfig(list []benchfmt.Config) config {
	c := config{procs: -1}
	for i := range list {
		key := list[i].Key
		switch {
		case key == keyPackage:
			c.pkg = string(list[i].Value)
		case key == keyProcs && isProcs(list[i].Value):
			c.procs, _ = strconv.Atoi(string(list[i].Value))
		case strings.HasPrefix(key, keyBinary) && c.addBinary(key, string(list[i].Value)):
		default:
			c.identity.add(&list[i])
		}
	}
	return c
}

// runLines returns the lines that are of a run.
func runLines(list []benchfmt.Config) []line {
	var lines []line
	var c config
	for i := range list {
		key, value := list[i].Key, string(list[i].Value)
		if key != keyPackage && key != keyNumber && !(key == keyProcs && isProcs(list[i].Value)) && !c.addBinary(key, value) {
			lines = append(lines, line{key, value})
		}
	}
	return lines
}

func isProcs(value []byte) bool {
	n, err := strconv.Atoi(string(value))
	return err == nil && n >= 0
}

func (c *config) addBinary(key, value string) bool {
	b, ok := decodeBinary(key, value)
	if ok {
		if c.binaries == nil {
			c.binaries = map[string]api.BenchBinary{}
		}
		c.binaries[value] = b
	}
	return ok
}

func encodeBinary(b *api.BenchBinary) (string, error) {
	text, err := json.Marshal(b)
	return string(text), err
}

// decodeBinary reads a line "binary-1: {…}".
func decodeBinary(key, value string) (api.BenchBinary, bool) {
	digits, ok := strings.CutPrefix(key, keyBinary)
	var b api.BenchBinary
	if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return b, false
	}
	err := json.Unmarshal([]byte(value), &b)
	return b, err == nil && b.Package != ""
}

// compareBinaries orders binaries by package, layout and digest, and those that
// differ in nothing of it by the rest.
func compareBinaries(a, b api.BenchBinary) int {
	order := cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Layout, b.Layout),
		cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.GoVersion, b.GoVersion))
	if order != 0 {
		return order
	}
	return slices.CompareFunc(sortedSettings(a), sortedSettings(b), func(a, b line) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.value, b.value))
	})
}

func sortedSettings(b api.BenchBinary) []line {
	var lines []line
	for _, key := range slices.Sorted(maps.Keys(b.Settings)) {
		lines = append(lines, line{key, b.Settings[key]})
	}
	return lines
}
