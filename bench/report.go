//go:build linux

package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
)

// report is what one run found.
type report struct {
	Machine machine       `json:"machine"`
	Corpus  corpusSummary `json:"corpus"`
	Results []result      `json:"results"`
}

// result is one measurement that has a limit.
type result struct {
	Name string `json:"name"`
	// Unit is "ratio" or "bytes".
	Unit string `json:"unit"`
	// Value is the median of all rounds; it passes when it is not over Limit.
	Value float64 `json:"value"`
	Limit float64 `json:"limit"`
	// Least and Most are the smallest and the largest ratio of a round.
	Least float64 `json:"least,omitempty"`
	Most  float64 `json:"most,omitempty"`
	// Ours and Theirs are the median wall times in seconds.
	Ours   float64 `json:"oursSeconds,omitempty"`
	Theirs float64 `json:"theirsSeconds,omitempty"`
}

func (r result) passed() bool { return r.Value <= r.Limit }

// machine says on what and with what was measured.
type machine struct {
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	Kernel   string            `json:"kernel"`
	Versions map[string]string `json:"versions"`
}

// describeMachine asks the machine; what it does not tell stays empty.
func describeMachine(ctx context.Context, s settings) machine {
	m := machine{Cores: runtime.NumCPU(), Versions: map[string]string{}}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpuinfo)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(kernel))
	for _, name := range []string{"go", "openssl"} {
		out, _ := capture(exec.CommandContext(ctx, name, "version"))
		if words := strings.Fields(strings.TrimPrefix(string(out), "go version ")); len(words) > 1 {
			m.Versions[name] = strings.Join(words[:2], " ")
		}
	}
	if info, err := buildinfo.ReadFile(s.syft); err == nil {
		m.Versions["syft"] = info.Main.Version
	}
	return m
}

// write prints the report as a table or as JSON.
func (r report) write(w io.Writer, format string) error {
	if format == "json" {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}
	fmt.Fprintf(w, "%s, %d cores, Linux %s; %s; %s; syft %s\n", r.Machine.CPU, r.Machine.Cores, r.Machine.Kernel,
		r.Machine.Versions["go"], r.Machine.Versions["openssl"], r.Machine.Versions["syft"])
	fmt.Fprintf(w, "%d Go executables, %.0f MB\n\n", r.Corpus.Executables, float64(r.Corpus.Bytes)/1e6)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MEASUREMENT\tOURS\tTHEIRS\tVALUE\tMIN-MAX\tLIMIT\tRESULT")
	for _, res := range r.Results {
		verdict := "PASS"
		if !res.passed() {
			verdict = "FAIL"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", res.Name, seconds(res.Ours), seconds(res.Theirs),
			res.format(res.Value), res.spread(), res.format(res.Limit), verdict)
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
	if r.Unit == "ratio" {
		return fmt.Sprintf("%.2f×", v)
	}
	if v < 1e6 {
		return fmt.Sprintf("%.0f B", v)
	}
	return fmt.Sprintf("%.0f MB", v/1e6)
}

func (r result) spread() string {
	if r.Most == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f-%.2f", r.Least, r.Most)
}

func seconds(s float64) string {
	if s == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f s", s)
}
