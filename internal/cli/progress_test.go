package cli

import (
	"bytes"
	"testing"
)

func TestBarLine(t *testing.T) {
	b := &bar{verb: "reading"}
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

// Lines are drawn over those before; what is written stands above them.
func TestBarRedraws(t *testing.T) {
	var w bytes.Buffer
	b := &bar{w: &w}
	b.draw([]string{"a\x1b", "b"})
	b.draw([]string{"c"})
	if _, err := b.Write([]byte("log\n")); err != nil {
		t.Fatal(err)
	}
	b.draw([]string{"d"})
	b.draw(nil)
	const up, clear = "\x1b[A", "\x1b[J"
	want := `a\x1b` + "\nb" + "\r" + up + clear + "c" + "\r" + clear + "log\n" + "d" + "\r" + clear
	if w.String() != want {
		t.Errorf("got %q, want %q", w.String(), want)
	}
}
