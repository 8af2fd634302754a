package bench

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/base/filelock"
	"github.com/gopherwood-dev/gopherwood/internal/bench/judge"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// journal keeps what a gate has measured until it is decided, a JSON document a
// line: the roster first, then a step each. It is there for the next gate that
// compares the same programs in the same way.
type journal struct {
	file *os.File
	out  *bufio.Writer
	// resumed says that the roster is of an interrupted gate, whose steps are left.
	resumed bool
	steps   []step
	done    bool
}

// opening is the first line.
type opening struct {
	Format string `json:"format"`
	Seed   uint64 `json:"seed"`
	Roster roster `json:"roster"`
}

const (
	journalFormat = "gopherwood-bench-gate/1"
	// stale is how old a journal may be: the machine is another one after that.
	stale = 6 * time.Hour
	// maxJournal bounds what is read of one.
	maxJournal = 1 << 30
)

// openJournal opens the journal of what is compared. Where another gate compares the
// same just now, it is one that keeps nothing.
func (g *gate) openJournal() (*journal, error) {
	dir := filepath.Join(g.CacheDir, "gates")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, journalError(dir, err)
	}
	name := filepath.Join(dir, g.key()+".ndjson")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, journalError(name, err)
	}
	j := &journal{file: f}
	if ok, err := filelock.TryLock(f); err != nil || !ok || !isNamed(f, name) {
		return &journal{}, f.Close()
	}
	forget(dir)
	if !g.opt.Fresh {
		g.resume(j)
	}
	if !j.resumed {
		if err := errors.Join(f.Truncate(0), seekStart(f)); err != nil {
			return nil, errors.Join(journalError(name, err), f.Close())
		}
	}
	j.out = bufio.NewWriter(f)
	return j, nil
}

// isNamed says whether f is still what is called name: the gate that had its lock
// may have removed it.
func isNamed(f *os.File, name string) bool {
	at, errAt := os.Stat(name)
	open, errOpen := f.Stat()
	return errAt == nil && errOpen == nil && os.SameFile(at, open)
}

// forget removes journals that are too old to go on with.
func forget(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > stale {
			_ = os.Remove(filepath.Join(dir, e.Name())) // another may have been faster
		}
	}
}

func seekStart(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

func journalError(name string, err error) error {
	return &fault.Error{Code: fault.CodeOf(err), Op: "keep what is measured in", Input: name, Err: err, Hint: "name another directory with GOPHERWOOD_CACHE_DIR"}
}

// key names what is compared, and how.
func (g *gate) key() string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	_ = enc.Encode([]any{ // a hash takes everything
		journalFormat, g.Bench, g.Settings, g.TestFlags, g.opt.Seed, g.opt.Budget, g.opt.Alpha, g.opt.Limits.Key(), g.opt.Always, g.before.ID,
		g.base.facts().Binaries, g.head.facts().Binaries, g.base.Tree, g.head.Tree, g.counted != nil,
	})
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// resume takes over the roster and the steps that are in the journal. Whatever is
// wrong with it makes it a new one.
func (g *gate) resume(j *journal) {
	info, err := j.file.Stat()
	if err != nil || info.Size() == 0 || info.Size() > maxJournal || time.Since(info.ModTime()) > stale {
		return
	}
	r := bufio.NewReader(j.file)
	var first opening
	kept, err := readLine(r, &first)
	if err != nil || first.Format != journalFormat {
		return
	}
	for {
		var s step
		n, err := readLine(r, &s)
		if err != nil || s.Benchmark < 0 || s.Benchmark >= len(first.Roster.Subjects) || (s.Round == nil) == (s.Dropped == nil) {
			break
		}
		kept += n
		j.steps = append(j.steps, s)
	}
	if err := j.file.Truncate(kept); err != nil { // what was half written
		return
	}
	if _, err := j.file.Seek(kept, io.SeekStart); err != nil {
		return
	}
	j.resumed, g.Seed, g.roster = true, first.Seed, first.Roster
	g.note(fmt.Sprintf("an interrupted gate is continued: %d rounds were measured %s ago", len(j.steps), time.Since(info.ModTime()).Round(time.Second)))
}

// readLine decodes a whole line and returns how long it is.
func readLine(r *bufio.Reader, v any) (int64, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return 0, err
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	return int64(len(line)), dec.Decode(v)
}

// begin writes the first line.
func (j *journal) begin(seed uint64, r roster) error { return j.write(opening{journalFormat, seed, r}) }

// next returns the next step that an interrupted gate has taken, if it is of the plan.
func (j *journal) next(p judge.Plan) (step, bool) {
	if len(j.steps) == 0 {
		return step{}, false
	}
	s := j.steps[0]
	j.steps = j.steps[1:]
	if s.Benchmark != p.Benchmark {
		j.steps = nil // of another version of Gopherwood
		return step{}, false
	}
	return s, true
}

func (j *journal) add(s step) error { return j.write(s) }

func (j *journal) write(v any) error {
	if j.out == nil {
		return nil
	}
	line, err := json.Marshal(v)
	if err == nil {
		_, err = j.out.Write(append(line, '\n'))
	}
	if err = errors.Join(err, j.out.Flush()); err != nil {
		return journalError(j.file.Name(), err)
	}
	return nil
}

// finish forgets what was measured: the gate is decided.
func (j *journal) finish() { j.done = true }

// close leaves the file to the next gate, unless the gate is decided.
func (j *journal) close() error {
	if j == nil || j.file == nil {
		return nil
	}
	if !j.done {
		return j.file.Close()
	}
	// Windows removes no file that is open. Another gate that opens it before it is
	// removed finds it empty.
	emptied, removed := j.file.Truncate(0), os.Remove(j.file.Name())
	closed := j.file.Close()
	if removed != nil {
		removed = os.Remove(j.file.Name())
	}
	if removed == nil {
		emptied = nil
	}
	return errors.Join(emptied, closed)
}
