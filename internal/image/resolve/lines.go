package resolve

import (
	"bytes"
	"unicode/utf8"
)

// lines finds positions of the YAML parser in a text: lines and columns from 1,
// the latter in characters. A byte order mark takes no column.
type lines struct {
	text []byte
	// begin is where each line begins.
	begin []int
}

// byteOrderMark is U+FEFF in UTF-8.
var byteOrderMark = []byte("\xef\xbb\xbf")

// newLines splits text where YAML 1.1 breaks lines.
func newLines(text []byte) lines {
	first := 0
	if bytes.HasPrefix(text, byteOrderMark) {
		first = len(byteOrderMark)
	}
	l := lines{text: text, begin: []int{first}}
	for i := first; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		i += n
		switch r {
		case '\r':
			if i < len(text) && text[i] == '\n' {
				continue
			}
		case '\n', '\u0085', '\u2028', '\u2029':
		default:
			continue
		}
		l.begin = append(l.begin, i)
	}
	return l
}

// offset returns where in the text a position is; the text's end for one that it
// does not have.
func (l lines) offset(line, column int) int {
	if line < 1 || line > len(l.begin) {
		return len(l.text)
	}
	i := l.begin[line-1]
	for ; column > 1 && i < len(l.text); column-- {
		_, n := utf8.DecodeRune(l.text[i:])
		i += n
	}
	return i
}
