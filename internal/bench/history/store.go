package history

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/bench/machine"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// database is a store in a database of either kind.
type database struct {
	db      *sql.DB
	dialect dialect
	name    string
	now     func() time.Time
}

// querier is a database or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (d *database) Name() string { return d.name }

func (d *database) Close() error { return failed("close history", d.name, d.db.Close()) }

// placeholders puts the dialect's placeholders where query has "?".
func (d *database) placeholders(query string) string {
	if !d.dialect.numbered {
		return query
	}
	parts := strings.Split(query, "?")
	var b strings.Builder
	for i, part := range parts[:len(parts)-1] {
		b.WriteString(part + "$" + strconv.Itoa(i+1))
	}
	return b.String() + parts[len(parts)-1]
}

func (d *database) exec(ctx context.Context, q querier, query string, args ...any) (int, error) {
	result, err := q.ExecContext(ctx, d.placeholders(query), args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

func (d *database) transact(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			return errors.Join(err, undo)
		}
		return err
	}
	return tx.Commit()
}

// insertRows is how many rows one statement adds at most: neither database takes
// any number of arguments.
const insertRows = 500

// insert adds rows to a table, which is named with its columns.
func (d *database) insert(ctx context.Context, q querier, table string, rows [][]any) error {
	for len(rows) > 0 {
		part := rows[:min(len(rows), insertRows)]
		rows = rows[len(part):]
		row := "(?" + strings.Repeat(", ?", len(part[0])-1) + ")"
		query := "INSERT INTO " + table + " VALUES " + row + strings.Repeat(", "+row, len(part)-1)
		var args []any
		for _, r := range part {
			args = append(args, r...)
		}
		if _, err := d.exec(ctx, q, query, args...); err != nil {
			return err
		}
	}
	return nil
}

func (d *database) Put(ctx context.Context, run api.BenchRun, commit Commit) (bool, error) {
	r, err := newRecord(run, commit, d.now())
	if err != nil {
		return false, failed("put into history", d.name, err)
	}
	var added int
	err = d.transact(ctx, func(tx *sql.Tx) error {
		if err := d.putCommit(ctx, tx, r.commit); err != nil {
			return err
		}
		var err error
		added, err = d.exec(ctx, tx, `INSERT INTO gopherwood_bench_runs (id, commit_hash, machine, time, document)
			VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, r.id, r.commit.hash, run.Machine.ID, r.time, r.document)
		if err != nil || added == 0 {
			return err
		}
		if err := d.insert(ctx, tx, "gopherwood_bench_series (run_id, position, package, name, procs, iterations)", r.series); err != nil {
			return err
		}
		return d.insert(ctx, tx, "gopherwood_bench_samples (run_id, position, metric, samples)", r.samples)
	})
	return added > 0, failed("put into history", d.name, err)
}

// putCommit also locks the commit, so that nobody deletes it before its run is there.
func (d *database) putCommit(ctx context.Context, q querier, c commitRow) error {
	parents, err := json.Marshal(c.parents)
	if err != nil {
		return err
	}
	_, err = d.exec(ctx, q, `INSERT INTO gopherwood_bench_commits AS known (hash, time, parents, subject) VALUES (?, ?, ?, ?)
		ON CONFLICT (hash) DO UPDATE SET
			parents = CASE WHEN known.parents = '[]' THEN excluded.parents ELSE known.parents END,
			subject = CASE WHEN known.subject = '' THEN excluded.subject ELSE known.subject END`,
		c.hash, c.time, string(parents), c.subject)
	return err
}

// conditions are those of the runs that are deleted.
func (d *database) conditions(which Which) (string, []any, error) {
	var conditions []string
	var args []any
	if !which.Before.IsZero() {
		conditions, args = append(conditions, "time < ?"), append(args, which.Before.Unix())
	}
	if which.Commit != "" {
		conditions, args = append(conditions, "commit_hash = ?"), append(args, strings.ToLower(which.Commit))
	}
	if which.Machine != "" {
		condition, wanted := onMachine("machine", which.Machine)
		conditions, args = append(conditions, condition), append(args, wanted...)
	}
	if len(conditions) == 0 {
		return "", nil, &fault.Error{Code: fault.Usage, Op: "delete from history", Input: d.name,
			Err: errors.New("nothing says what to delete"), Hint: "name a time, a commit or a machine"}
	}
	return strings.Join(conditions, " AND "), args, nil
}

// onMachine is the condition that a column is the ID that is named, or that of a
// machine of the kind that is (machine.Kind).
func onMachine(column, named string) (condition string, args []any) {
	if named != machine.Kind(named) {
		return column + " = ?", []any{named}
	}
	return "(" + column + " = ? OR substr(" + column + ", 1, ?) = ?)", []any{named, utf8.RuneCountInString(named) + 1, named + "-"}
}

func (d *database) Count(ctx context.Context, which Which) (int, error) {
	conditions, args, err := d.conditions(which)
	if err != nil {
		return 0, err
	}
	var n int
	err = d.db.QueryRowContext(ctx, d.placeholders(`SELECT count(*) FROM gopherwood_bench_runs WHERE `+conditions), args...).Scan(&n)
	return n, failed("count runs of history", d.name, err)
}

func (d *database) Delete(ctx context.Context, which Which) (int, error) {
	conditions, args, err := d.conditions(which)
	if err != nil {
		return 0, err
	}
	var deleted int
	err = d.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, d.dialect.lockCommits); err != nil {
			return err
		}
		var err error
		if deleted, err = d.exec(ctx, tx, `DELETE FROM gopherwood_bench_runs WHERE `+conditions, args...); err != nil {
			return err
		}
		_, err = d.exec(ctx, tx, `DELETE FROM gopherwood_bench_commits WHERE hash NOT IN (SELECT commit_hash FROM gopherwood_bench_runs)`)
		return err
	})
	return deleted, failed("delete from history", d.name, err)
}

// record is a run as it is kept.
type record struct {
	id, document    string
	time            int64
	commit          commitRow
	series, samples [][]any
}

func newRecord(run api.BenchRun, commit Commit, now time.Time) (*record, error) {
	if err := check(run, commit); err != nil {
		return nil, err
	}
	run.Side.Commit = strings.ToLower(run.Side.Commit)
	whole, err := json.Marshal(run)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(whole)
	r := &record{
		id:     hex.EncodeToString(sum[:]),
		time:   now.Unix(),
		commit: commitRow{hash: run.Side.Commit, time: commit.Time.Unix(), parents: []string{}, subject: subject(commit.Subject)},
	}
	for _, p := range commit.Parents {
		r.commit.parents = append(r.commit.parents, strings.ToLower(p))
	}
	if run.Time != "" {
		began, err := time.Parse(time.RFC3339, run.Time)
		if err != nil {
			return nil, invalid("the time of a run is not in RFC 3339: %v", err)
		}
		r.time = began.Unix()
	}
	for i, s := range run.Series {
		if err := r.add(i, s); err != nil {
			return nil, err
		}
	}
	run.Series = nil
	document, err := json.Marshal(run)
	r.document = string(document)
	return r, err
}

// add takes a series apart into its iterations and the values of each metric.
func (r *record) add(position int, s api.BenchSeries) error {
	iterations := make([]int64, len(s.Samples))
	metrics := map[string][]*float64{}
	for i, sample := range s.Samples {
		iterations[i] = sample.Iterations
		for metric, value := range sample.Values {
			if metrics[metric] == nil {
				metrics[metric] = make([]*float64, len(s.Samples))
			}
			metrics[metric][i] = &value
		}
	}
	text, err := json.Marshal(iterations)
	if err != nil {
		return err
	}
	r.series = append(r.series, []any{r.id, position, s.Package, s.Name, s.Procs, string(text)})
	for metric, values := range metrics {
		text, err := json.Marshal(values)
		if err != nil {
			return err
		}
		r.samples = append(r.samples, []any{r.id, position, metric, string(text)})
	}
	return nil
}

func invalid(format string, args ...any) error {
	return &fault.Error{Code: fault.Invalid, Err: fmt.Errorf(format, args...)}
}
