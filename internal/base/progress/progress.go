// Package progress is how long work tells a person how far it is, without
// knowing who listens.
package progress

// Sink hears how many bytes are to be read and have been read. It may be called
// from several goroutines.
type Sink interface {
	// Expect adds n bytes to what is to be done.
	Expect(n int64)
	// Done adds n bytes to what has been done.
	Done(n int64)
}

// Discard is the Sink that nobody listens to.
var Discard Sink = discard{}

type discard struct{}

func (discard) Expect(int64) {}
func (discard) Done(int64)   {}

// Or returns s, or Discard when s is nil.
func Or(s Sink) Sink {
	if s == nil {
		return Discard
	}
	return s
}
