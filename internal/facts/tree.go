package facts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// treeAhead is how many files a job may be measured ahead of the one that is
// next to be yielded.
const treeAhead = 256

// walkTree measures the Go executables below dir, several at once, and yields one
// subject for each, sorted by name directory by directory. Packed executables
// count as Go's, since they cannot be told apart. Symbolic links are not followed,
// and of several hard links the first counts. What cannot be read, and executables
// that are corrupt, are errors in their place.
func walkTree(ctx context.Context, ref, dir string, opt Options) iter.Seq2[*Subject, error] {
	return func(yield func(*Subject, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		w := newTreeWalk(ctx, ref, dir, opt)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(w.list)
		for range opt.Jobs {
			running.Go(w.work)
		}
		for c := range w.ordered {
			<-c.done
			if ctx.Err() != nil {
				break
			}
			if c.err == nil && c.facts == nil {
				continue
			}
			if !yield(w.subject(c)) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, fileError(dir, err))
		}
	}
}

// treeWalk is a walk under way: list finds candidates, work measures them, and
// ordered keeps them in order for who yields them.
type treeWalk struct {
	ctx      context.Context
	ref, dir string
	opt      Options
	entries  int
	linked   map[fileID]bool
	todo     chan *candidate
	ordered  chan *candidate
}

// candidate is a regular file that may be a Go executable. done is closed once
// facts or err is set; neither is when it is something else.
type candidate struct {
	path, name string
	done       chan struct{}
	facts      *api.Facts
	err        error
}

func newTreeWalk(ctx context.Context, ref, dir string, opt Options) *treeWalk {
	return &treeWalk{
		ctx: ctx, ref: ref, dir: dir, opt: opt,
		entries: opt.Limits.Entries,
		linked:  map[fileID]bool{},
		todo:    make(chan *candidate, treeAhead*opt.Jobs),
		ordered: make(chan *candidate, treeAhead*opt.Jobs),
	}
}

func (w *treeWalk) subject(c *candidate) (*Subject, error) {
	if c.err != nil {
		return nil, fileError(c.path, c.err)
	}
	c.facts.Ref, c.facts.Path = w.ref, c.name
	return &Subject{Ref: w.ref, Platform: c.facts.Platform, Files: []api.Facts{*c.facts}}, nil
}

// list sends every candidate to todo and ordered, and closes both.
func (w *treeWalk) list() {
	defer close(w.ordered)
	defer close(w.todo)
	if err := w.walk(w.dir, ""); err != nil && w.ctx.Err() == nil {
		w.fail(w.dir, err)
	}
}

// fail puts an error in the order.
func (w *treeWalk) fail(path string, err error) bool {
	c := &candidate{path: path, err: err, done: make(chan struct{})}
	close(c.done)
	return w.send(w.ordered, c)
}

func (w *treeWalk) send(to chan *candidate, c *candidate) bool {
	select {
	case to <- c:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// walk lists one directory; its error ends the whole walk.
func (w *treeWalk) walk(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !w.fail(dir, err) {
		return w.ctx.Err()
	}
	for _, e := range entries {
		if w.entries--; w.entries < 0 {
			return &fault.Error{Code: fault.Limit, Err: errors.New("the tree has too many files"), Hint: "raise the limit with --max-entries"}
		}
		path, name := filepath.Join(dir, e.Name()), filepath.ToSlash(filepath.Join(name, e.Name()))
		switch {
		case e.IsDir():
			if err := w.walk(path, name); err != nil {
				return err
			}
		case e.Type().IsRegular():
			if !w.candidate(path, name, e) {
				return w.ctx.Err()
			}
		}
	}
	return w.ctx.Err()
}

// candidate sends one regular file on its way; false means that nobody listens.
func (w *treeWalk) candidate(path, name string, e fs.DirEntry) bool {
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return true // it was removed since
	}
	if err != nil {
		return w.fail(path, err)
	}
	if info.Size() < exe.HeadSize {
		return true
	}
	if id, linked := linkID(info); linked {
		if w.linked[id] {
			return true
		}
		w.linked[id] = true
	}
	c := &candidate{path: path, name: name, done: make(chan struct{})}
	if !w.send(w.ordered, c) {
		return false
	}
	if !w.send(w.todo, c) {
		close(c.done)
		return false
	}
	return true
}

func (w *treeWalk) work() {
	m := measurer{opt: w.opt}
	for c := range w.todo {
		if w.ctx.Err() == nil {
			c.facts, c.err = w.measure(&m, c.path)
		}
		close(c.done)
	}
}

// measure returns the facts of a Go executable, and nil for other files. Those
// that are none cost a look at their first bytes.
func (w *treeWalk) measure(m *measurer, path string) (*api.Facts, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openNonblock|openNofollow, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !isExecutable(f) {
		return nil, nil
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w any more", errIrregular)
	}
	facts, err := m.measure(f, info.Size())
	if errors.Is(err, exe.ErrNotExecutable) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if facts.Go == nil && facts.Hardening.Packed == "" {
		return nil, nil
	}
	return facts, m.digest(w.ctx, f, facts)
}
