package facts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// hashChunk is how much of a file is read at once to hash it, in bytes: it stays
// in a core's own cache.
const hashChunk = 256 << 10

// openFile measures the executable at path. Like those of the other sources, its
// options have their defaults filled in.
func openFile(ctx context.Context, ref, path string, opt Options) (*Subject, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	defer f.Close()
	m := measurer{opt: opt}
	facts, err := m.measure(f, size)
	if err == nil {
		err = m.digest(ctx, f, facts)
	}
	if err != nil {
		return nil, fileError(path, err)
	}
	facts.Ref = ref
	return &Subject{Ref: ref, Platform: facts.Platform, Files: []api.Facts{*facts}}, nil
}

// errIrregular is for devices, pipes and sockets, whose reading may never end.
var errIrregular = errors.New("not a regular file")

// openRegular opens a regular file and nothing else: it neither waits for the
// other end of a pipe nor touches a device.
func openRegular(path string) (f *os.File, size int64, err error) {
	if info, err := os.Stat(path); err != nil {
		return nil, 0, err
	} else if !info.Mode().IsRegular() {
		return nil, 0, errIrregular
	}
	f, err = os.OpenFile(path, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errIrregular // it was replaced since
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// fileError names the file in err and says what can be done.
func fileError(path string, err error) error {
	e := &fault.Error{Code: fault.CodeOf(err), Op: "inspect", Input: path, Err: err, Hint: fault.HintOf(err)}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		e.Err = pathErr.Err
	}
	switch {
	case errors.Is(err, exe.ErrNotExecutable), errors.Is(err, errIrregular):
		e.Code = fault.Invalid
		e.Hint = "give an ELF, Mach-O or PE executable"
	case e.Code == fault.Denied:
		e.Hint = "run as a user who may read it"
	}
	return e
}

// measurer measures and hashes files, one after the other. It is not safe for
// concurrent use.
type measurer struct {
	// opt has its defaults filled in.
	opt Options
	// buf is allocated at the first digest.
	buf []byte
}

// measure returns the facts of the executable f of size bytes, but its digest.
func (m *measurer) measure(f io.ReaderAt, size int64) (*api.Facts, error) {
	if size > m.opt.Limits.File {
		if !isExecutable(f) {
			return nil, exe.ErrNotExecutable
		}
		return nil, &fault.Error{
			Code: fault.Limit,
			Err:  fmt.Errorf("the file has %d bytes, the limit is %d", size, m.opt.Limits.File),
			Hint: "raise the limit with --max-file-size",
		}
	}
	obj, err := exe.Measure(f, size, exe.Options{})
	if err != nil {
		return nil, err
	}
	return &obj.Facts, nil
}

// digest sets facts.Digest, unless the options leave digests out.
func (m *measurer) digest(ctx context.Context, f io.ReaderAt, facts *api.Facts) error {
	if m.opt.NoDigest {
		return nil
	}
	if m.buf == nil {
		m.buf = make([]byte, hashChunk)
	}
	m.opt.Progress.Expect(facts.Size)
	h := sha256.New()
	for off := int64(0); off < facts.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(m.buf[:min(hashChunk, facts.Size-off)], off)
		h.Write(m.buf[:n]) // hash.Hash never fails
		m.opt.Progress.Done(int64(n))
		off += int64(n)
		if off < facts.Size && err != nil {
			if err == io.EOF {
				err = &fault.Error{Code: fault.Invalid, Err: errors.New("the file became shorter while it was read")}
			}
			return err
		}
	}
	facts.Digest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return nil
}

// isExecutable looks at the first bytes of f; a file that cannot be read is none.
func isExecutable(f io.ReaderAt) bool {
	var head [exe.HeadSize]byte
	n, err := f.ReadAt(head[:], 0)
	return (err == nil || err == io.EOF) && exe.IsExecutable(head[:n])
}
