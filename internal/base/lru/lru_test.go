package lru_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gopherwood-dev/gopherwood/internal/base/lru"
)

// TestModel holds a cache to a list of all values, the last used last.
func TestModel(t *testing.T) {
	type kept struct{ key, value int }
	const max = 10
	rapid.Check(t, func(t *rapid.T) {
		c := lru.New[int, int](max)
		var model []kept // the value is the size, too
		at := func(key int) int { return slices.IndexFunc(model, func(k kept) bool { return k.key == key }) }
		put := func(key, value int) {
			if i := at(key); i >= 0 {
				model = slices.Delete(model, i, i+1)
			}
			if value > max {
				return
			}
			model = append(model, kept{key, value})
			for sum(model, func(k kept) int { return k.value }) > max {
				model = model[1:]
			}
		}
		for range 60 {
			key, value := rapid.IntRange(0, 5).Draw(t, "key"), rapid.IntRange(0, max+1).Draw(t, "value")
			switch rapid.SampledFrom([]string{"put", "put unless", "get", "remove"}).Draw(t, "do") {
			case "put":
				c.Put(key, value, int64(value))
				put(key, value)
			case "put unless":
				c.PutUnless(key, value, int64(value), func(there int) bool { return there >= value })
				if i := at(key); i < 0 || model[i].value < value {
					put(key, value)
				}
			case "get":
				got, ok := c.Get(key)
				i := at(key)
				if ok != (i >= 0) || ok && got != model[i].value {
					t.Fatalf("%d is %d, %v; want %v", key, got, ok, model)
				}
				if ok {
					model = append(slices.Delete(model, i, i+1), kept{key, got})
				}
			case "remove":
				c.Remove(key)
				if i := at(key); i >= 0 {
					model = slices.Delete(model, i, i+1)
				}
			}
		}
	})
}

func sum[T any](all []T, of func(T) int) (n int) {
	for _, one := range all {
		n += of(one)
	}
	return n
}
