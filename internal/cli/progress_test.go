package cli

import (
	"bytes"
	"testing"
)

func TestBarLine(t *testing.T) {
	b := &bar{}
	b.Done(1024)
	if got := b.line(); got != "reading 1.0 KiB" {
		t.Errorf("got %q", got)
	}
	b.Expect(4096)
	if got := b.line(); got != "reading 1.0 KiB of 4.0 KiB" {
		t.Errorf("got %q", got)
	}
}

func TestBarIsSilentElsewhere(t *testing.T) {
	var w bytes.Buffer
	b := startBar(&w)
	b.Done(1)
	b.stop()
	if w.Len() != 0 {
		t.Errorf("wrote %q", w.String())
	}
}
