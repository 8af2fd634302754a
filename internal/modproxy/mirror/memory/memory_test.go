package memory_test

import (
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror/memory"
)

// TestAgainstMap holds the cache to a map: what it has is what was put last, and
// never more than its limit.
func TestAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(0, 3000).Draw(t, "limit")
		c := memory.New[int](limit)
		model := map[string]int{}
		key := rapid.Custom(func(t *rapid.T) string { return strconv.Itoa(rapid.IntRange(0, 20).Draw(t, "key")) })
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k, v := key.Draw(t, "k"), rapid.Int().Draw(t, "v")
				c.Put(k, v, rapid.Int64Range(0, 1000).Draw(t, "bytes"))
				model[k] = v
			},
			"delete": func(t *rapid.T) {
				k := key.Draw(t, "k")
				c.Delete(k)
				delete(model, k)
			},
			"get": func(t *rapid.T) {
				k := key.Draw(t, "k")
				want, known := model[k]
				if got, ok := c.Get(k); ok && (!known || got != want) {
					t.Fatalf("%s is %d, want %d (%v)", k, got, want, known)
				}
			},
			"": func(t *rapid.T) {
				if n := c.Bytes(); n < 0 || n > limit {
					t.Fatalf("%d bytes of %d", n, limit)
				}
			},
		})
		for k := range 21 {
			c.Delete(strconv.Itoa(k))
		}
		if n := c.Bytes(); n != 0 {
			t.Fatalf("%d bytes in an empty cache", n)
		}
	})
}

// TestKeepsWhatIsRead fills a cache over and over beside one entry that is read.
func TestKeepsWhatIsRead(t *testing.T) {
	c := memory.New[string](100 << 10)
	c.Put("often", "x", 100)
	for i := range 10000 {
		if _, ok := c.Get("often"); !ok {
			t.Fatalf("gone after %d others", i)
		}
		c.Put("once"+strconv.Itoa(i), "y", 100)
	}
	if n := c.Bytes(); n < 90<<10 {
		t.Errorf("only %d bytes of 100 KiB are used", n)
	}
}

func TestTooLarge(t *testing.T) {
	c := memory.New[string](1000)
	c.Put("a", "old", 10)
	c.Put("a", "new", 1000)
	if v, ok := c.Get("a"); ok {
		t.Errorf("a value over the limit, or one that was replaced, is there: %q", v)
	}
}

func TestConcurrent(t *testing.T) {
	c := memory.New[int](10 << 10)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				k := (i*7 + g) % 100
				if v, ok := c.Get(strconv.Itoa(k)); ok && v != k {
					t.Errorf("%d is %d", k, v)
				}
				c.Put(strconv.Itoa(k), k, int64(k))
				if i%50 == 0 {
					c.Delete(strconv.Itoa(k))
				}
			}
		})
	}
	wg.Wait()
}
