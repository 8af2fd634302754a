package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/harmless"
)

// remark is what is said of one item at the place of its benchmark.
type remark struct {
	item        *api.BenchGateItem
	weight      api.BenchVerdict
	place       Place
	title, text string
}

// remarks returns what did not pass, in the order of the gate. The place of a
// benchmark that is not known is empty.
func remarks(g *api.BenchGate, places Places) []remark {
	var all []remark
	for i := range g.Items {
		item := &g.Items[i]
		if item.Verdict == api.BenchPass {
			continue
		}
		all = append(all, remark{item: item, weight: weight(g, item), place: places.of(item.Package, item.Name),
			title: harmless.Clean(joined(" ", string(item.Verdict)+":", cmp.Or(item.Name, "all benchmarks of "+item.Package), item.Metric)), text: harmless.Clean(item.Reason)})
	}
	return all
}

// weight returns the verdict of an item, and for an inconclusive one what it made
// of the gate: a gate that is worse than all that was decided is so for it. Where
// a limit only warns, that is a warning at most.
func weight(g *api.BenchGate, item *api.BenchGateItem) api.BenchVerdict {
	reason := func(other api.BenchGateItem) bool { return other.Verdict == g.Verdict }
	switch {
	case item.Verdict != api.BenchInconclusive || g.Verdict == api.BenchPass || slices.ContainsFunc(g.Items, reason):
		return item.Verdict
	case item.Limit.OnWorse == string(api.BenchWarn):
		return api.BenchWarn
	}
	return g.Verdict
}

// GitHub writes what did not pass as workflow commands, which GitHub Actions
// shows at the lines of the benchmarks: an error for fail, a warning for warn, a
// notice for inconclusive unless the gate fails or warns for that alone, and an
// error for each benchmark that could not be measured. GitHub shows ten of a kind
// in a step. The error is w's.
func GitHub(w io.Writer, g *api.BenchGate, places Places) error {
	var b strings.Builder
	for _, r := range remarks(g, places) {
		level := "notice"
		switch r.weight {
		case api.BenchFail:
			level = "error"
		case api.BenchWarn:
			level = "warning"
		}
		b.WriteString(workflowCommand(level, r.place, r.title, r.text))
	}
	for _, e := range g.Errors {
		b.WriteString(workflowCommand("error", Place{}, "not measured: "+harmless.Clean(e.Input), harmless.Clean(joined(" — ", e.Message, e.Hint))))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// workflowCommand is one line of GitHub's toolkit: ::error file=…,line=…,title=…::message.
func workflowCommand(level string, at Place, title, message string) string {
	var properties []string
	if at.File != "" {
		properties = append(properties, "file="+commandProperty.Replace(harmless.Clean(at.File)))
		if at.Line > 0 {
			properties = append(properties, fmt.Sprintf("line=%d", at.Line))
		}
	}
	properties = append(properties, "title="+commandProperty.Replace(title))
	return fmt.Sprintf("::%s %s::%s\n", level, strings.Join(properties, ","), commandMessage.Replace(message))
}

// What the runner of GitHub Actions decodes in a command's message and properties.
var (
	commandMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	commandProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// codeQuality is an entry of GitLab's code quality report, in the subset of Code
// Climate's format that GitLab reads.
type codeQuality struct {
	Description string          `json:"description"`
	CheckName   string          `json:"check_name"`
	Fingerprint string          `json:"fingerprint"`
	Severity    string          `json:"severity"`
	Location    qualityLocation `json:"location"`
}

type qualityLocation struct {
	Path  string       `json:"path"`
	Lines qualityLines `json:"lines"`
}

type qualityLines struct {
	Begin int `json:"begin"`
}

// CodeQuality writes what did not pass as GitLab's code quality report, which a
// merge request shows: major for fail, minor for warn, info for inconclusive
// unless the gate fails or warns for that alone.
// What has no place in the repository stands at go.mod. The error is w's.
func CodeQuality(w io.Writer, g *api.BenchGate, places Places) error {
	entries := []codeQuality{}
	for _, r := range remarks(g, places) {
		severity := map[api.BenchVerdict]string{api.BenchFail: "major", api.BenchWarn: "minor"}[r.weight]
		if severity == "" {
			severity = "info"
		}
		if r.place.File == "" {
			r.place.File = "go.mod"
		}
		entries = append(entries, codeQuality{
			Description: r.title + ": " + r.text, CheckName: "benchmark", Severity: severity,
			Fingerprint: fingerprint(r.item), Location: qualityLocation{harmless.Clean(r.place.File), qualityLines{max(1, r.place.Line)}},
		})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(entries)
}

// fingerprint tells entries apart, and is the same in every run.
func fingerprint(item *api.BenchGateItem) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{item.Package, item.Name, item.Metric}, "\x00")))
	return hex.EncodeToString(sum[:16])
}
