package cache

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// A record file is the magic, the SHA-256 of all that follows it, and a zstd
// frame of the key, a newline and the data.
const magic = "gopherwood-cache-1\n"

// maxRecord is the largest record in bytes, before compression.
const maxRecord = 256 << 20

var errDamaged = errors.New("damaged record")

// seal returns the record file that holds data.
func seal(key Key, data []byte) []byte {
	var body bytes.Buffer
	// Neither making the writer nor writing to memory can fail with valid options.
	w, _ := zstd.NewWriter(&body, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	_, _ = w.Write([]byte(key.String() + "\n"))
	_, _ = w.Write(data)
	_ = w.Close()
	sum := sha256.Sum256(body.Bytes())
	return append(append([]byte(magic), sum[:]...), body.Bytes()...)
}

// unseal returns the data that seal put into file for key.
func unseal(key Key, file []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(file, []byte(magic))
	if !ok || len(rest) < sha256.Size {
		return nil, errDamaged
	}
	sum := sha256.Sum256(rest[sha256.Size:])
	if !bytes.Equal(sum[:], rest[:sha256.Size]) {
		return nil, errDamaged
	}
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRecord+1<<20))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	plain, err := r.DecodeAll(rest[sha256.Size:], nil)
	if err != nil {
		return nil, err
	}
	data, ok := bytes.CutPrefix(plain, []byte(key.String()+"\n"))
	if !ok {
		return nil, errDamaged
	}
	return data, nil
}

// readBounded reads a file of at most limit bytes.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, errDamaged
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}
