package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// connectTimeout bounds the wait for a PostgreSQL server when the source does not.
const connectTimeout = 10 * time.Second

// Open opens a store, and makes it if need be. The source is the path of an
// SQLite file, the same after "sqlite:", or a postgres:// URL as libpq has them
// (with PGHOST, PGPASSWORD, ~/.pgpass and so on for what it does not say). The
// tables of PostgreSQL are in the first schema of the search path, with names
// that begin with gopherwood_bench_.
//
// A store of an older version is brought to this one. One of a newer version is
// refused with Unsupported, a file that is something else with Invalid.
func Open(ctx context.Context, source string) (Store, error) {
	return openSource(ctx, source, true)
}

// OpenExisting is Open of a store that is there already; what is none yet is
// NotFound, and nothing is made.
func OpenExisting(ctx context.Context, source string) (Store, error) {
	return openSource(ctx, source, false)
}

func openSource(ctx context.Context, named string, create bool) (Store, error) {
	where, err := parseSource(named)
	if err != nil {
		return nil, err
	}
	where.create = create
	if where.url != "" {
		return openPostgres(ctx, where)
	}
	return openSQLite(ctx, where)
}

// source is a parsed source: a path or a URL, how it is shown, and whether it is
// made if need be.
type source struct {
	path, url, name string
	create          bool
}

func parseSource(s string) (source, error) {
	path, isFile := strings.CutPrefix(s, "sqlite://")
	if !isFile {
		path, isFile = strings.CutPrefix(s, "sqlite:")
	}
	scheme, _, isURL := strings.Cut(s, "://")
	switch {
	case path == "" || strings.ContainsRune(s, 0):
		return source{}, wrongSource(strings.ReplaceAll(s, "\x00", "�"), errors.New("it names no file and no database"))
	case isFile || !isURL:
		return source{path: path, name: path}, nil
	case scheme == "postgres" || scheme == "postgresql":
		u, err := url.Parse(s)
		if err != nil {
			// What url.Parse says repeats the password.
			return source{}, wrongSource(scheme+"://…", errors.New("it is no URL"))
		}
		return source{url: s, name: withoutPassword(u)}, nil
	}
	return source{}, wrongSource(scheme+"://…", errors.New("no such kind of store"))
}

func wrongSource(input string, err error) error {
	return &fault.Error{Code: fault.Usage, Op: "open history", Input: input, Err: err,
		Hint: "name an SQLite file, or a database as postgres://USER@HOST/DATABASE"}
}

// withoutPassword drops also the query, where a password may be as well.
func withoutPassword(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.User.Username() != "" {
		shown.User = url.User(u.User.Username())
	}
	return shown.String()
}

func openSQLite(ctx context.Context, where source) (Store, error) {
	path, err := filepath.Abs(where.path)
	if err != nil {
		return nil, failed("open history", where.name, err)
	}
	if where.create {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	} else if _, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		err = noStore
	}
	if err != nil {
		return nil, failed("open history", where.name, err)
	}
	connector, err := sqlite.NewConnector(sqliteURI(path))
	if err != nil {
		return nil, failed("open history", where.name, err)
	}
	return open(ctx, &database{db: sql.OpenDB(connector), dialect: sqliteDialect, name: where.name, now: time.Now}, where.create)
}

// sqliteURI names a file, to be used by many processes: writers wait for each
// other, and readers for nobody.
func sqliteURI(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/…
	}
	u := url.URL{Scheme: "file", Path: path}
	u.RawQuery = url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}.Encode()
	return u.String()
}

func openPostgres(ctx context.Context, where source) (Store, error) {
	config, err := pgx.ParseConfig(where.url)
	if err != nil {
		return nil, wrongSource(where.name, errors.New("PostgreSQL's client cannot use this URL"))
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	return open(ctx, &database{db: stdlib.OpenDB(*config), dialect: postgresDialect, name: where.name, now: time.Now}, where.create)
}

// noStore is the error of what is to be there and is not.
var noStore = &fault.Error{Code: fault.NotFound, Err: errors.New("there is no history"),
	Hint: "check the name; 'gopherwood bench history add' makes one"}

func open(ctx context.Context, d *database, create bool) (Store, error) {
	if err := d.migrate(ctx, create); err != nil {
		return nil, errors.Join(failed("open history", d.name, err), d.db.Close())
	}
	return d, nil
}

// migrate makes the tables if it may, or brings those of an older version to this one.
func (d *database) migrate(ctx context.Context, create bool) error {
	version, err := d.version(ctx, d.db)
	if err != nil || version == len(migrations) {
		return err
	}
	if version == 0 && !create {
		return noStore
	}
	return d.transact(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, d.dialect.lockSchema); err != nil {
			return err
		}
		version, err := d.version(ctx, tx)
		if err != nil {
			return err
		}
		for _, statements := range migrations[version:] {
			for _, statement := range statements {
				if _, err := tx.ExecContext(ctx, statement); err != nil {
					return err
				}
			}
		}
		_, err = d.exec(ctx, tx, `UPDATE gopherwood_bench_schema SET version = ?`, len(migrations))
		return err
	})
}

// version returns the version of the tables, 0 when there are none.
func (d *database) version(ctx context.Context, q querier) (int, error) {
	var own, others int
	if err := q.QueryRowContext(ctx, d.dialect.countTables).Scan(&own, &others); err != nil {
		return 0, err
	}
	switch {
	case own == 0 && others > 0:
		return 0, &fault.Error{Code: fault.Invalid, Err: errors.New("the file is a database of another program"), Hint: "name another file"}
	case own == 0:
		return 0, nil
	}
	var version int
	if err := q.QueryRowContext(ctx, `SELECT max(version) FROM gopherwood_bench_schema`).Scan(&version); err != nil {
		return 0, err
	}
	if version > len(migrations) {
		return 0, &fault.Error{Code: fault.Unsupported,
			Err:  fmt.Errorf("its format has version %d, and this program knows those up to %d", version, len(migrations)),
			Hint: "use the version of gopherwood that wrote it, or a newer one"}
	}
	if version < 1 {
		return 0, &fault.Error{Code: fault.Invalid, Err: fmt.Errorf("its format has version %d, which never was", version)}
	}
	return version, nil
}
