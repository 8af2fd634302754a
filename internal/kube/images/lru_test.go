package images

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// The lru is held against a list that is searched from end to end.
func TestLRUModel(t *testing.T) {
	type kept struct {
		key, value int
		size       int64
	}
	rapid.Check(t, func(t *rapid.T) {
		l := newLRU[int, int](100)
		var model []kept // the last used at the end
		gone := 0
		l.gone = func(n int) { gone += n }
		wantGone := 0
		find := func(key int) int {
			return slices.IndexFunc(model, func(k kept) bool { return k.key == key })
		}
		trim := func(max int64) {
			for total(model, func(k kept) int64 { return k.size }) > max {
				model = model[1:]
				wantGone++
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				key := rapid.IntRange(0, 9).Draw(t, "key")
				value, _, ok := l.get(key)
				i := find(key)
				if ok != (i >= 0) || ok && value != model[i].value {
					t.Fatalf("got %d, %v", value, ok)
				}
				if ok {
					k := model[i]
					model = append(slices.Delete(model, i, i+1), k)
				}
			},
			"put": func(t *rapid.T) {
				k := kept{rapid.IntRange(0, 9).Draw(t, "key"), rapid.Int().Draw(t, "value"), rapid.Int64Range(0, 120).Draw(t, "size")}
				l.put(k.key, k.value, k.size, 0)
				if i := find(k.key); i >= 0 {
					model = slices.Delete(model, i, i+1)
				}
				if k.size <= 100 {
					model = append(model, k)
				}
				trim(100)
			},
			"shrink": func(t *rapid.T) {
				size := rapid.Int64Range(0, 100).Draw(t, "size")
				l.shrink(size)
				trim(size)
			},
			"": func(t *rapid.T) {
				if want := total(model, func(k kept) int64 { return k.size }); l.bytes() != want || gone != wantGone || len(l.items) != len(model) {
					t.Fatalf("%d bytes, %d values, %d gone; want %d, %d, %d", l.bytes(), len(l.items), gone, want, len(model), wantGone)
				}
			},
		})
	})
}

func total[T any](list []T, of func(T) int64) (n int64) {
	for _, x := range list {
		n += of(x)
	}
	return n
}

func TestLRUTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLRU[string, int](10)
		l.put("a", 1, 5, 3*time.Second)
		l.put("b", 2, 5, 0)
		time.Sleep(2 * time.Second)
		if _, left, ok := l.get("a"); !ok || left != time.Second {
			t.Errorf("%v left, %v", left, ok)
		}
		time.Sleep(time.Second)
		if _, _, ok := l.get("a"); ok || l.bytes() != 5 {
			t.Errorf("it is still there, with %d bytes", l.bytes())
		}
		if _, left, ok := l.get("b"); !ok || left != 0 {
			t.Errorf("%v left, %v", left, ok)
		}
	})
}
