package history

// migrations has the statements that make each version of the tables of the one
// before; the first makes them. What is there is never changed: stores of all
// versions exist.
//
// Times are in seconds of Unix time. Lists are JSON arrays: the hashes of
// parents; the iterations of a series; the values of a metric in the order of
// its samples, null where a sample lacks it. The document of a run is its JSON
// without the series, and its id the SHA-256 of its JSON with them.
var migrations = [][]string{
	{
		`CREATE TABLE gopherwood_bench_schema (version BIGINT NOT NULL)`,
		`INSERT INTO gopherwood_bench_schema VALUES (1)`,
		`CREATE TABLE gopherwood_bench_commits (
			hash TEXT PRIMARY KEY,
			time BIGINT NOT NULL,
			parents TEXT NOT NULL
		)`,
		`CREATE TABLE gopherwood_bench_runs (
			id TEXT PRIMARY KEY,
			commit_hash TEXT NOT NULL REFERENCES gopherwood_bench_commits (hash),
			machine TEXT NOT NULL,
			time BIGINT NOT NULL,
			document TEXT NOT NULL
		)`,
		`CREATE INDEX gopherwood_bench_runs_commit ON gopherwood_bench_runs (commit_hash)`,
		`CREATE TABLE gopherwood_bench_series (
			run_id TEXT NOT NULL REFERENCES gopherwood_bench_runs (id) ON DELETE CASCADE,
			position BIGINT NOT NULL,
			package TEXT NOT NULL,
			name TEXT NOT NULL,
			procs BIGINT NOT NULL,
			iterations TEXT NOT NULL,
			PRIMARY KEY (run_id, position)
		)`,
		`CREATE TABLE gopherwood_bench_samples (
			run_id TEXT NOT NULL,
			position BIGINT NOT NULL,
			metric TEXT NOT NULL,
			samples TEXT NOT NULL,
			PRIMARY KEY (run_id, position, metric),
			FOREIGN KEY (run_id, position) REFERENCES gopherwood_bench_series (run_id, position) ON DELETE CASCADE
		)`,
	},
	{
		`ALTER TABLE gopherwood_bench_commits ADD COLUMN subject TEXT NOT NULL DEFAULT ''`,
	},
}

// dialect is where the databases differ.
type dialect struct {
	// numbered says that placeholders are $1, $2 and not ?.
	numbered bool
	// countTables counts the table of the version and, where a database is to
	// have no other tables, all others.
	countTables string
	// lockSchema makes other processes wait that make or change the tables, and
	// lockCommits those that add runs, until the transaction ends.
	lockSchema, lockCommits string
}

var sqliteDialect = dialect{
	countTables: `SELECT count(CASE WHEN name = 'gopherwood_bench_schema' THEN 1 END),
		count(CASE WHEN name <> 'gopherwood_bench_schema' THEN 1 END) FROM sqlite_master`,
	// A transaction has the only lock there is.
	lockSchema:  `SELECT 1`,
	lockCommits: `SELECT 1`,
}

var postgresDialect = dialect{
	numbered: true,
	// Not to_regclass: it does not see what others made since the transaction began.
	countTables: `SELECT count(*), 0 FROM pg_catalog.pg_tables
		WHERE tablename = 'gopherwood_bench_schema' AND schemaname = ANY (current_schemas(false))`,
	// The key is any number that nobody else has.
	lockSchema:  `SELECT pg_advisory_xact_lock(7166088317442110000)`,
	lockCommits: `LOCK TABLE gopherwood_bench_commits IN SHARE ROW EXCLUSIVE MODE`,
}
