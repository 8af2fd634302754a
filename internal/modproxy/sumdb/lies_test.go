package sumdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// on lies about the paths with the prefix only.
func on(prefix string, f func(body []byte) []byte) func(string, int, []byte) (int, []byte) {
	return func(path string, status int, body []byte) (int, []byte) {
		if strings.HasPrefix(path, prefix) {
			return status, f(bytes.Clone(body))
		}
		return status, body
	}
}

func flip(at int) func([]byte) []byte {
	return func(body []byte) []byte { body[at] ^= 1; return body }
}

func TestLiesAreFoundAndNothingOfThemIsKept(t *testing.T) {
	replace := func(old, new string) func([]byte) []byte {
		return func(body []byte) []byte { return bytes.Replace(body, []byte(old), []byte(new), 1) }
	}
	for name, tc := range map[string]struct {
		lie  func(string, int, []byte) (int, []byte)
		want string
	}{
		"a hash in a tile":      {on("/tile/8/0/", flip(5*tlog.HashSize)), "inconsistent tile"},
		"a hash of the asked":   {on("/tile/8/0/", flip(0)), "inconsistent tile"},
		"a hash further up":     {on("/tile/8/1/", flip(3)), "inconsistent tile"},
		"a short tile":          {on("/tile/8/0/", func(b []byte) []byte { return b[:64] }), "it has 64 bytes"},
		"a long tile":           {on("/tile/8/0/", func(b []byte) []byte { return make([]byte, 10_000) }), "longer than 8192 bytes"},
		"a sum":                 {on("/lookup/", replace("h1:", "h1:AAAA")), "not the one that is in the tree"},
		"another module's":      {on("/lookup/", replace("Lib5 ", "Lib6 ")), "not the one that is in the tree"},
		"another number":        {on("/lookup/", replace("5\n", "6\n")), "not the one that is in the tree"},
		"a number not in it":    {on("/lookup/", replace("5\n", "300\n")), "is not in the tree of 300"},
		"a negative number":     {on("/lookup/", replace("5\n", "-5\n")), "is not in the tree"},
		"a signature":           {on("/lookup/", replace("\n— "+dbName+" ", "\n— "+dbName+" AAAA")), "signature"},
		"no signature":          {on("/lookup/", func(b []byte) []byte { return b[:bytes.Index(b, []byte("\n—"))] }), "signature"},
		"the size of the tree":  {on("/lookup/", replace("go.sum database tree\n300\n", "go.sum database tree\n299\n")), "signature"},
		"HTML":                  {on("/lookup/", func([]byte) []byte { return []byte("<html>Log in, please</html>") }), "malformed record"},
		"nothing":               {on("/lookup/", func([]byte) []byte { return nil }), "malformed record"},
		"an endless answer":     {on("/lookup/", func([]byte) []byte { return make([]byte, 3<<20) }), "longer than"},
		"the latest tree (not)": {on("/latest", flip(40)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, 300)
			dir := t.TempDir()
			d := o.open(dir)
			o.lies(tc.lie)
			if tc.want == "" { // nothing depends on it
				mustCheck(t, d, 5)
				return
			}
			err := check(d, 5)
			if code := fault.CodeOf(err); code != fault.Invalid && code != fault.Limit || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("%v, want %q", err, tc.want)
			}
			off := o.open(dir, offline)
			if err := check(off, 5); fault.CodeOf(err) != fault.Unavailable {
				t.Errorf("after the lie: %v", err)
			}
			o.lies(nil)
			mustCheck(t, d, 5, 6, 299) // the truth counts again
			newPeer(o, d).lookUp(t, 5, 6, 299)
		})
	}
}

// A database that shows another tree, signed with its own key, is found out.
func TestForks(t *testing.T) {
	for name, tc := range map[string]struct{ known, forked, ask int }{
		"larger":            {300, 400, 399},
		"much larger":       {300, 900, 800},
		"as large":          {300, 300, 299},
		"smaller":           {300, 200, 199},
		"after one record":  {1, 2, 1},
		"from a full tile":  {256, 512, 511},
		"past a level":      {255, 258, 257},
		"with another past": {700, 701, 3},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrigin(t, tc.known)
			dir := t.TempDir()
			d := o.open(dir)
			mustCheck(t, d, 0, tc.known-1)
			if _, err := d.Latest(context.Background()); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(filepath.Join(dir, dbName, latestFile))
			if err != nil {
				t.Fatal(err)
			}
			o.forks(o.newDB(tc.forked, "other"))
			m := mod(tc.ask)
			for _, client := range []*DB{d, o.open(dir)} {
				if tc.ask == tc.known-1 || tc.ask == 0 {
					continue // known already
				}
				err := client.CheckMod(context.Background(), m, sumOf(m, "modother"))
				if !errors.Is(err, ErrMisbehaves) {
					t.Fatalf("%v", err)
				}
				wantFault(t, err, fault.Invalid, "old tree:", "new tree:", "proof:", "\tgo.sum database tree", fmt.Sprintf("\t%d\n", tc.known), "keep this text")
			}
			d.asked.Store(0)
			if _, err := d.Latest(context.Background()); !errors.Is(err, ErrMisbehaves) {
				t.Errorf("latest: %v", err)
			}
			if after, _ := os.ReadFile(filepath.Join(dir, dbName, latestFile)); !bytes.Equal(before, after) {
				t.Error("the tree on disk was replaced")
			}
			// Nothing of the fork was kept.
			mustCheck(t, o.open(dir, offline), 0, tc.known-1)
			o.forks(nil)
			newPeer(o, o.open(dir)).lookUp(t, 0, tc.known-1)
		})
	}
}

// Whatever happens to the files, what is checked is right, and what is not the
// signed tree is got again.
func TestDamagedFiles(t *testing.T) {
	damages := map[string]func([]byte) []byte{
		"empty":   func([]byte) []byte { return nil },
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"start":   flip(0),
		"middle":  func(b []byte) []byte { return flip(len(b) / 2)(b) },
		"end":     func(b []byte) []byte { return flip(len(b) - 1)(b) },
		"longer":  func(b []byte) []byte { return append(b, b...) },
		"garbage": func(b []byte) []byte { return bytes.Repeat([]byte{0xA5}, len(b)) },
	}
	o := newOrigin(t, 300)
	master := t.TempDir()
	d := o.open(master)
	mustCheck(t, d, 0, 5, 299)
	_ = d.Close()
	files := map[string][]byte{}
	err := filepath.WalkDir(master, func(name string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			short, _ := filepath.Rel(master, name)
			files[short], err = os.ReadFile(name)
		}
		return err
	})
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for damaged := range files {
		for name, damage := range damages {
			if len(files[damaged]) == 0 {
				continue
			}
			t.Run(filepath.Base(damaged)+" "+name, func(t *testing.T) {
				dir := t.TempDir()
				for file, data := range files {
					if file == damaged {
						data = damage(bytes.Clone(data))
					}
					if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				d := o.open(dir)
				if filepath.Base(damaged) == latestFile {
					wantFault(t, check(d, 5), fault.Invalid, latestFile, "restore")
					return
				}
				mustCheck(t, d, 0, 5, 299, 7)
				newPeer(o, d).lookUp(t, 0, 5, 299, 7)
				_ = d.Close()
				off := o.open(dir, offline) // it was mended
				mustCheck(t, off, 0, 5, 299, 7)
				newPeer(o, off).lookUp(t, 0, 5, 299, 7)
			})
		}
	}
}

// A failing upstream is asked again by the next one who wants to know.
func TestErrorsAreNotKept(t *testing.T) {
	o := newOrigin(t, 300)
	d := o.open(t.TempDir())
	for _, prefix := range []string{"/supported", "/lookup/", "/tile/"} {
		o.lies(func(path string, status int, body []byte) (int, []byte) {
			if strings.HasPrefix(path, prefix) {
				return http.StatusBadGateway, []byte("try later")
			}
			return status, body
		})
		wantFault(t, check(d, 5), fault.Unavailable, "502 Bad Gateway", prefix)
	}
	o.lies(nil)
	mustCheck(t, d, 5)
}
