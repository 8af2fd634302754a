//go:build linux

package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gopherwood-dev/gopherwood/bench/machine"
)

// report is what one run found.
type report struct {
	Machine machine.Machine `json:"machine"`
	// Versions are those of what was measured with.
	Versions map[string]string `json:"versions"`
	Corpus   *corpusSummary    `json:"corpus,omitempty"`
	Results  []result          `json:"results"`
}

// result is one measurement that has a limit.
type result struct {
	Name string `json:"name"`
	// Unit is "ratio", "bytes", "seconds", "count", or "cores": how many processors
	// were busy.
	Unit string `json:"unit"`
	// Value is the median of all rounds; it passes when it is not over Limit.
	Value float64 `json:"value"`
	Limit float64 `json:"limit"`
	// NoLimit is for what is measured to understand the others.
	NoLimit bool `json:"noLimit,omitempty"`
	// Noise is set when the machine's noise hid what was to be measured: it does not
	// pass.
	Noise bool `json:"noise,omitempty"`
	// Least and Most are the smallest and the largest value of a round.
	Least float64 `json:"least,omitempty"`
	Most  float64 `json:"most,omitempty"`
	// Ours and Theirs are the medians, in seconds, that a ratio compares.
	Ours   float64 `json:"oursSeconds,omitempty"`
	Theirs float64 `json:"theirsSeconds,omitempty"`
}

func (r result) passed() bool { return r.NoLimit || !r.Noise && r.Value <= r.Limit }

// moduleVersion is the version that a program records of itself; empty when it
// records none.
func moduleVersion(file string) string {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return ""
	}
	return info.Main.Version
}

// opensslVersion asks for the version of openssl.
func opensslVersion(ctx context.Context) (string, error) {
	out, err := capture(exec.CommandContext(ctx, "openssl", "version"))
	if err != nil {
		return "", err
	}
	words := strings.Fields(string(out))
	return words[min(1, len(words)-1)], nil
}

// write prints the report as a table or as JSON.
func (r report) write(w io.Writer, format string) error {
	if format == "json" {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}
	fmt.Fprintf(w, "%s, %d cores, Linux %s; %s", r.Machine.CPU, r.Machine.Cores, r.Machine.Kernel, r.Machine.Go)
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		fmt.Fprintf(w, "; %s %s", name, r.Versions[name])
	}
	fmt.Fprintln(w)
	if c := r.Corpus; c != nil {
		fmt.Fprintf(w, "%d Go executables, %.0f MB\n", c.Executables, float64(c.Bytes)/1e6)
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MEASUREMENT\tOURS\tTHEIRS\tVALUE\tMIN-MAX\tLIMIT\tRESULT")
	for _, res := range r.Results {
		verdict, limit := "PASS", res.format(res.Limit)
		switch {
		case res.NoLimit:
			verdict, limit = "INFO", "-"
		case res.Noise:
			verdict = "NOISE"
		case !res.passed():
			verdict = "FAIL"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", res.Name, seconds(res.Ours), seconds(res.Theirs),
			res.format(res.Value), res.spread(), limit, verdict)
	}
	return table.Flush()
}

// missed names the results over their limits.
func (r report) missed() error {
	var names []string
	for _, res := range r.Results {
		if !res.passed() {
			names = append(names, res.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("over the limit: %s", strings.Join(names, "; "))
}

func (r result) format(v float64) string {
	switch {
	case r.Unit == "ratio":
		return fmt.Sprintf("%.2f×", v)
	case r.Unit == "seconds" && v < 10:
		return milliseconds(v)
	case r.Unit == "seconds":
		return fmt.Sprintf("%.1f s", v)
	case r.Unit == "count":
		return fmt.Sprintf("%.0f", v)
	case r.Unit == "cores":
		return fmt.Sprintf("%.1f %%", 100*v)
	case v < 1e6:
		return fmt.Sprintf("%.0f B", v)
	}
	return fmt.Sprintf("%.0f MB", v/1e6)
}

func milliseconds(s float64) string { return fmt.Sprintf("%.1f ms", 1000*s) }

func (r result) spread() string {
	if r.Most == 0 {
		return "-"
	}
	if r.Unit != "ratio" {
		return r.format(r.Least) + " - " + r.format(r.Most)
	}
	return fmt.Sprintf("%.2f-%.2f", r.Least, r.Most)
}

func seconds(s float64) string {
	if s == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f s", s)
}
