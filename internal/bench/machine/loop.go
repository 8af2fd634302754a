package machine

import "time"

const (
	// loopSteps is how much work a Loop does: about 1 ms of a processor at 3 GHz.
	// It and loopWords never change, so that times can be compared between versions.
	loopSteps = 1 << 17
	// loopWords is the size of a Loop's memory in words of 8 bytes, 256 KiB: more than
	// a first-level cache, so that neighbours who fill the caches are noticed.
	loopWords = 1 << 15
)

// Loop is a fixed amount of work on integers and memory. It is done between
// measurements to see how fast the machine is at that time. It is not safe for
// concurrent use.
type Loop struct {
	memory []uint64
	state  uint64
}

// NewLoop returns a loop whose memory is resident.
func NewLoop() *Loop {
	l := &Loop{memory: make([]uint64, loopWords)}
	for i := range l.memory {
		l.memory[i] = uint64(i)
	}
	l.state = 1
	return l
}

// Run does the work once, and returns how long it took. It allocates nothing.
func (l *Loop) Run() time.Duration {
	start := time.Now()
	l.state = work(l.memory, l.state)
	return time.Since(start)
}

// work walks through memory along a chain of pseudo-random numbers: the steps of
// xorshift64 (Marsaglia, Xorshift RNGs, Journal of Statistical Software 8(14),
// 2003), mixed with the word that each leads to, so that the next step waits for
// it. The result is kept by the caller; work is not inlined, so that the same code
// runs everywhere.
//
//go:noinline
func work(memory []uint64, x uint64) uint64 {
	for range loopSteps {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		word := &memory[x%loopWords]
		*word += x
		x = x ^ *word>>1 | 1<<63 // never 0, where xorshift would stay
	}
	return x
}
