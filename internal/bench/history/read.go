package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// maxSamples is how many samples a benchmark may have in a run.
const maxSamples = 1_000_000

// storedRun is a run without its series.
type storedRun struct {
	id, commit string
	run        api.BenchRun
}

func (d *database) Runs(ctx context.Context, commit string) ([]api.BenchRun, error) {
	const op = "read history"
	commit = strings.ToLower(commit)
	runs, err := d.readRuns(ctx, "commit_hash = ?", commit)
	if err != nil {
		return nil, failed(op, d.name, err)
	}
	if len(runs) == 0 {
		return nil, &fault.Error{Code: fault.NotFound, Op: op, Input: d.name,
			Err: fmt.Errorf("it has no run of commit %s", cut(commit)), Hint: "measure that commit, and put its results into the history"}
	}
	found := make([]api.BenchRun, len(runs))
	for i, r := range runs {
		if r.run.Series, err = d.readSeries(ctx, r.id); err != nil {
			return nil, failed(op, d.name, err)
		}
		found[i] = r.run
	}
	return found, nil
}

func (d *database) Commits(ctx context.Context, machine string) ([]string, error) {
	hashes, err := d.readHashes(ctx, machine)
	return hashes, failed("read history", d.name, err)
}

func (d *database) readHashes(ctx context.Context, machine string) (hashes []string, err error) {
	query, args := `SELECT DISTINCT commit_hash FROM gopherwood_bench_runs`, []any(nil)
	if machine != "" {
		condition, wanted := onMachine("machine", machine)
		query, args = query+" WHERE "+condition, wanted
	}
	rows, err := d.db.QueryContext(ctx, d.placeholders(query+" ORDER BY commit_hash"), args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var hash string
		if err := rows.Scan(&hash); err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	return hashes, rows.Err()
}

// readRuns returns the runs to which a condition applies, from the oldest.
func (d *database) readRuns(ctx context.Context, condition string, args ...any) (runs []storedRun, err error) {
	rows, err := d.db.QueryContext(ctx, d.placeholders(`SELECT id, commit_hash, document FROM gopherwood_bench_runs
		WHERE `+condition+` ORDER BY time, id`), args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r storedRun
		var document string
		if err := rows.Scan(&r.id, &r.commit, &document); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(document), &r.run); err != nil {
			return nil, damaged("run", r.id, err)
		}
		runs = append(runs, r)
	}
	return runs, rows.Err()
}

// readSeries puts the series of a run together again.
func (d *database) readSeries(ctx context.Context, run string) (series []api.BenchSeries, err error) {
	rows, err := d.db.QueryContext(ctx, d.placeholders(`SELECT s.position, s.package, s.name, s.procs, s.iterations, m.metric, m.samples
		FROM gopherwood_bench_series s LEFT JOIN gopherwood_bench_samples m ON m.run_id = s.run_id AND m.position = s.position
		WHERE s.run_id = ? ORDER BY s.position`), run)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	series, last := []api.BenchSeries{}, -1
	for rows.Next() {
		var position int
		var s api.BenchSeries
		var iterations string
		var metric, samples *string
		if err := rows.Scan(&position, &s.Package, &s.Name, &s.Procs, &iterations, &metric, &samples); err != nil {
			return nil, err
		}
		if position != last {
			if s.Samples, err = decodeIterations(iterations); err != nil {
				return nil, damaged("run", run, err)
			}
			series, last = append(series, s), position
		}
		if metric == nil {
			continue
		}
		if err := addMetric(series[len(series)-1].Samples, *metric, *samples); err != nil {
			return nil, damaged("run", run, err)
		}
	}
	return series, rows.Err()
}

func decodeIterations(text string) ([]api.BenchSample, error) {
	if strings.Count(text, ",") >= maxSamples {
		return nil, tooMany
	}
	var iterations []int64
	if err := json.Unmarshal([]byte(text), &iterations); err != nil {
		return nil, err
	}
	samples := make([]api.BenchSample, len(iterations))
	for i, n := range iterations {
		samples[i] = api.BenchSample{Iterations: n, Values: map[string]float64{}}
	}
	return samples, nil
}

func addMetric(samples []api.BenchSample, metric, text string) error {
	values, err := decodeSamples(text)
	if err != nil {
		return err
	}
	if len(values) != len(samples) {
		return fmt.Errorf("%s has %d values in %d samples", cut(metric), len(values), len(samples))
	}
	for i, v := range values {
		if v != nil {
			samples[i].Values[metric] = *v
		}
	}
	return nil
}

var tooMany = &fault.Error{Code: fault.Limit, Err: fmt.Errorf("a benchmark has more than %d samples in one run", maxSamples)}

// decodeSamples reads values of a metric; nil where a sample lacks it.
func decodeSamples(text string) ([]*float64, error) {
	if strings.Count(text, ",") >= maxSamples {
		return nil, tooMany
	}
	var values []*float64
	err := json.Unmarshal([]byte(text), &values)
	return values, err
}

func (d *database) Query(ctx context.Context, filter Filter) (*Selection, error) {
	all, err := d.readCommits(ctx)
	if err != nil {
		return nil, failed("read history", d.name, err)
	}
	c := newCollector(filter.left(all), filter.ByKind)
	if len(c.commits) > 0 {
		if err := d.collect(ctx, filter, c); err != nil {
			return nil, failed("read history", d.name, err)
		}
	}
	return c.selection(), nil
}

func (d *database) readCommits(ctx context.Context) (commits []commitRow, err error) {
	rows, err := d.db.QueryContext(ctx, `SELECT hash, time, parents, subject FROM gopherwood_bench_commits`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c commitRow
		var parents string
		if err := rows.Scan(&c.hash, &c.time, &parents, &c.subject); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(parents), &c.parents); err != nil {
			return nil, damaged("commit", c.hash, err)
		}
		commits = append(commits, c)
	}
	return commits, rows.Err()
}

// collect reads the samples that a filter leaves, of c's commits.
func (d *database) collect(ctx context.Context, filter Filter, c *collector) (err error) {
	oldest := slices.MinFunc(c.commits, compareCommits).time
	runs, err := d.readRuns(ctx, `commit_hash IN (SELECT hash FROM gopherwood_bench_commits WHERE time >= ?)`, oldest)
	if err != nil {
		return err
	}
	c.addRuns(runs)
	// SQLite keeps the order of cross joins; left to itself it reads all samples first.
	query, args := `SELECT r.id, s.package, s.name, s.procs, m.metric, m.samples
		FROM gopherwood_bench_commits c CROSS JOIN gopherwood_bench_runs r
			CROSS JOIN gopherwood_bench_series s CROSS JOIN gopherwood_bench_samples m
		WHERE c.time >= ? AND r.commit_hash = c.hash AND s.run_id = r.id AND m.run_id = s.run_id AND m.position = s.position`, []any{oldest}
	for column, value := range map[string]string{"s.package": filter.Package, "m.metric": filter.Metric} {
		if value != "" {
			query, args = query+" AND "+column+" = ?", append(args, value)
		}
	}
	if filter.Machine != "" {
		condition, wanted := onMachine("r.machine", filter.Machine)
		query, args = query+" AND "+condition, append(args, wanted...)
	}
	rows, err := d.db.QueryContext(ctx, d.placeholders(query), args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r sampleRow
		if err := rows.Scan(&r.run, &r.pkg, &r.name, &r.procs, &r.metric, &r.samples); err != nil {
			return err
		}
		if filter.Name != nil && !filter.Name.MatchString(r.name) {
			continue
		}
		if err := c.add(r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// damaged says which row of a store cannot be what this program wrote.
func damaged(what, id string, err error) error {
	code := fault.Invalid
	if known := (*fault.Error)(nil); errors.As(err, &known) {
		code = known.Code
	}
	return &fault.Error{Code: code, Err: fmt.Errorf("%s %s: %w", what, cut(id), err)}
}

func formatTime(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// environment is what of a run may change measurements of a package besides its code.
func environment(run api.BenchRun, pkg string) map[string]string {
	env := map[string]string{}
	put := func(name, value string) {
		if value != "" {
			env[name] = value
		}
	}
	for _, b := range run.Side.Binaries {
		if b.Package != pkg || b.Layout != 0 {
			continue
		}
		put("Go version", b.GoVersion)
		for name, value := range b.Settings {
			// What version control says differs with every commit.
			if !strings.HasPrefix(name, "vcs") {
				put(name, value)
			}
		}
	}
	put("kernel", run.Machine.Kernel)
	put("governor", run.Machine.Governor)
	put("--cpu-pin", run.Settings.CPUs)
	if run.Machine.Turbo != nil {
		put("turbo", fmt.Sprint(*run.Machine.Turbo))
	}
	if run.Machine.Quota > 0 {
		put("CPU quota", fmt.Sprint(run.Machine.Quota))
	}
	if run.Settings.Layouts > 1 {
		put("--layouts", fmt.Sprint(run.Settings.Layouts))
	}
	return env
}

// differences says what differs between two environments, as far as both know it.
func differences(before, after map[string]string) []string {
	var notes []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if now, ok := after[name]; ok && now != before[name] {
			notes = append(notes, fmt.Sprintf("%s changed from %s to %s", name, before[name], now))
		}
	}
	return notes
}
