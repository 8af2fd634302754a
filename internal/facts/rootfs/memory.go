package rootfs

import (
	"reflect"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts/exe"
)

// What an entry takes of memory with its place in its directory, and a body
// without what it points to; in bytes, measured.
const (
	entryMemory = 240
	bodyMemory  = 64
)

// Memory estimates how many bytes of memory the tree takes.
func (t *Tree) Memory() int64 {
	var total int64
	seen := map[*body]bool{}
	var visit func(e *entry)
	visit = func(e *entry) {
		total += entryMemory + int64(len(e.node.Target))
		if b := e.body; b != nil && b != unread && !seen[b] {
			seen[b] = true
			total += bodyMemory + int64(cap(b.file.Head)+cap(b.file.Content)) + ObjectMemory(b.file.Object)
		}
		for name, child := range e.children {
			total += int64(len(name))
			visit(child)
		}
	}
	visit(t.root)
	return total
}

// ObjectMemory estimates how many bytes of memory o takes.
func ObjectMemory(o *exe.Object) int64 {
	if o == nil {
		return 0
	}
	return int64(reflect.TypeFor[exe.Object]().Size()) + pointedTo(reflect.ValueOf(o).Elem())
}

// pointedTo returns the size of all that v points to, in bytes.
func pointedTo(v reflect.Value) int64 {
	switch v.Kind() {
	case reflect.String:
		return int64(v.Len())
	case reflect.Pointer:
		if v.IsNil() {
			return 0
		}
		return int64(v.Type().Elem().Size()) + pointedTo(v.Elem())
	case reflect.Slice:
		total := int64(v.Cap()) * int64(v.Type().Elem().Size())
		if flat(v.Type().Elem()) {
			return total
		}
		for i := range v.Len() {
			total += pointedTo(v.Index(i))
		}
		return total
	case reflect.Map:
		var total int64
		for it := v.MapRange(); it.Next(); {
			total += int64(v.Type().Key().Size()+v.Type().Elem().Size())*3/2 + pointedTo(it.Key()) + pointedTo(it.Value())
		}
		return total
	case reflect.Struct:
		var total int64
		for i := range v.NumField() {
			total += pointedTo(v.Field(i))
		}
		return total
	}
	return 0
}

// flat reports whether values of type t point to nothing.
func flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Pointer, reflect.Slice, reflect.Map, reflect.Struct, reflect.Interface:
		return false
	}
	return true
}

// FactsMemory estimates how many bytes of memory f takes, but for its image,
// which it shares.
func FactsMemory(f *api.Facts) int64 {
	own := *f
	own.Image = nil
	return int64(reflect.TypeFor[api.Facts]().Size()) + pointedTo(reflect.ValueOf(own))
}
