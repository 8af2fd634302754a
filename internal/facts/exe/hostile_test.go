package exe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// checkMeasured measures content and fails unless it is an error of a kind that
// hostile content may cause, or facts that hold together, at a bounded price.
func checkMeasured(t *testing.T, content []byte) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	obj, err := measureBytes(content, Options{Links: true})
	runtime.ReadMemStats(&after)
	// Chunk buffers and the string budget are a constant.
	if spent, limit := after.TotalAlloc-before.TotalAlloc, uint64(16*len(content)+8<<20); spent > limit {
		t.Errorf("allocated %d bytes for a file of %d", spent, len(content))
	}
	switch code := fault.CodeOf(err); {
	case err == nil && obj.Facts.Size != int64(len(content)):
		t.Errorf("size is %d, want %d", obj.Facts.Size, len(content))
	case err == nil, errors.Is(err, ErrNotExecutable):
	case code != fault.Invalid && code != fault.Limit && code != fault.Unsupported:
		t.Errorf("error is %v of code %q", err, code)
	}
}

// A file that was cut anywhere gives facts or an error, never a panic.
func TestTruncated(t *testing.T) {
	for _, b := range []build{pie, crossed[1], crossed[3], crossed[7], crossed[8]} {
		content := b.content(t)
		for n := 0; n < min(8192, len(content)); n += 61 {
			checkMeasured(t, content[:n])
		}
		for i := range 200 {
			checkMeasured(t, content[:len(content)*i/200])
		}
	}
}

// Headers with single bytes turned over, which is where damage does most.
func TestFlipped(t *testing.T) {
	for _, b := range []build{pie, crossed[1], crossed[3], crossed[7], crossed[8]} {
		content := bytes.Clone(b.content(t))
		for at := range 1500 {
			old := content[at]
			for _, v := range []byte{0, 0xff, old ^ 0x80} {
				content[at] = v
				checkMeasured(t, content)
			}
			content[at] = old
		}
	}
}

// What the reader returns is passed on, and not taken for damage.
func TestReadError(t *testing.T) {
	content := withDep.content(t)
	broken := errors.New("broken disk")
	for _, at := range []int64{0, 64, 4096, int64(len(content)) / 2} {
		_, err := Measure(failingReader{bytes.NewReader(content), at, broken}, int64(len(content)), Options{})
		if at < 4096 && !errors.Is(err, broken) {
			t.Errorf("error at %d is %v, want the reader's", at, err)
		}
		if err != nil && !errors.Is(err, broken) {
			t.Errorf("error at %d is %v", at, err)
		}
	}
	// A file that is shorter than it was said to be.
	_, err := Measure(bytes.NewReader(content[:1000]), int64(len(content)), Options{})
	if fault.CodeOf(err) != fault.Invalid {
		t.Errorf("error is %v, want invalid", err)
	}
}

// failingReader fails from an offset on.
type failingReader struct {
	r    *bytes.Reader
	from int64
	err  error
}

func (f failingReader) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.from {
		return 0, f.err
	}
	return f.r.ReadAt(b, off)
}

// FuzzMeasure feeds whole files: the head of a real one, and synthetic ones.
func FuzzMeasure(f *testing.F) {
	for _, shape := range shapes {
		f.Add(library(shape.order, shape.wide).bytes())
	}
	f.Add(synthMachO())
	f.Add(synthPE())
	f.Add(gofmt(f)[:4096])
	f.Fuzz(checkMeasured)
}

// gofmt is the content of an executable that need not be built: the fuzzer runs
// this in each of its processes.
func gofmt(t testing.TB) []byte {
	name, err := exec.LookPath("gofmt")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// FuzzPclntab feeds the function table alone, in each header layout.
func FuzzPclntab(f *testing.F) {
	for _, l := range pclntabLayouts {
		f.Add(l.table(binary.LittleEndian, true))
		f.Add(l.table(binary.LittleEndian, false))
	}
	f.Fuzz(func(t *testing.T, table []byte) {
		for _, ptrSize := range []int{4, 8} {
			size := uint64(len(table))
			l := &layout{
				in:    input{r: bytes.NewReader(table), size: int64(size)},
				order: binary.LittleEndian, ptrSize: ptrSize,
				segments: []segment{{size: size, memSize: size}},
			}
			for _, s := range []section{{}, {size: size}} {
				names, err := l.capabilities(s)
				if err != nil && !isDamage(err) || err == nil && names == nil {
					t.Errorf("got %q, %v", names, err)
				}
			}
		}
	})
}
