// Package results reads, writes and merges what benchmarks measured.
//
// It reads the text that `go test -bench` prints, which is the Go benchmark
// format (https://go.dev/design/14313-benchmark-format), the events of
// `go test -json`, documents of kind BenchResults, and the JSON of three other
// tools; docs/formats/benchresults.md names them and the configuration lines
// that Write gives. Lines of the benchmark format are parsed by
// golang.org/x/perf/benchfmt.
package results
