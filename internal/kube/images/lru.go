package images

import (
	"container/list"
	"sync"
	"time"
)

// lru keeps values up to a size in bytes, and lets those go first that were not
// used for longest. A value may also have a time at which it ends.
type lru[K comparable, V any] struct {
	max int64
	// gone is told how many values were let go to make room.
	gone func(n int)

	mu    sync.Mutex
	size  int64
	order list.List // of *item, the last used first
	items map[K]*list.Element
}

type item[K comparable, V any] struct {
	key   K
	value V
	size  int64
	// end is when the value is forgotten; zero means never.
	end time.Time
}

func newLRU[K comparable, V any](max int64) *lru[K, V] {
	return &lru[K, V]{max: max, gone: func(int) {}, items: map[K]*list.Element{}}
}

// get returns the value of key and how long it lasts; 0 means for ever.
func (l *lru[K, V]) get(key K) (value V, left time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.items[key]
	if e == nil {
		return value, 0, false
	}
	it := e.Value.(*item[K, V])
	if !it.end.IsZero() {
		if left = time.Until(it.end); left <= 0 {
			l.remove(e)
			return value, 0, false
		}
	}
	l.order.MoveToFront(e)
	return it.value, left, true
}

// put keeps a value of size bytes for ttl; 0 means for ever. One that is larger
// than all the room is not kept.
func (l *lru[K, V]) put(key K, value V, size int64, ttl time.Duration) {
	it := &item[K, V]{key: key, value: value, size: size}
	if ttl > 0 {
		it.end = time.Now().Add(ttl)
	}
	l.mu.Lock()
	if e := l.items[key]; e != nil {
		l.remove(e)
	}
	if size <= l.max {
		l.items[key] = l.order.PushFront(it)
		l.size += size
	}
	n := l.trim(l.max)
	l.mu.Unlock()
	if n > 0 {
		l.gone(n)
	}
}

// shrink lets values go until the rest takes no more than size bytes.
func (l *lru[K, V]) shrink(size int64) {
	l.mu.Lock()
	n := l.trim(size)
	l.mu.Unlock()
	if n > 0 {
		l.gone(n)
	}
}

// trim returns how many values it let go.
func (l *lru[K, V]) trim(size int64) (n int) {
	for l.size > size {
		l.remove(l.order.Back())
		n++
	}
	return n
}

func (l *lru[K, V]) remove(e *list.Element) {
	it := l.order.Remove(e).(*item[K, V])
	delete(l.items, it.key)
	l.size -= it.size
}

// bytes returns the size of all that is kept.
func (l *lru[K, V]) bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}
