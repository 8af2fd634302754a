package modproxy

import (
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// statusClosed is how the log and the metrics name a client that did not wait for
// its answer.
const statusClosed = 499

// statusOf returns the HTTP status of an error. The go command asks the next proxy
// in a GOPROXY list after 404 only, unless a "|" tells it to do so after any error.
// So 404 is what does not exist; what is refused, or was not found out, is not.
func statusOf(err error) int {
	switch fault.CodeOf(err) {
	case fault.NotFound, fault.Usage:
		return http.StatusNotFound
	case fault.Denied:
		return http.StatusForbidden
	case fault.Invalid, fault.Limit:
		return http.StatusBadGateway
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.Unsupported:
		return http.StatusNotImplemented
	case fault.Canceled:
		return statusClosed
	}
	return http.StatusInternalServerError
}

// What the go command prints of an error: up to 8 lines, up to the first blank one,
// of 648 bytes together; nothing at all if it holds characters that cannot be
// printed, and no line that would go over the limit.
const (
	maxText = 640
	maxHint = 200
)

// text returns what the user of the go command reads of an error.
func text(err error) string {
	hint := line(fault.HintOf(err), maxHint)
	s := line(err.Error(), maxText-len(hint))
	if hint != "" {
		s += "\n" + hint
	}
	return s + "\n"
}

// line makes one line of s that the go command prints, of at most limit bytes.
// What is too long is left out in the middle: the reason stands at the end.
func line(s string, limit int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }), " ")
	if len(s) <= limit {
		return s
	}
	const gap = " … "
	head := (limit - len(gap)) / 2
	tail := len(s) - (limit - len(gap) - head)
	for !utf8.RuneStart(s[head]) {
		head--
	}
	for !utf8.RuneStart(s[tail]) {
		tail++
	}
	return s[:head] + gap + s[tail:]
}

// fail answers with an error.
func fail(w http.ResponseWriter, status int, err error) int64 {
	body := text(err)
	h := w.Header()
	for _, name := range []string{"Etag", "Last-Modified", "Content-Encoding", "Vary"} {
		delete(h, name)
	}
	h["Content-Type"] = textType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = []string{"no-store"}
	if status == http.StatusServiceUnavailable {
		h["Retry-After"] = []string{"5"}
	}
	w.WriteHeader(status)
	n, _ := w.Write([]byte(body)) // a client that has gone needs no text
	return int64(n)
}
