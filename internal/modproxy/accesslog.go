package modproxy

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// logBytes is about how much of the log waits to be written, at most; what is
	// beyond that is dropped, and counted.
	logBytes = 2 << 20
	// logDelay is how long a line waits for others.
	logDelay = 100 * time.Millisecond
)

// AccessLog writes a line of JSON for each request, as slog's JSON handler writes
// lines. Requests never wait for it: if it is not taken fast enough, lines are
// dropped. A nil *AccessLog drops all. It is safe for concurrent use.
type AccessLog struct {
	out     io.Writer
	dropped atomic.Int64

	mu      sync.Mutex
	waiting []byte
	written []byte // empty; to be filled next
	closed  bool

	wake chan struct{} // there is something to be written, or the log is closed
	quit chan struct{} // closed with the log
	done chan struct{} // closed when everything is written
}

// NewAccessLog returns a log that writes whole lines to out. It must be closed.
func NewAccessLog(out io.Writer) *AccessLog {
	l := &AccessLog{out: out, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	go l.work()
	return l
}

// work writes what waits, until the log is closed.
func (l *AccessLog) work() {
	defer close(l.done)
	for closed := false; !closed; {
		<-l.wake
		closed = l.pause()
		l.flush()
	}
}

// pause lets lines come together, unless the log is closed, which it says.
func (l *AccessLog) pause() bool {
	select {
	case <-l.quit:
		return true
	case <-time.After(logDelay):
		return false
	}
}

func (l *AccessLog) flush() {
	l.mu.Lock()
	data := l.waiting
	l.waiting, l.written = l.written, nil
	l.mu.Unlock()
	if len(data) > 0 {
		_, _ = l.out.Write(data) // nobody else could be told
	}
	l.mu.Lock()
	l.written = data[:0]
	l.mu.Unlock()
}

// Close writes what waits. Later lines are dropped.
func (l *AccessLog) Close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.quit)
		l.signal()
	}
	l.mu.Unlock()
	<-l.done
}

// signal wakes the worker.
func (l *AccessLog) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Dropped returns how many lines were dropped.
func (l *AccessLog) Dropped() int64 {
	if l == nil {
		return 0
	}
	return l.dropped.Load()
}

// write adds the line of a request.
func (l *AccessLog) write(r *http.Request, o *outcome, begin time.Time, took time.Duration) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.waiting) >= logBytes {
		l.dropped.Add(1)
		return
	}
	if len(l.waiting) == 0 {
		l.signal()
	}
	l.waiting = appendLine(l.waiting, r, o, begin, took)
}

// appendLine appends what the log says of a request. It is written by hand since it
// is done for every one.
func appendLine(b []byte, r *http.Request, o *outcome, begin time.Time, took time.Duration) []byte {
	b = begin.AppendFormat(append(b, `{"time":"`...), time.RFC3339Nano)
	b = appendString(append(b, `","level":"INFO","msg":"request","method":`...), r.Method)
	b = appendString(append(b, `,"path":`...), r.URL.Path)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(o.status), 10)
	b = strconv.AppendInt(append(b, `,"bytes":`...), o.bytes, 10)
	b = strconv.AppendFloat(append(b, `,"ms":`...), float64(took.Microseconds())/1000, 'f', -1, 64)
	b = appendString(append(b, `,"client":`...), r.RemoteAddr)
	if agent := r.Header["User-Agent"]; len(agent) > 0 {
		b = appendString(append(b, `,"agent":`...), agent[0])
	}
	if o.level != "" {
		b = appendString(append(b, `,"from":`...), string(o.level))
	}
	if o.user != "" {
		b = appendString(append(b, `,"user":`...), o.user)
	}
	if o.err != nil {
		b = appendString(append(b, `,"error":`...), o.err.Error())
	}
	return append(b, "}\n"...)
}

// maxValue bounds what clients put into the log, in bytes.
const maxValue = 1000

// appendString appends s as JSON.
func appendString(b []byte, s string) []byte {
	s = s[:min(len(s), maxValue)]
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string always can be
			return append(b, quoted...)
		}
	}
	b = append(append(b, '"'), s...)
	return append(b, '"')
}
