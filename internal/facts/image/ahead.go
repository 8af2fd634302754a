package image

import (
	"bufio"
	"io"
)

// chunk is how much is handed from one stage of reading a layer to the next.
const chunk = 256 << 10

// ahead reads r in a goroutine of its own, so that decompressing and hashing go
// on while what came before is measured. r may be used again once stop, which
// must be called, has returned.
func ahead(r io.Reader) (reader io.Reader, stop func()) {
	out, in := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.CopyBuffer(in, r, make([]byte, chunk))
		_ = in.CloseWithError(err) // nil becomes io.EOF; it never fails
	}()
	return bufio.NewReaderSize(out, chunk), func() {
		_ = out.Close() // it never fails
		<-done
	}
}
