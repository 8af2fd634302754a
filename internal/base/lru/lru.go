// Package lru keeps the values that were used last, within a number of bytes.
package lru

import (
	"container/list"
	"sync"
)

// Cache keeps values by their keys. It may be used from several goroutines.
type Cache[K comparable, V any] struct {
	mu        sync.Mutex
	max, size int64
	order     list.List // of *item[K, V], the last used first
	items     map[K]*list.Element
}

type item[K comparable, V any] struct {
	key   K
	value V
	size  int64
}

// New returns a cache whose values may have max bytes together.
func New[K comparable, V any](max int64) *Cache[K, V] {
	return &Cache[K, V]{max: max, items: map[K]*list.Element{}}
}

// Get returns the value of the key, which is then the last used.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*item[K, V]).value, true
}

// Put keeps the value, of size bytes, in the place of the one that is there. One
// that alone has more bytes than all may is not kept.
func (c *Cache[K, V]) Put(key K, value V, size int64) {
	c.PutUnless(key, value, size, func(V) bool { return false })
}

// PutUnless is Put, unless the value that is there is as good. It must not call
// the cache.
func (c *Cache[K, V]) PutUnless(key K, value V, size int64, asGood func(there V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[key]; ok {
		if asGood(e.Value.(*item[K, V]).value) {
			return
		}
		c.drop(e)
	}
	if size > c.max {
		return
	}
	c.items[key] = c.order.PushFront(&item[K, V]{key, value, size})
	c.size += size
	for c.size > c.max {
		c.drop(c.order.Back())
	}
}

// Remove forgets the value of the key.
func (c *Cache[K, V]) Remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[key]; ok {
		c.drop(e)
	}
}

func (c *Cache[K, V]) drop(e *list.Element) {
	old := c.order.Remove(e).(*item[K, V])
	delete(c.items, old.key)
	c.size -= old.size
}
