// Package memory keeps in memory what is asked for often, up to a number of bytes.
package memory

import (
	"sync"
	"sync/atomic"
)

// overhead is what an entry takes besides its key and value, roughly: the node,
// and its place in the map.
const overhead = 200

// Cache maps strings to values. Reads take no lock; when it is full, what was not
// read since it was last considered goes first (the SIEVE algorithm, Zhang et al.,
// NSDI 2024). It is safe for concurrent use.
type Cache[V any] struct {
	limit int64
	nodes sync.Map // string -> *node[V]

	mu   sync.Mutex // guards all below, and writes to nodes
	cost int64
	head *node[V] // the newest
	tail *node[V] // the oldest
	hand *node[V] // the next to be considered
}

// node is an entry, in a list from the newest to the oldest.
type node[V any] struct {
	key          string
	value        V
	cost         int64
	read         atomic.Bool
	newer, older *node[V]
}

// New returns an empty cache of at most limit bytes.
func New[V any](limit int64) *Cache[V] { return &Cache[V]{limit: limit} }

// Get returns the value that key has.
func (c *Cache[V]) Get(key string) (V, bool) {
	n, ok := c.nodes.Load(key)
	if !ok {
		var none V
		return none, false
	}
	e := n.(*node[V])
	// Writing only once keeps the line shared between processors.
	if !e.read.Load() {
		e.read.Store(true)
	}
	return e.value, true
}

// Put gives key a value that takes bytes of memory. What is larger than the whole
// cache is not kept.
func (c *Cache[V]) Put(key string, value V, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(key)
	n := &node[V]{key: key, value: value, cost: bytes + int64(len(key)) + overhead}
	if n.cost > c.limit {
		return
	}
	for c.cost+n.cost > c.limit {
		c.evict()
	}
	n.older = c.head
	if c.head != nil {
		c.head.newer = n
	} else {
		c.tail = n
	}
	c.head = n
	c.cost += n.cost
	c.nodes.Store(key, n)
}

// Delete forgets key.
func (c *Cache[V]) Delete(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(key)
}

// Bytes returns how much is kept.
func (c *Cache[V]) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cost
}

// evict removes the next entry that was not read since it was last considered;
// there is one at least.
func (c *Cache[V]) evict() {
	n := c.hand
	for {
		if n == nil {
			n = c.tail
		}
		if !n.read.Load() {
			break
		}
		n.read.Store(false)
		n = n.newer
	}
	c.hand = n.newer
	c.unlink(n)
}

func (c *Cache[V]) remove(key string) {
	if n, ok := c.nodes.Load(key); ok {
		c.unlink(n.(*node[V]))
	}
}

func (c *Cache[V]) unlink(n *node[V]) {
	if c.hand == n {
		c.hand = n.newer
	}
	if n.newer != nil {
		n.newer.older = n.older
	} else {
		c.head = n.older
	}
	if n.older != nil {
		n.older.newer = n.newer
	} else {
		c.tail = n.newer
	}
	c.cost -= n.cost
	c.nodes.Delete(n.key)
}
