package rootfs

import (
	"bytes"
	"context"
	"path"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// modelFile is a file of the model: a mode letter, what it holds or leads to.
type modelFile struct {
	kind byte // 'd', 'f' or 'l'
	text string
}

// model is a root file system as a flat map of clean relative paths, changed in
// the most direct way that the specification of layers describes.
type model map[string]modelFile

// remove deletes name and all below it.
func (m model) remove(name string) {
	for other := range m {
		if other == name || strings.HasPrefix(other, name+"/") {
			delete(m, other)
		}
	}
}

// apply lays a layer over m. Whiteouts come first, since they act on lower
// layers only; then each entry makes its parents and takes its place.
func (m model) apply(ops []op) {
	for _, o := range ops {
		dir, base := path.Split(o.name)
		switch {
		case base == ".wh..wh..opq":
			for other := range m {
				if strings.HasPrefix(other, dir) {
					delete(m, other)
				}
			}
		case strings.HasPrefix(base, ".wh."):
			m.remove(dir + strings.TrimPrefix(base, ".wh."))
		}
	}
	for _, o := range ops {
		m.parents(o.name)
		if strings.HasPrefix(path.Base(o.name), ".wh.") {
			continue
		}
		switch o.kind {
		case dirOp:
			if m[o.name].kind != 'd' {
				m.remove(o.name)
			}
			m[o.name] = modelFile{'d', ""}
		case symlinkOp:
			m.remove(o.name)
			m[o.name] = modelFile{'l', o.target}
		case linkOp:
			target := m[o.target]
			m.remove(o.name)
			m[o.name] = target
		default:
			m.remove(o.name)
			m[o.name] = modelFile{'f', o.content}
		}
	}
}

// parents makes the directories above name, in the place of whatever is there.
func (m model) parents(name string) {
	parts := strings.Split(path.Dir(name), "/")
	for i := range parts {
		dir := strings.Join(parts[:i+1], "/")
		if dir != "." && m[dir].kind != 'd' {
			m.remove(dir)
			m[dir] = modelFile{'d', ""}
		}
	}
}

// String lists the model as listTree lists a tree.
func (m model) String() string {
	var lines []string
	for name, f := range m {
		lines = append(lines, "/"+name+" "+string(f.kind)+" "+f.text)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func listTree(tree *Tree) string {
	var lines []string
	tree.root.walk("/", func(at string, e *entry) {
		switch {
		case at == "/":
		case e.isDir():
			lines = append(lines, at+" d ")
		case e.body != nil:
			lines = append(lines, at+" f "+string(e.body.file.Head))
		default:
			lines = append(lines, at+" l "+e.node.Target)
		}
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// genLayer draws a layer that every runtime can unpack: within it, no entry lies
// below one that is not a directory, and hard links lead to files.
func genLayer(t *rapid.T, lower model) []op {
	names := rapid.SampledFrom([]string{"a", "b", "c", "a/a", "a/b", "b/a", "b/b", "a/a/a", "a/a/b", "a/b/a"})
	var ops []op
	used := map[string]byte{}
	for range rapid.IntRange(0, 8).Draw(t, "entries") {
		o := op{name: names.Draw(t, "name"), mode: 0o755}
		switch rapid.SampledFrom([]string{"file", "file", "dir", "link", "hard", "whiteout", "opaque"}).Draw(t, "kind") {
		case "file":
			o.content = rapid.StringMatching(`[a-z]{1,4}`).Draw(t, "content")
		case "dir":
			o.kind = dirOp
		case "link":
			o.kind, o.target = symlinkOp, names.Draw(t, "target")
		case "hard":
			o.kind, o.target = linkOp, names.Draw(t, "target")
			if !linkable(o.target, used, lower) || strings.HasPrefix(o.name, o.target+"/") {
				continue
			}
		case "whiteout":
			o.name = path.Join(path.Dir(o.name), ".wh."+path.Base(o.name))
		case "opaque":
			o.name = path.Join(o.name, ".wh..wh..opq")
		}
		if !fits(o, used) {
			continue
		}
		for dir := path.Dir(o.name); dir != "."; dir = path.Dir(dir) {
			used[dir] = 'd'
		}
		if !strings.HasPrefix(path.Base(o.name), ".wh.") {
			used[o.name] = 'f'
			if o.kind == dirOp {
				used[o.name] = 'd'
			}
		}
		ops = append(ops, o)
	}
	return ops
}

// linkable reports whether a hard link to target finds a file: one that the
// lower layers have and this layer leaves alone.
func linkable(target string, used map[string]byte, lower model) bool {
	if lower[target].kind != 'f' || used[target] != 0 {
		return false
	}
	for dir := path.Dir(target); dir != "."; dir = path.Dir(dir) {
		if lower[dir].kind != 'd' {
			return false
		}
	}
	return true
}

// fits reports whether o neither lies below a file of its layer nor takes the
// place of a directory or file of it.
func fits(o op, used map[string]byte) bool {
	for dir := path.Dir(o.name); dir != "."; dir = path.Dir(dir) {
		if used[dir] == 'f' {
			return false
		}
	}
	return used[o.name] == 0 || used[o.name] == 'd' && o.kind == dirOp
}

func TestStackEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := model{}
		var layers []*Layer
		for range rapid.IntRange(1, 4).Draw(t, "layers") {
			ops := withoutLostLinks(genLayer(t, want))
			layer, err := ReadLayer(context.Background(), bytes.NewReader(tarOf(t, ops)), limits())
			if err != nil {
				t.Fatal(err)
			}
			layers = append(layers, throughJSON(t, layer))
			want.apply(ops)
		}
		tree, err := Stack(layers)
		if err != nil {
			t.Fatal(err)
		}
		if got := listTree(tree); got != want.String() {
			t.Fatalf("got\n%s\n\nwant\n%s", got, want)
		}
	})
}

// withoutLostLinks drops hard links to lower files that the same layer deletes
// or replaces: runtimes differ on them.
func withoutLostLinks(ops []op) []op {
	touched := func(target string) bool {
		for _, o := range ops {
			dir, base := path.Split(o.name)
			switch {
			case base == ".wh..wh..opq":
				if strings.HasPrefix(target, dir) {
					return true
				}
			default:
				name := dir + strings.TrimPrefix(base, ".wh.")
				if (o.kind != dirOp || name == target) && (target == name || strings.HasPrefix(target, name+"/")) {
					return true
				}
			}
		}
		return false
	}
	return slices.DeleteFunc(slices.Clone(ops), func(o op) bool { return o.kind == linkOp && touched(o.target) })
}
