package layer

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/gopherwood-dev/gopherwood/internal/facts/cache"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
)

// Series is a line of layers that are mostly alike, such as those of one program
// over time. What was compressed for the last one is not compressed again.
type Series struct {
	name  string
	cache *cache.Dir
	// blocks are those of the last layer, once they have been asked for.
	once   sync.Once
	blocks map[blockKey][]byte
}

// NewSeries returns the series called name, whose last layer is in the cache c,
// which may be nil.
func NewSeries(name string, c *cache.Dir) *Series { return &Series{name: name, cache: c} }

func (s *Series) key() cache.Key {
	return cache.Key{Kind: fmt.Sprintf("last layer %d", formatVersion), Version: image.Version(), Digest: s.name}
}

// load takes the last layer apart. Whatever is missing or does not fit together
// is compressed again.
func (s *Series) load() {
	id, ok := s.cache.Get(s.key())
	if !ok {
		return
	}
	data, ok := s.cache.Get(headKey(string(id)))
	var h head
	if !ok || json.Unmarshal(data, &h) != nil || len(h.Blocks) == 0 {
		return
	}
	blob, ok := s.cache.Get(blobKey(string(id)))
	if !ok {
		return
	}
	blocks := make(map[blockKey][]byte, len(h.Blocks))
	at := len(gzipHeader)
	for _, b := range h.Blocks {
		if b.Size < 0 || b.Size > len(blob)-at {
			return
		}
		blocks[b.Key] = blob[at : at+b.Size : at+b.Size]
		at += b.Size
	}
	s.blocks = blocks
}

// find returns a compressed block of the last layer; nil when it has no such.
func (s *Series) find(key blockKey) []byte {
	if s == nil {
		return nil
	}
	s.once.Do(s.load)
	return s.blocks[key]
}

// follow makes the layer with the given id the last of the series.
func (s *Series) follow(id string) {
	if s != nil {
		s.cache.Put(s.key(), []byte(id))
	}
}
