package build

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// matcher says of a benchmark function whether it is to run.
type matcher func(name string) bool

// newMatcher returns what a -bench pattern of go test says of functions: the
// pattern has alternatives separated by "|", each with regular expressions for a
// function and its sub-benchmarks separated by "/", all outside of brackets (see
// `go help testflag`). An empty pattern matches all.
func newMatcher(pattern string) (matcher, error) {
	var all []*regexp.Regexp
	for _, alternative := range split(underscored(pattern), '|') {
		re, err := regexp.Compile(split(alternative, '/')[0])
		if err != nil {
			return nil, &fault.Error{Code: fault.Usage, Op: "read the pattern", Input: pattern, Err: err, Hint: "it is a regular expression of Go, as for go test -bench"}
		}
		all = append(all, re)
	}
	return func(name string) bool {
		for _, re := range all {
			if re.MatchString(name) {
				return true
			}
		}
		return false
	}, nil
}

// underscored writes spaces as go test does in the names of benchmarks.
func underscored(pattern string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return '_'
		}
		return r
	}, pattern)
}

// split cuts a pattern at a separator that is neither escaped nor inside of
// brackets or parentheses.
func split(pattern string, separator byte) (parts []string) {
	begin, brackets, parentheses := 0, 0, 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
		case c == '[':
			brackets++
		case c == ']':
			brackets = max(0, brackets-1)
		case brackets > 0:
		case c == '(':
			parentheses++
		case c == ')':
			parentheses--
		case c == separator && parentheses == 0:
			parts = append(parts, pattern[begin:i])
			begin = i + 1
		}
	}
	return append(parts, pattern[begin:])
}
