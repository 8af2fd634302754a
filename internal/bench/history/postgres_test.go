//go:build e2e

package history_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/gopherwood-dev/gopherwood/internal/bench/history"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// server is a PostgreSQL of Debian's package that this test runs: in a temporary
// directory, on a Unix socket only, by a user without rights.
type server struct {
	socket   string
	database *sql.DB
}

func startServer(t *testing.T) *server {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL is not installed: run e2e/setup.sh as root")
	}
	bin := slices.Max(found)
	// Names of sockets have at most 107 bytes.
	dir, err := os.MkdirTemp("/tmp", "history")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	run := unprivileged(t, dir)
	data := filepath.Join(dir, "data")
	run(filepath.Join(bin, "initdb"), "-D", data, "-U", "tester", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
	control := filepath.Join(bin, "pg_ctl")
	run(control, "start", "-w", "-D", data, "-l", filepath.Join(dir, "log"),
		"-o", "-c listen_addresses='' -c fsync=off -c unix_socket_directories="+dir)
	t.Cleanup(func() { run(control, "stop", "-w", "-m", "fast", "-D", data) })
	s := &server{socket: dir}
	if s.database, err = sql.Open("pgx", s.url("postgres")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.database.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// unprivileged gives dir to a user whom PostgreSQL accepts, and returns a
// function that runs programs as that user.
func unprivileged(t *testing.T, dir string) func(args ...string) {
	t.Helper()
	var as []string
	if os.Getuid() == 0 {
		// The package made this user.
		owner, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		id, err := strconv.Atoi(owner.Uid)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, id, -1); err != nil {
			t.Fatal(err)
		}
		as = []string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"}
	}
	return func(args ...string) {
		t.Helper()
		args = append(slices.Clone(as), args...)
		// The server keeps what it inherits: a pipe would not end before it does.
		output, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = "/", output, output
		runErr := cmd.Run()
		text, err := os.ReadFile(output.Name())
		if err != nil {
			t.Fatal(err)
		}
		if runErr != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), runErr, text)
		}
		if err := output.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// url names a database.
func (s *server) url(database string) string {
	return fmt.Sprintf("postgres://tester@/%s?host=%s", database, url.QueryEscape(s.socket))
}

func (s *server) create(t *testing.T, database string) string {
	t.Helper()
	if _, err := s.database.ExecContext(t.Context(), "CREATE DATABASE "+database); err != nil {
		t.Fatal(err)
	}
	return s.url(database)
}

func TestPostgreSQL(t *testing.T) {
	s := startServer(t)
	made := map[string]string{}
	conformance(t, func(t *testing.T, name string) history.Store {
		if made[name] == "" {
			made[name] = s.create(t, "history_"+name)
		}
		return openStore(t, made[name])
	})
	t.Run("old version", func(t *testing.T) { testOldPostgreSQL(t, s) })
	t.Run("many make it", func(t *testing.T) { testMakePostgreSQL(t, s) })
	t.Run("server refuses", func(t *testing.T) { testRefusedPostgreSQL(t, s) })
}

// testOldPostgreSQL opens tables of version 1, with what the file of that version has.
func testOldPostgreSQL(t *testing.T, s *server) {
	source := s.create(t, "old")
	from, err := sql.Open("sqlite", copyFixture(t))
	if err != nil {
		t.Fatal(err)
	}
	to, err := sql.Open("pgx", source)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range history.Version1() {
		if _, err := to.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []struct {
		name    string
		columns int
	}{{"commits", 3}, {"runs", 5}, {"series", 6}, {"samples", 4}} {
		copyTable(t, from, to, "gopherwood_bench_"+table.name, table.columns)
	}
	if err := errors.Join(from.Close(), to.Close()); err != nil {
		t.Fatal(err)
	}
	hasVersion1(t, openStore(t, source))
}

func copyTable(t *testing.T, from, to *sql.DB, table string, columns int) {
	t.Helper()
	rows, err := from.QueryContext(t.Context(), "SELECT * FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, pointers := make([]any, columns), make([]any, columns)
		var query bytes.Buffer
		fmt.Fprintf(&query, "INSERT INTO %s VALUES (", table)
		for i := range values {
			pointers[i] = &values[i]
			fmt.Fprintf(&query, "$%d%s", i+1, map[bool]string{true: ")", false: ", "}[i == columns-1])
		}
		if err := rows.Scan(pointers...); err != nil {
			t.Fatal(err)
		}
		if _, err := to.ExecContext(t.Context(), query.String(), values...); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// testMakePostgreSQL: of many who make the tables at once, each gets the store.
func testMakePostgreSQL(t *testing.T, s *server) {
	source := s.create(t, "fresh")
	stores := make(chan history.Store)
	for range 8 {
		go func() {
			store, err := history.Open(t.Context(), source)
			if err != nil {
				t.Error(err)
			}
			stores <- store
		}()
	}
	for range 8 {
		if store := <-stores; store != nil {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// testRefusedPostgreSQL: errors of a server have codes and ways out, and a role
// that may only read can do that.
func testRefusedPostgreSQL(t *testing.T, s *server) {
	source := s.create(t, "guarded")
	put(t, openStore(t, source), measured(1, 1), at(1))
	reader := strings.Replace(source, "tester@", "reader@", 1)
	for _, statement := range []string{"CREATE ROLE reader LOGIN", "ALTER ROLE reader SET default_transaction_read_only = on"} {
		if _, err := s.database.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	wants := func(what string, err error, code fault.Code) {
		t.Helper()
		if fault.CodeOf(err) != code || fault.HintOf(err) == "" {
			t.Errorf("%s: %v (%s, hint %q), want %s", what, err, fault.CodeOf(err), fault.HintOf(err), code)
		}
	}
	_, err := history.Open(t.Context(), s.url("absent"))
	wants("a database that is not there", err, fault.NotFound)
	_, err = history.Open(t.Context(), strings.Replace(source, "tester@", "nobody@", 1))
	wants("a role that is not there", err, fault.Denied)
	_, err = history.Open(t.Context(), strings.Replace(s.url("postgres"), "tester@", "reader@", 1))
	wants("a role that may not make tables", err, fault.Denied)
	_, err = history.OpenExisting(t.Context(), s.url("postgres"))
	wants("a database without a history", err, fault.NotFound)
	guarded, err := sql.Open("pgx", source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := guarded.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := guarded.ExecContext(t.Context(), `GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader`); err != nil {
		t.Fatal(err)
	}
	_, err = openStore(t, reader).Put(t.Context(), measured(2, 1), at(2))
	wants("a role that may not write", err, fault.Denied)
	if got := query(t, openStore(t, reader), history.Filter{}); len(got.Commits) != 1 {
		t.Errorf("a reader sees %+v", got)
	}
	if _, err := guarded.ExecContext(t.Context(), `UPDATE gopherwood_bench_schema SET version = 1000`); err != nil {
		t.Fatal(err)
	}
	_, err = history.Open(t.Context(), source)
	wants("a newer version", err, fault.Unsupported)
}
