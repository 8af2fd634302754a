package cache

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// A record file is the magic, the SHA-256 of all that follows it, and the key, a
// newline and the data: in a zstd frame unless they are packed already.
const (
	magic       = "gopherwood-cache-1\n"
	magicPacked = "gopherwood-cache-packed-1\n"
)

func (k Key) magic() string {
	if k.Packed {
		return magicPacked
	}
	return magic
}

// maxRecord is the largest record in bytes, before compression.
const maxRecord = 256 << 20

var errDamaged = errors.New("damaged record")

// seal returns the record file that holds data.
func seal(key Key, data []byte) []byte {
	head := len(key.magic()) + sha256.Size
	file := bytes.NewBuffer(make([]byte, head, head+len(key.String())+1+len(data)))
	if key.Packed {
		file.WriteString(key.String() + "\n")
		file.Write(data)
	} else {
		pack(file, key, data)
	}
	sealed := file.Bytes()
	sum := sha256.Sum256(sealed[head:])
	copy(sealed, key.magic())
	copy(sealed[len(key.magic()):], sum[:])
	return sealed
}

// pack writes the zstd frame of a record.
func pack(file *bytes.Buffer, key Key, data []byte) {
	// Neither making the writer nor writing to memory can fail with valid options.
	w, _ := zstd.NewWriter(file, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	_, _ = w.Write([]byte(key.String() + "\n"))
	_, _ = w.Write(data)
	_ = w.Close()
}

// unseal returns the data that seal put into file for key.
func unseal(key Key, file []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(file, []byte(key.magic()))
	if !ok || len(rest) < sha256.Size {
		return nil, errDamaged
	}
	plain := rest[sha256.Size:]
	if sum := sha256.Sum256(plain); !bytes.Equal(sum[:], rest[:sha256.Size]) {
		return nil, errDamaged
	}
	if !key.Packed {
		var err error
		if plain, err = unpack(plain); err != nil {
			return nil, err
		}
	}
	data, ok := bytes.CutPrefix(plain, []byte(key.String()+"\n"))
	if !ok {
		return nil, errDamaged
	}
	return data, nil
}

func unpack(frame []byte) ([]byte, error) {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRecord+1<<20))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.DecodeAll(frame, nil)
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
