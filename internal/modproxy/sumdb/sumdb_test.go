package sumdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func TestCheck(t *testing.T) {
	o := newOrigin(t, 300)
	d := o.open(t.TempDir(), func(opt *Options) { opt.Skip = "corp.example.com/Lib7,golang.org/*" })
	ctx := context.Background()
	m := mod(3)
	zip, mod3 := sumOf(m, "zip"), sumOf(m, "mod")
	mustCheck(t, d, 3, 299, 0)
	wantFault(t, d.Check(ctx, m, zip+"x", mod3), fault.Invalid, "verify zip of corp.example.com/Lib3@v1.3.0", "checksum mismatch", zip+"x", dbName+": "+zip, "do not use it")
	wantFault(t, d.Check(ctx, m, zip, zip), fault.Invalid, "verify go.mod of", mod3)
	wantFault(t, d.CheckMod(ctx, m, ""), fault.Invalid, mod3)
	if err := d.CheckMod(ctx, m, mod3); err != nil {
		t.Error(err)
	}
	if sum, goModSum, err := d.Sums(ctx, m); sum != zip || goModSum != mod3 || err != nil {
		t.Error(sum, goModSum, err)
	}
	wantFault(t, d.Check(ctx, module.Version{Path: "other.example.com/x", Version: "v1.0.0"}, zip, mod3), fault.NotFound,
		"look up other.example.com/x@v1.0.0", "not found: other.example.com/x@v1.0.0", "private")
	wantFault(t, d.Check(ctx, module.Version{Path: "corp.example.com/x", Version: "main"}, zip, mod3), fault.Usage)
}

func TestWhatIsNotCovered(t *testing.T) {
	o := newOrigin(t, 10)
	d := o.open("", func(opt *Options) { opt.Skip = "corp.example.com/Lib7,golang.org/*" })
	ctx := context.Background()
	private := module.Version{Path: "corp.example.com/Lib7/sub", Version: "v1.0.0"}
	if err := errors.Join(d.Check(ctx, private, "", ""), d.CheckMod(ctx, private, "")); err != nil {
		t.Error(err)
	}
	if _, err := d.Lookup(ctx, private); err == nil {
		t.Error("a private module was looked up")
	} else {
		wantFault(t, err, fault.Denied, "GONOSUMDB", private.Path)
	}
	if asked := o.asked(); len(asked) != 0 {
		t.Errorf("of a private module was asked %v", asked)
	}

	// As in the go command, toolchains cannot be skipped.
	release := module.Version{Path: toolchain, Version: "v0.0.1-go1.26.0.linux-amd64"}
	wantFault(t, d.Check(ctx, release, "h1:other", ""), fault.Invalid, "mismatch")
	if err := d.Check(ctx, release, sumOf(release, "zip"), sumOf(release, "mod")); err != nil {
		t.Error(err)
	}

	off := o.open("", func(opt *Options) { opt.Name = "off" })
	if off.Covers(release.Path) || off.Name() != "off" || off.Check(ctx, mod(1), "", "") != nil {
		t.Error("there is a database although it is off")
	}
}

// many checks modules 0 to n-1 from many goroutines, each more than once.
func many(t *testing.T, d *DB, n int) {
	t.Helper()
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			for i := range n {
				if err := check(d, (i*7+g)%n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestEverythingIsAskedOnce(t *testing.T) {
	const n = 700
	o := newOrigin(t, n)
	dir := t.TempDir()
	d := o.open(dir)
	many(t, d, n)
	asked := o.asked()
	tiles := 0
	for path, times := range asked {
		if strings.Contains(path, "/tile/") {
			tiles++
		}
		if times > 1 {
			t.Errorf("%s was asked for %d times", path, times)
		}
	}
	// Three tiles of leaves, one above them.
	if tiles > 4 || len(asked) > n+tiles+2 {
		t.Errorf("%d requests, %d for tiles", len(asked), tiles)
	}

	many(t, d, n)
	if asked := o.asked(); len(asked) != 0 {
		t.Errorf("what is in memory was asked for: %v", asked)
	}
	_ = d.Close()
	many(t, o.open(dir), n)
	if asked := o.asked(); len(asked) != 0 {
		t.Errorf("what is on disk was asked for: %v", asked)
	}
	many(t, o.open(dir, offline), n)
	many(t, o.open(dir, func(opt *Options) { opt.Memory = 30_000 }), 300)
	if asked := o.asked(); len(asked) != 0 {
		t.Errorf("what does not fit into memory was asked for: %v", asked)
	}
}

// A tree that grows between lookups leaves everything verified that was, also for
// a go command that begins when this proxy is offline.
func TestTheTreeGrows(t *testing.T) {
	o := newOrigin(t, 0)
	dir := t.TempDir()
	var all []int
	at := 0
	for _, size := range []int{1, 2, 3, 255, 256, 257, 300, 511, 512, 513, 700} {
		o.grow(o.db, at, size)
		at = size
		d := o.open(dir)
		for _, i := range []int{size - 1, size / 2, size} { // size is a new one
			mustCheck(t, d, i)
			all = append(all, i)
		}
		at++
		_ = d.Close()
	}
	off := o.open(dir, offline)
	mustCheck(t, off, all...)
	o.asked()
	newPeer(o, off).lookUp(t, all...)
	for _, i := range all { // each alone, first of all
		newPeer(o, off).lookUp(t, i)
	}
	if asked := o.asked(); len(asked) != 0 {
		t.Errorf("offline was asked %v", asked)
	}
	wantFault(t, check(off, 698), fault.Unavailable, "offline", "online")
	wantFault(t, check(o.open(t.TempDir(), offline), 0), fault.Unavailable, "offline")
}

// Go commands that already know a later tree are served, too.
func TestPeersWithAnotherTree(t *testing.T) {
	o := newOrigin(t, 400)
	d := o.open(t.TempDir())
	mustCheck(t, d, 5)
	p := newPeer(o, d)
	p.lookUp(t, 5, 6, 7)
	if n := slices.IndexFunc(p.requests, func(path string) bool { return path == "/latest" }); n >= 0 {
		t.Errorf("requests %q", p.requests)
	}

	o.grow(o.db, 400, 900)
	d.asked.Store(0) // as if some time had passed
	elsewhere := newPeer(o, o)
	elsewhere.lookUp(t, 899)
	elsewhere.handle = d
	elsewhere.lookUp(t, 5, 450, 898)

	late := o.open(t.TempDir())
	o.grow(o.db, 900, 1000)
	behind := newPeer(o, d)
	behind.lookUp(t, 20)
	behind.handle = late
	behind.lookUp(t, 21, 999, 5)
}

// An incomplete tile may be gone from the database when it is complete.
func TestIncompleteTilesThatAreGone(t *testing.T) {
	o := newOrigin(t, 200)
	d := o.open(t.TempDir())
	mustCheck(t, d, 1) // knows a tree of 200, and one incomplete tile
	fresh := o.open(t.TempDir())
	if _, err := fresh.Latest(context.Background()); err != nil {
		t.Fatal(err)
	}
	o.grow(o.db, 200, 300)
	o.lies(func(path string, status int, body []byte) (int, []byte) {
		if strings.HasPrefix(path, "/tile/8/0/000.p/") {
			return http.StatusNotFound, nil
		}
		return status, body
	})
	o.asked()
	partial := tlog.Tile{H: 8, L: 0, N: 0, W: 200}
	got, err := fresh.Tile(context.Background(), partial)
	if asked := o.asked(); asked["/sumdb/"+dbName+"/"+partial.Path()] != 1 || asked["/sumdb/"+dbName+"/tile/8/0/000"] != 1 {
		t.Errorf("asked for %v", asked)
	}
	want := ask(o, http.MethodGet, "/sumdb/"+dbName+"/tile/8/0/000").Body.Bytes()[:200*tlog.HashSize]
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	mustCheck(t, fresh, 7)
	mustCheck(t, d, 299, 1)
}

func TestSignedNonsense(t *testing.T) {
	o := newOrigin(t, 1)
	d := o.open("")
	signer, err := note.NewSigner(o.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"go.sum database tree\n9000000000000000000\n" + tlog.Hash{}.String() + "\n", "go.sum database tree\n-1\n" + tlog.Hash{}.String() + "\n", "a tree\n",
	} {
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.openHead(signed)
		wantFault(t, err, fault.Invalid, "the signed tree")
	}
}

func TestTwoProcessesShareADirectory(t *testing.T) {
	o := newOrigin(t, 300)
	dir := t.TempDir()
	a, b := o.open(dir), o.open(dir)
	var both sync.WaitGroup
	both.Go(func() { mustCheck(t, a, 1, 2, 299) })
	both.Go(func() { mustCheck(t, b, 1, 298, 3) })
	both.Wait()
	o.grow(o.db, 300, 600)
	mustCheck(t, a, 600)
	mustCheck(t, b, 601)
	if h, err := b.current(); err != nil || h.tree.N != 602 {
		t.Errorf("the tree has %v records, %v", h, err)
	}

	// What one process was told must fit what the other was.
	before, err := os.ReadFile(filepath.Join(dir, dbName, latestFile))
	if err != nil {
		t.Fatal(err)
	}
	c := o.open(dir)
	if _, err := c.current(); err != nil { // before the others go on
		t.Fatal(err)
	}
	o.grow(o.db, 602, 700)
	mustCheck(t, a, 700)
	after, _ := os.ReadFile(filepath.Join(dir, dbName, latestFile))
	if string(before) == string(after) {
		t.Fatal("the tree did not grow")
	}
	forked := o.newDB(602, "") // the same beginning,
	_, _ = forked.Lookup(context.Background(), mod(9999))
	o.grow(forked, 602, 800) // and another end
	o.forks(forked)
	err = check(c, 799)
	wantFault(t, err, fault.Invalid, "SECURITY ERROR")
	if !errors.Is(err, ErrMisbehaves) {
		t.Errorf("%v is not ErrMisbehaves", err)
	}
	if now, _ := os.ReadFile(filepath.Join(dir, dbName, latestFile)); string(now) != string(after) {
		t.Error("the tree on disk was replaced")
	}
}

func TestAskersMayGiveUp(t *testing.T) {
	o := newOrigin(t, 10)
	entered, release := make(chan struct{}), make(chan struct{})
	o.lies(func(path string, status int, body []byte) (int, []byte) {
		if strings.HasPrefix(path, "/lookup/") {
			close(entered)
			<-release
		}
		return status, body
	})
	d := o.open("")
	ctx, cancel := context.WithCancel(context.Background())
	gaveUp := make(chan error)
	go func() { gaveUp <- d.CheckMod(ctx, mod(1), "") }()
	<-entered
	stays := make(chan error)
	go func() { stays <- check(d, 1) }()
	cancel()
	wantFault(t, <-gaveUp, fault.Canceled)
	close(release) // one request is enough for the other: a second would close entered again
	if err := <-stays; err != nil {
		t.Error(err)
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	o := newOrigin(t, 10)
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	o.lies(func(path string, status int, body []byte) (int, []byte) {
		if path == "/supported" {
			close(entered)
			<-release
		}
		return status, body
	})
	d := o.open(t.TempDir())
	failed := make(chan error)
	go func() { failed <- check(d, 1) }()
	<-entered
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	wantFault(t, <-failed, fault.Canceled)
	wantFault(t, check(d, 2), fault.Canceled)
}

func TestLatest(t *testing.T) {
	o := newOrigin(t, 10)
	d := o.open(t.TempDir())
	latest := func(want int64) {
		t.Helper()
		data, err := d.Latest(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		h, err := d.openHead(data)
		if err != nil || h.tree.N != want {
			t.Errorf("%v, %v: want a tree of %d", h, err, want)
		}
	}
	latest(10)
	o.grow(o.db, 10, 20)
	latest(10) // a minute has not passed
	d.asked.Store(time.Now().Add(-2 * freshFor).UnixNano())
	latest(20)
	d.asked.Store(0)
	o.lies(func(string, int, []byte) (int, []byte) { return http.StatusServiceUnavailable, nil })
	latest(20)
	o.lies(func(string, int, []byte) (int, []byte) { return http.StatusOK, []byte("<html>") })
	_, err := d.Latest(context.Background())
	wantFault(t, err, fault.Invalid, "signature")
}

func TestTheDirectoryStaysWithinItsBound(t *testing.T) {
	const n, bound = 700, 96 << 10
	o := newOrigin(t, n)
	dir := t.TempDir()
	stale := filepath.Join(dir, dbName, tempDir, "killed")
	small := func(opt *Options) { opt.MaxBytes = bound }
	d := o.open(dir, small)
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(stale, old, old); err != nil {
		t.Fatal(err)
	}
	_ = d.Close()
	d = o.open(dir, small)
	for i := range n {
		mustCheck(t, d, i)
	}
	_ = d.Close()
	if _, err := os.Stat(stale); err == nil {
		t.Error("what a killed writer left is still there")
	}
	var total int64
	packs, _ := filepath.Glob(filepath.Join(dir, dbName, packPrefix+"*"))
	for _, name := range packs {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total < bound/2 || total > bound || len(packs) > packFiles+1 {
		t.Errorf("%d bytes in %d files, of %d", total, len(packs), bound)
	}
	d = o.open(dir, small)
	if _, ok := d.disk.readTile(tlog.Tile{H: height, L: 0, N: 2, W: n - 512}); !ok {
		t.Error("the incomplete tile is gone")
	}
	mustCheck(t, d, n-1, 0)
}

func TestBadOptions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := newOrigin(t, 0)
	for _, opt := range []Options{
		{}, {Name: "sum.example.com"}, {Name: o.vkey + " https://a https://b"}, {Name: o.vkey + "x"},
		{Name: o.vkey + " ftp://a"}, {Name: o.vkey + " https://user:secret@a:b"},
		{Name: o.vkey, Upstreams: "noproxy"}, {Name: o.vkey, Upstreams: "ftp://a.example.com"}, {Name: o.vkey, Upstreams: "https://user:secret@a:b"},
		{Name: o.vkey, Dir: file},
	} {
		_, err := New(opt)
		if err == nil {
			t.Errorf("%+v: no error", opt)
			continue
		}
		if fault.HintOf(err) == "" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, %s", opt, err, fault.HintOf(err))
		}
	}
	for _, name := range []string{"", "a/../b", "a?b", "a b", "/a", "a/", "user@a"} {
		if _, err := databaseURL(name); err == nil {
			t.Errorf("%q is a database's name", name)
		}
	}
}

func TestKnownDatabases(t *testing.T) {
	for name, want := range map[string]string{
		"sum.golang.org": "https://sum.golang.org", "sum.golang.google.cn": "https://sum.golang.google.cn",
	} {
		db, err := parseDatabase(name)
		if err != nil || db.name != "sum.golang.org" || db.address.String() != want || db.only != (name != db.name) {
			t.Errorf("%s: %+v, %v", name, db, err)
		}
	}
}

func BenchmarkCheckInMemory(b *testing.B) {
	o := newOrigin(b, 300)
	d := o.open("")
	if err := check(d, 3); err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := check(d, 3); err != nil {
				b.Error(err)
			}
		}
	})
}

func ExampleDB_Check() {
	d, err := New(Options{Name: "off"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()
	fmt.Println(d.Name(), d.Covers("example.com/m"))
	fmt.Println(d.Check(context.Background(), module.Version{Path: "example.com/m", Version: "v1.0.0"}, "h1:…", "h1:…"))
	// Output:
	// off false
	// <nil>
}
