package sumdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/maphash"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/gopherwood-dev/gopherwood/internal/base/filelock"
)

// pack keeps values by key in a few files that only grow: to make a file for
// each would cost more than all else that is done for a record. Each file has one
// writer, whose lock on it ends with the process; the next one goes on where it
// ended. Everybody may read. Over the bound, the oldest files go.
//
// A file is a sequence of entries:
//
//	4 bytes  CRC-32C of the rest of the header and the key
//	2 bytes  length of the key
//	4 bytes  length of the value
//	         the key, the value
//
// The integers are little-endian. Values have no sum of their own, since they are
// verified with the signed tree.
type pack struct {
	root *os.Root
	max  int64
	seed maphash.Seed

	mu     sync.Mutex
	files  map[string]*packFile
	index  map[uint64]location
	active *packFile // the one that this process writes
}

// packFile is one file; what is before end is in the index.
type packFile struct {
	name string
	f    *os.File
	end  int64
}

// location is where an entry is.
type location struct {
	file *packFile
	at   int64
	size int // of the whole entry
}

const (
	packPrefix = "pack-"
	// headerSize is that of an entry without its key.
	headerSize = 10
	maxKey     = 1 << 12
	maxValue   = 8 << 20
	// packFiles is how many files there are at most, when one process writes.
	packFiles = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newPack(root *os.Root, max int64) *pack {
	return &pack{root: root, max: max, seed: maphash.MakeSeed(), files: make(map[string]*packFile), index: make(map[uint64]location)}
}

// appendEntry appends the entry for a key and a value.
func appendEntry(data []byte, key string, value []byte) []byte {
	rest := binary.LittleEndian.AppendUint16(nil, uint16(len(key)))
	rest = binary.LittleEndian.AppendUint32(rest, uint32(len(value)))
	rest = append(rest, key...)
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(rest, castagnoli))
	return append(append(data, rest...), value...)
}

// parseEntry returns the key of the entry at the start of data, which need not
// have the whole value, and the entry's size.
func parseEntry(data []byte) (key []byte, size int, ok bool) {
	if len(data) < headerSize {
		return nil, 0, false
	}
	n, value := int(binary.LittleEndian.Uint16(data[4:])), binary.LittleEndian.Uint32(data[6:])
	if n == 0 || n > maxKey || value > maxValue || len(data) < headerSize+n ||
		crc32.Checksum(data[4:headerSize+n], castagnoli) != binary.LittleEndian.Uint32(data) {
		return nil, 0, false
	}
	return data[headerSize : headerSize+n], headerSize + n + int(value), true
}

// get returns the value of the key that was put last.
func (p *pack) get(key string) ([]byte, bool) {
	where, ok := p.find(key)
	if !ok {
		return nil, false
	}
	data := make([]byte, where.size)
	if _, err := where.file.f.ReadAt(data, where.at); err != nil {
		return nil, false // it was removed meanwhile
	}
	there, _, ok := parseEntry(data)
	if !ok || string(there) != key {
		return nil, false
	}
	return data[headerSize+len(key):], true
}

func (p *pack) find(key string) (location, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	hash := maphash.String(p.seed, key)
	where, ok := p.index[hash]
	if !ok {
		p.scanAll()
		where, ok = p.index[hash]
	}
	return where, ok
}

// put keeps the value. When that fails, it is not kept.
func (p *pack) put(key string, value []byte) {
	if len(key) == 0 || len(key) > maxKey || len(value) > maxValue {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	file := p.writable()
	if file == nil {
		return
	}
	data := appendEntry(nil, key, value)
	if _, err := file.f.WriteAt(data, file.end); err != nil {
		_ = file.f.Truncate(file.end)
		return
	}
	p.index[maphash.String(p.seed, key)] = location{file, file.end, len(data)}
	file.end += int64(len(data))
}

// writable returns the file to write to.
func (p *pack) writable() *packFile {
	if p.active != nil && p.active.end < p.max/packFiles {
		return p.active
	}
	p.scanAll()
	p.active = nil
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		if file := p.files[name]; file.end < p.max/packFiles && p.adopt(file) {
			break
		}
	}
	if p.active == nil {
		p.create()
	}
	p.trim()
	return p.active
}

// adopt makes the file the one that is written, unless another process has it.
// What is behind the entries was not written to its end.
func (p *pack) adopt(file *packFile) bool {
	if ok, err := filelock.TryLock(file.f); !ok || err != nil {
		return false
	}
	p.scan(file) // its last writer may have gone on until now
	if file.f.Truncate(file.end) != nil {
		return false
	}
	p.active = file
	return true
}

// create makes a new file, later by name than all others.
func (p *pack) create() {
	next := 1
	for name := range p.files {
		var n int
		if _, err := fmt.Sscanf(name, packPrefix+"%d", &n); err == nil {
			next = max(next, n+1)
		}
	}
	for range 100 { // others may take names, too
		name := fmt.Sprintf(packPrefix+"%08d", next)
		f, err := p.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			next++
			continue
		}
		if err != nil {
			return
		}
		file := &packFile{name: name, f: f}
		p.files[name] = file
		if p.adopt(file) {
			return
		}
	}
}

// trim removes the oldest files until the rest is within the bound with the one
// that is written at its full size.
func (p *pack) trim() {
	total := p.max / packFiles
	for _, file := range p.files {
		if file != p.active {
			total += file.end
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		file := p.files[name]
		if total <= p.max {
			return
		}
		if file == p.active {
			continue
		}
		if ok, err := filelock.TryLock(file.f); !ok || err != nil {
			continue // somebody writes it
		}
		total -= file.end
		p.forget(file)
		_ = p.root.Remove(name)
	}
}

// forget closes a file, and its entries are no longer there.
func (p *pack) forget(file *packFile) {
	_ = file.f.Close()
	delete(p.files, file.name)
	maps.DeleteFunc(p.index, func(_ uint64, where location) bool { return where.file == file })
}

// scanAll takes into the index what others wrote.
func (p *pack) scanAll() {
	entries, err := fs.ReadDir(p.root.FS(), ".")
	if err != nil {
		return
	}
	there := make(map[string]bool)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), packPrefix) || !e.Type().IsRegular() {
			continue
		}
		there[e.Name()] = true
		file := p.files[e.Name()]
		if file == nil {
			f, err := p.root.OpenFile(e.Name(), os.O_RDWR, 0)
			if err != nil {
				continue
			}
			file = &packFile{name: e.Name(), f: f}
			p.files[e.Name()] = file
		}
		if file != p.active {
			p.scan(file)
		}
	}
	for name, file := range p.files {
		if !there[name] && file != p.active {
			p.forget(file)
		}
	}
}

// scan takes into the index what a file has behind its end, up to an entry that
// is not written to its end.
func (p *pack) scan(file *packFile) {
	info, err := file.f.Stat()
	if err != nil {
		return
	}
	buf := make([]byte, headerSize+maxKey)
	for file.end < info.Size() {
		n, _ := file.f.ReadAt(buf, file.end)
		key, size, ok := parseEntry(buf[:n])
		if !ok || file.end+int64(size) > info.Size() {
			return
		}
		p.index[maphash.Bytes(p.seed, key)] = location{file, file.end, size}
		file.end += int64(size)
	}
}

func (p *pack) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, file := range p.files {
		p.forget(file)
	}
}
