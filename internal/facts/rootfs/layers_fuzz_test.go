package rootfs

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// seeds are layers that between them use every kind of entry.
func seeds(f *testing.F) [][]byte {
	return [][]byte{
		tarOf(f, []op{{name: "bin/prog", mode: 0o755, content: "\x7fELF\x02\x01\x01"}, {name: "etc/passwd", content: "root:x:0:0::/:\n"}}),
		tarOf(f, []op{{kind: symlinkOp, name: "lib", target: "usr/lib"}, {name: "lib/f"}, {kind: linkOp, name: "g", target: "lib/f"}, {kind: linkOp, name: "h", target: "below"}}),
		tarOf(f, []op{{kind: dirOp, name: "d/", mode: 0o1777}, {name: "d/.wh.x"}, {name: "e/.wh..wh..opq"}, {kind: fifoOp, name: "p"}}),
		tarOf(f, []op{{name: strings.Repeat("long/", 100) + "name", mode: 0o755, content: "#!/bin/sh\n"}}),
		sparseTar(f, "5000"),
	}
}

// useLayer does with a layer what an image does.
func useLayer(t *testing.T, layer *Layer) {
	layer.Limited()
	base := layerOf(t, []op{{name: "below", mode: 0o755, content: "x"}})
	tree, err := Stack([]*Layer{base, layer, layer})
	if err != nil {
		return
	}
	for x := range tree.Executables() {
		if x.Err == nil && x.File.Object == nil {
			t.Errorf("%v is neither measured nor an error", x.Paths)
		}
	}
	if _, err := LookupUser(tree, "web:adm"); err == nil {
		t.Log("the accounts were read")
	}
	_, _ = LookPath(tree, User{UID: 1}, DefaultPath, "/", "prog")
}

func FuzzReadLayer(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		opt := limits()
		opt.MaxFile, opt.Budget = 1<<20, NewBudget(8<<20, 2000)
		layer, err := ReadLayer(context.Background(), bytes.NewReader(data), opt)
		if err != nil {
			return
		}
		useLayer(t, layer)
		record, err := json.Marshal(layer)
		if err != nil {
			return // names that are not UTF-8
		}
		restored := &Layer{}
		if err := json.Unmarshal(record, restored); err != nil {
			t.Fatalf("%v in %s", err, record)
		}
		again, err := json.Marshal(restored)
		if err != nil || !bytes.Equal(record, again) {
			t.Fatalf("%v\n%s\n%s", err, record, again)
		}
	})
}

func FuzzLayerJSON(f *testing.F) {
	for _, s := range seeds(f) {
		layer, err := ReadLayer(context.Background(), bytes.NewReader(s), limits())
		if err != nil {
			f.Fatal(err)
		}
		record, err := json.Marshal(layer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		layer := &Layer{}
		if err := json.Unmarshal(data, layer); err != nil {
			return
		}
		useLayer(t, layer)
		if _, err := json.Marshal(layer); err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkReadLayer reads a layer of programs and small files.
func BenchmarkReadLayer(b *testing.B) {
	program := string(buildProgram(b))
	var ops []op
	for i := range 8 {
		dir := "usr/share/d" + string(rune('a'+i)) + "/"
		ops = append(ops, op{name: dir + "prog", mode: 0o755, content: program})
		for j := range 500 {
			ops = append(ops, op{name: dir + strings.Repeat("f", 1+j%200) + string(rune('a'+j%26)), content: strings.Repeat("text ", 600)})
		}
	}
	data := tarOf(b, ops)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadLayer(context.Background(), bytes.NewReader(data), limits()); err != nil {
			b.Fatal(err)
		}
	}
}
