package sumdb

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func openPack(t interface{ Fatal(...any) }, dir string, max int64) *pack {
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	return newPack(root, max)
}

// Several processes that write, read, end and begin again see what was written.
func TestPackIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "pack")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		packs := make([]*pack, 3)
		for i := range packs {
			packs[i] = openPack(t, dir, 1<<20)
		}
		model := map[string][]byte{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			p := rapid.IntRange(0, len(packs)-1).Draw(t, "process")
			key := "k" + strconv.Itoa(rapid.IntRange(0, 9).Draw(t, "key"))
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				if model[key] == nil { // the content of a key never changes
					model[key] = rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "value")
				}
				packs[p].put(key, model[key])
			case 1, 2:
				got, ok := packs[p].get(key)
				if want, there := model[key]; ok != there || !bytes.Equal(got, want) {
					t.Fatalf("%s: %q %v, want %q", key, got, ok, want)
				}
			case 3:
				packs[p].close()
				packs[p] = openPack(t, dir, 1<<20)
			}
		}
		files, _ := filepath.Glob(filepath.Join(dir, packPrefix+"*"))
		if len(files) > len(packs) {
			t.Fatalf("%d files for %d processes", len(files), len(packs))
		}
		for _, p := range packs {
			p.close()
		}
	})
}

func TestPackForgetsTheOldest(t *testing.T) {
	const max = 64 << 10
	dir := t.TempDir()
	p, other := openPack(t, dir, max), openPack(t, dir, max)
	defer other.close()
	value := bytes.Repeat([]byte{1}, 1000)
	for i := range 500 {
		p.put(strconv.Itoa(i), value)
		if _, ok := other.get(strconv.Itoa(i)); !ok {
			t.Fatalf("another process does not see %d", i)
		}
	}
	for i, want := range map[int]bool{0: false, 100: false, 460: true, 499: true} {
		for _, p := range []*pack{p, other} {
			if _, ok := p.get(strconv.Itoa(i)); ok != want {
				t.Errorf("%d is there: %v", i, ok)
			}
		}
	}
	if n := len(p.files); n > packFiles+1 {
		t.Errorf("%d files", n)
	}
	p.put("", value)
	p.put(strings.Repeat("k", maxKey+1), value)
	p.put("large", make([]byte, maxValue+1))
	if _, ok := p.get("large"); ok {
		t.Error("what is too large was kept")
	}
}

func TestPackGoesOnBehindWhatIsCut(t *testing.T) {
	dir := t.TempDir()
	whole := appendEntry(appendEntry(nil, "a", []byte("one")), "b", []byte("two"))
	for cut := range len(whole) {
		name := filepath.Join(dir, packPrefix+"00000001")
		if err := os.WriteFile(name, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		p := openPack(t, dir, 1<<20)
		p.put("c", []byte("three"))
		p.close()
		p = openPack(t, dir, 1<<20)
		if got, ok := p.get("c"); !ok || string(got) != "three" {
			t.Errorf("cut at %d: %q, %v", cut, got, ok)
		}
		if got, ok := p.get("a"); ok && string(got) != "one" || ok != (cut >= headerSize+4) {
			t.Errorf("cut at %d: a is %q, %v", cut, got, ok)
		}
		p.close()
	}
}

func TestPackOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	p := openPack(t, dir, 1<<20)
	p.put("a", []byte("one"))
	_ = p.active.f.Close() // writes fail from now on
	p.put("b", []byte("two"))
	if _, ok := p.get("b"); ok {
		t.Error("what was not written is there")
	}
	p.close()
}

func FuzzPack(f *testing.F) {
	f.Add(appendEntry(appendEntry(nil, "a", []byte("one")), "b", nil))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, packPrefix+"00000001"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		p := openPack(t, dir, 1<<20)
		defer p.close()
		p.get("a")
		p.put("c", []byte("three"))
		if got, ok := p.get("c"); !ok || string(got) != "three" {
			t.Errorf("%q, %v", got, ok)
		}
	})
}

// childEnv has the upstream, GOSUMDB, the directory and the first module of a
// child of TestKill.
const childEnv = "GOPHERWOOD_SUMDB_CHILD"

func TestMain(m *testing.M) {
	if child := os.Getenv(childEnv); child != "" {
		checkUntilKilled(strings.Split(child, " "))
	}
	os.Exit(m.Run())
}

func checkUntilKilled(args []string) {
	d, err := New(Options{Upstreams: args[0], Name: args[1], Dir: args[2], Transport: http.DefaultTransport})
	from, _ := strconv.Atoi(args[3])
	for i := from; err == nil; i++ {
		if err = check(d, i); err == nil {
			fmt.Println(i)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

// What was checked is there after kill -9, without the database.
func TestKill(t *testing.T) {
	o := newOrigin(t, 200)
	dir := t.TempDir()
	checked := map[int]bool{}
	for round := range 8 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{o.url, o.vkey, dir, strconv.Itoa(round * 100)}, " "))
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatal("the child did nothing")
		}
		stop := time.AfterFunc(rand.N(60*time.Millisecond), func() { _ = child.Process.Kill() })
		for more := true; more; more = lines.Scan() {
			i, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatal(lines.Text())
			}
			checked[i] = true
		}
		stop.Stop()
		_ = child.Wait()

		off := o.open(dir, offline)
		for i := range checked {
			mustCheck(t, off, i)
		}
		for i := range maps.Keys(checked) { // any one
			newPeer(o, off).lookUp(t, i)
			break
		}
		_ = off.Close()
	}
	t.Logf("%d modules were checked", len(checked))
}
