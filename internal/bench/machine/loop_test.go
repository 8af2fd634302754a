package machine

import "testing"

// TestLoop fails when the work changes: times of different versions could then not
// be compared.
func TestLoop(t *testing.T) {
	l := NewLoop()
	first := l.Run()
	const want = 0xba22ff9364f11e45
	if l.state != want {
		t.Errorf("the work ended in %#x, want %#x", l.state, uint64(want))
	}
	if first <= 0 {
		t.Errorf("the work took %v", first)
	}
	touched := 0
	for i, word := range l.memory {
		if word != uint64(i) {
			touched++
		}
	}
	if touched < len(l.memory)*9/10 {
		t.Errorf("%d of %d words were used", touched, len(l.memory))
	}
	if n := testing.AllocsPerRun(10, func() { l.Run() }); n != 0 {
		t.Errorf("the work allocates %v times", n)
	}
}

func BenchmarkLoop(b *testing.B) {
	l := NewLoop()
	for b.Loop() {
		l.Run()
	}
}
