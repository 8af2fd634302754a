//go:build e2e

package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/api"
)

// metrics measures what client_golang changed twice. The notes of its 1.21.0 say
// that Inc, Add and Observe were optimized for contention (#1661); those of 1.21.1
// that this was reverted because it had made them slower without any.
const metrics = `package known

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func BenchmarkCounterAdd(b *testing.B) {
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "paid_euros_total"})
	for b.Loop() {
		counter.Add(0.3)
	}
}

func BenchmarkGaugeAdd(b *testing.B) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "open_euros"})
	for b.Loop() {
		gauge.Add(0.3)
	}
}
`

// logs measures what zap changed: the notes of its 1.26.0 say that the encoding
// of strings is about 50 % faster (#1350).
const logs = `package known

import (
	"testing"

	"go.uber.org/zap/zapcore"
)

func BenchmarkEncode(b *testing.B) {
	const text = "the card of order 4711 was refused because it has expired; the customer was asked for another one, and the goods are kept for three days"
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "message"})
	fields := []zapcore.Field{{Key: "detail", Type: zapcore.StringType, String: text}}
	for b.Loop() {
		line, err := encoder.EncodeEntry(zapcore.Entry{Message: text}, fields)
		if err != nil {
			b.Fatal(err)
		}
		line.Free()
	}
}
`

// TestKnown holds the gate to what release notes say. A regression fails; a gain
// is seen, and fails only where that is configured.
func TestKnown(t *testing.T) {
	const prometheus, zap = "github.com/prometheus/client_golang/prometheus", "go.uber.org/zap/zapcore"
	for _, tc := range []struct {
		name, source, module, base, head, config string

		fails   bool
		changes map[string]string
	}{
		{
			name: "client_golang 1.21.0 is slower", source: metrics, module: prometheus, base: "v1.20.5", head: "v1.21.0",
			fails: true, changes: map[string]string{"CounterAdd": "worse", "GaugeAdd": "worse"},
		},
		{
			name: "client_golang 1.21.1 fixes it", source: metrics, module: prometheus, base: "v1.21.0", head: "v1.21.1",
			changes: map[string]string{"CounterAdd": "better", "GaugeAdd": "better"},
		},
		{
			name: "zap 1.26.0 is faster", source: logs, module: zap, base: "v1.25.0", head: "v1.26.0",
			changes: map[string]string{"Encode": "better"},
		},
		{
			name: "a gain can fail", source: logs, module: zap, base: "v1.25.0", head: "v1.26.0", config: "bench:\n  limits:\n  - metric: ns/op\n    onBetter: fail\n",
			fails: true, changes: map[string]string{"Encode": "better"},
		},
		{
			name: "zap 1.25.0 is slower", source: logs, module: zap, base: "v1.26.0", head: "v1.25.0",
			fails: true, changes: map[string]string{"Encode": "worse"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "go.mod", "module example.com/known\n\ngo 1.24\n")
			write(t, dir, "known_test.go", tc.source)
			if tc.config != "" {
				write(t, dir, ".gopherwood.yaml", "schemaVersion: gopherwood/v1\nkind: Config\n"+tc.config)
			}
			command(t, dir, "git", "init", "--quiet")
			for _, version := range []string{tc.base, tc.head} {
				command(t, dir, "go", "get", tc.module+"@"+version)
				command(t, dir, "git", "add", ".")
				command(t, dir, "git", "-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "commit", "--quiet", "-m", version)
			}
			gate := runGate(t, dir)
			if failed := gate.Verdict == api.BenchFail; failed != tc.fails {
				t.Errorf("the verdict is %s", gate.Verdict)
			}
			for name, change := range tc.changes {
				requireChange(t, gate, name, change)
			}
			if t.Failed() {
				text, _ := json.MarshalIndent(gate, "", "  ") // it was JSON before
				t.Logf("%s", text)
			}
		})
	}
}

// requireChange looks at the time of a benchmark.
func requireChange(t *testing.T, gate *api.BenchGate, name, change string) {
	t.Helper()
	for _, item := range gate.Items {
		if item.Name == name && item.Metric == "ns/op" {
			if item.Change != change {
				t.Errorf("%s is called %s, not %s", name, item.Change, change)
			}
			return
		}
	}
	t.Errorf("nothing is said of %s", name)
}

// runGate compares the last two commits. The exit code is that of the verdict.
func runGate(t *testing.T, dir string) *api.BenchGate {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), gopherwood, "bench", "gate", "--base", "HEAD~1", "--inconclusive", "warn", "-o", "json", ".")
	cmd.Dir, cmd.Env = dir, environment(t)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	gate := &api.BenchGate{}
	if err := json.Unmarshal(stdout.Bytes(), gate); err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, &stdout, &stderr)
	}
	code := map[bool]int{true: 3}[gate.Verdict == api.BenchFail]
	if cmd.ProcessState.ExitCode() != code {
		t.Errorf("the exit code is %d, with the verdict %s", cmd.ProcessState.ExitCode(), gate.Verdict)
	}
	return gate
}

// environment keeps what the gate builds to the test.
func environment(t *testing.T) []string {
	return append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPHERWOOD_CACHE_DIR="+t.TempDir())
}

func command(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env = dir, append(environment(t), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, said)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.TrimLeft(text, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}
