package cache

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func key(i int) Key { return Key{Kind: "layer", Version: "1", Digest: fmt.Sprintf("sha256:%064x", i)} }

// payload is what the tests keep for key(i): no two alike, hard to compress.
func payload(i, size int) []byte {
	data := make([]byte, size)
	random := rand.NewChaCha8(sha256.Sum256([]byte(key(i).String())))
	_, _ = random.Read(data)
	return data
}

func TestGetReturnsWhatWasPut(t *testing.T) {
	d := Open(filepath.Join(t.TempDir(), "deep", "cache"), 0)
	if _, ok := d.Get(key(1)); ok {
		t.Error("an empty cache has a record")
	}
	for i, size := range []int{0, 1, 100_000} {
		d.Put(key(i), payload(i, size))
	}
	for i, size := range []int{0, 1, 100_000} {
		got, ok := d.Get(key(i))
		if !ok || !bytes.Equal(got, payload(i, size)) {
			t.Errorf("record %d: %d bytes, %v", i, len(got), ok)
		}
	}
	other := key(1)
	other.Version = "2"
	if _, ok := d.Get(other); ok {
		t.Error("a record of another version was found")
	}
	d.Remove(key(1))
	if _, ok := d.Get(key(1)); ok {
		t.Error("a removed record was found")
	}
}

func TestNilKeepsNothing(t *testing.T) {
	d := Open("", 0)
	d.Put(key(1), []byte("x"))
	d.Remove(key(1))
	if _, ok := d.Get(key(1)); ok {
		t.Error("a nil cache has a record")
	}
}

func TestOnlyTheOwnerMayRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no permission bits")
	}
	d := Open(filepath.Join(t.TempDir(), "cache"), 0)
	d.Put(key(1), []byte("x"))
	for path, want := range map[string]os.FileMode{d.path: 0o700 | os.ModeDir, d.file(key(1)): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
}

func TestDamagedRecordsAreAbsentAndRemoved(t *testing.T) {
	damages := map[string]func(file []byte) []byte{
		"empty":        func([]byte) []byte { return nil },
		"truncated":    func(f []byte) []byte { return f[:len(f)-1] },
		"flipped":      func(f []byte) []byte { f[len(f)/2] ^= 1; return f },
		"wrong magic":  func(f []byte) []byte { f[0] ^= 1; return f },
		"other format": func([]byte) []byte { return []byte("{}") },
		"grown":        func(f []byte) []byte { return append(f, 0) },
		"another key":  func([]byte) []byte { return seal(key(2), []byte("x")) },
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			d := Open(t.TempDir(), 0)
			d.Put(key(1), payload(1, 1000))
			file, err := os.ReadFile(d.file(key(1)))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(d.file(key(1)), damage(file), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, ok := d.Get(key(1)); ok {
				t.Error("the damaged record was returned")
			}
			if _, err := os.Stat(d.file(key(1))); !os.IsNotExist(err) {
				t.Errorf("the damaged record was left: %v", err)
			}
			d.Put(key(1), []byte("again"))
			if got, ok := d.Get(key(1)); !ok || string(got) != "again" {
				t.Errorf("after a new Put: %q, %v", got, ok)
			}
		})
	}
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	d := Open(t.TempDir(), 35_000)
	for i := range 3 {
		d.Put(key(i), payload(i, 10_000))
		// File systems may keep times too coarse to tell quick calls apart.
		past := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(d.file(key(i)), past, past); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := d.Get(key(0)); !ok {
		t.Fatal("record 0 is gone too early")
	}
	d.Put(key(3), payload(3, 10_000))
	for i, want := range []bool{true, false, true, true} {
		if _, ok := d.Get(key(i)); ok != want {
			t.Errorf("record %d: kept %v, want %v", i, ok, want)
		}
	}
	d.Put(key(4), payload(4, 40_000))
	if _, ok := d.Get(key(4)); ok {
		t.Error("a record larger than the cache was kept")
	}
}

func TestAbandonedFilesAreRemoved(t *testing.T) {
	d := Open(t.TempDir(), 0)
	old, young := filepath.Join(d.path, "put-1.tmp"), filepath.Join(d.path, "put-2.tmp")
	for _, file := range []string{old, young} {
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	d.Put(key(1), []byte("x"))
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the abandoned file is still there: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a file that is being written was removed: %v", err)
	}
}

func TestUnusableDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// A file in the directory's place refuses even root.
	d := Open(file, 0)
	d.Put(key(1), []byte("x"))
	if _, ok := d.Get(key(1)); ok {
		t.Error("found a record below a file")
	}
}

// workerEnv makes the test binary a process that hammers the cache it names.
const workerEnv = "GOPHERWOOD_CACHE_WORKER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(workerEnv); dir != "" {
		os.Exit(hammer(dir))
	}
	os.Exit(m.Run())
}

// hammer puts, gets and removes until it has seen enough, and fails when it
// ever reads what nobody wrote.
func hammer(dir string) int {
	d := Open(dir, workerSize)
	random := rand.New(rand.NewPCG(uint64(os.Getpid()), 0))
	hits := 0
	for range 400 {
		i := random.IntN(20)
		data, ok := d.Get(key(i))
		switch {
		case ok && !bytes.Equal(data, payload(i, 5000)):
			fmt.Printf("record %d is not what was put\n", i)
			return 1
		case ok:
			hits++
		default:
			d.Put(key(i), payload(i, 5000))
		}
		if random.IntN(50) == 0 {
			d.Remove(key(i))
		}
	}
	if hits == 0 {
		fmt.Println("no record was ever found")
		return 1
	}
	return 0
}

const workerSize = 60_000

func TestParallelProcesses(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var workers []*exec.Cmd
	var outputs []*strings.Builder
	for range 6 {
		w, out := exec.Command(self), &strings.Builder{}
		w.Env = append(os.Environ(), workerEnv+"="+dir)
		w.Stdout, w.Stderr = out, out
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		workers, outputs = append(workers, w), append(outputs, out)
	}
	for i, w := range workers {
		if err := w.Wait(); err != nil {
			t.Errorf("worker %d: %v\n%s", i, err, outputs[i])
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f.Name(), tempSuffix) {
			t.Errorf("%s was left behind", f.Name())
		}
		total += info.Size()
	}
	if total > workerSize {
		t.Errorf("the cache has %d bytes, more than %d", total, workerSize)
	}
}

// FuzzUnseal reads records whose checksum is right, as only a defect or malice
// could make them.
func FuzzUnseal(f *testing.F) {
	sealed := seal(key(1), []byte("data"))
	f.Add(sealed[len(magic)+sha256.Size:])
	f.Fuzz(func(t *testing.T, body []byte) {
		sum := sha256.Sum256(body)
		file := slices.Concat([]byte(magic), sum[:], body)
		data, err := unseal(key(1), file)
		if err != nil {
			return
		}
		if again, err := unseal(key(1), seal(key(1), data)); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q became %q, %v", data, again, err)
		}
	})
}

// A packed record is found as it was put, and only by a key that says packed.
func TestPacked(t *testing.T) {
	d := Open(t.TempDir(), 0)
	packed := key(1)
	packed.Packed = true
	data := bytes.Repeat([]byte("once more "), 1000)
	d.Put(packed, data)
	if got, ok := d.Get(packed); !ok || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), ok)
	}
	info, err := os.Stat(d.file(packed))
	if err != nil || info.Size() < int64(len(data)) {
		t.Errorf("the file has %d bytes, %v: it was packed again", info.Size(), err)
	}
	file, err := os.ReadFile(d.file(packed))
	if err != nil {
		t.Fatal(err)
	}
	file[len(file)-1] ^= 1
	if err := os.WriteFile(d.file(packed), file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Get(packed); ok {
		t.Error("a damaged record was found")
	}
}
