package history

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// SQLite's result codes, as sqlite.org/rescode.html has them.
const (
	sqlitePerm     = 3
	sqliteBusy     = 5
	sqliteLocked   = 6
	sqliteReadOnly = 8
	sqliteIOError  = 10
	sqliteCorrupt  = 11
	sqliteFull     = 13
	sqliteCantOpen = 14
	sqliteNotADB   = 26
)

// failed says what failed on which store; nil when err is.
func failed(op, input string, err error) error {
	if err == nil {
		return nil
	}
	code, hint := classify(err)
	return &fault.Error{Code: code, Op: op, Input: input, Err: err, Hint: hint}
}

func classify(err error) (fault.Code, string) {
	var known *fault.Error
	var file *sqlite.Error
	var server *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.Is(err, context.Canceled):
		return fault.Canceled, ""
	case errors.As(err, &known):
		return fault.CodeOf(err), fault.HintOf(err)
	case errors.As(err, &file):
		return classifySQLite(file.Code() & 0xff)
	case errors.As(err, &server):
		return classifyPostgres(server.Code)
	case errors.As(err, &connect):
		return fault.Unavailable, "is the server running, and reachable from here?"
	}
	return fault.CodeOf(err), ""
}

func classifySQLite(code int) (fault.Code, string) {
	switch code {
	case sqliteBusy, sqliteLocked:
		return fault.Unavailable, "another process is writing to it: try again"
	case sqlitePerm, sqliteReadOnly:
		return fault.Denied, "make the file and its directory writable"
	case sqliteCantOpen:
		return fault.Denied, "name a file in a directory that can be written to"
	case sqliteFull:
		return fault.Unavailable, "the disk is full"
	case sqliteIOError:
		return fault.Unavailable, "SQLite needs a local file system: keep the file on one, or use PostgreSQL"
	case sqliteNotADB, sqliteCorrupt:
		return fault.Invalid, "it is damaged or no history: restore it, or name another file"
	}
	return fault.Internal, ""
}

// classifyPostgres knows classes of SQLSTATE, the first two characters, and some
// conditions (PostgreSQL's manual, appendix A).
func classifyPostgres(state string) (fault.Code, string) {
	switch {
	case state == "3D000":
		return fault.NotFound, "make the database: createdb"
	case state == "42501", state == "25006":
		return fault.Denied, "the role has to make tables once, and to read and write them"
	case strings.HasPrefix(state, "28"):
		return fault.Denied, "put the password into PGPASSWORD or ~/.pgpass"
	case strings.HasPrefix(state, "08"), strings.HasPrefix(state, "53"), strings.HasPrefix(state, "57"), strings.HasPrefix(state, "40"):
		return fault.Unavailable, "try again"
	}
	return fault.Internal, ""
}
