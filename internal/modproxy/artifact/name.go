// Package artifact says how one version of a module is kept as an OCI artifact:
// what its repository and its tag are called, and what its manifest says.
// docs/formats/modproxy.md is the same for people.
package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The longest names, in bytes. Repository names stay well below the 255 bytes
// that registries take, for the prefix and for file systems.
const (
	maxRepository = 200
	maxTag        = 128
)

// The names of what would be too long begin with what no other name begins with.
const (
	hashedRepository = "q9/"
	hashedTag        = "_"
)

// ErrHashed says that a name is a hash: the annotations of the manifests in that
// repository, or of the manifest with that tag, say what it stands for.
var ErrHashed = errors.New("the name is a hash, for what it stands for is too long")

// Repository returns the name of the repository of a module's versions: the
// module path where the grammar of OCI repositories allows it. "q" escapes the
// rest: "qa" to "qz" are the letters in upper case, "q0" is the letter itself,
// and "q1" to "q4" are "~", ".", "-" and "_" where the grammar has no place for
// them. A name of more than 200 bytes becomes "q9/" and the SHA-256 of the path.
//
// No two modules have the same repository, also where upper and lower case are
// the same. A path that no module can have is an error with the code Invalid.
func Repository(modulePath string) (string, error) {
	if err := module.CheckPath(modulePath); err != nil {
		return "", invalid("name repository of module", modulePath, err)
	}
	name := escape(modulePath)
	if len(name) > maxRepository {
		return hashedRepository + hash([]byte(modulePath)), nil
	}
	return name, nil
}

// ModulePath returns the module path whose repository has the name. Of names
// that are hashes the error is ErrHashed; of those that Repository does not
// return it has the code Invalid.
func ModulePath(repository string) (string, error) {
	if rest, ok := strings.CutPrefix(repository, hashedRepository); ok && isHash(rest) {
		return "", ErrHashed
	}
	path, err := unescape(repository)
	if err != nil {
		return "", invalid("module path of repository", repository, err)
	}
	if again, err := Repository(path); err != nil || again != repository {
		return "", invalid("module path of repository", repository, errors.New("it is not how a module's repository is named"))
	}
	return path, nil
}

// Tag returns the tag of a canonical version: the version with "_" in the place
// of "+", and "__a" to "__z" in the place of letters in upper case, since some
// registries keep tags as names of files. A tag of more than 128 bytes becomes
// "_" and the SHA-256 of the version.
//
// A version that is not canonical is an error with the code Invalid.
func Tag(version string) (string, error) {
	if version == "" || module.CanonicalVersion(version) != version {
		return "", invalid("tag version", version, errors.New("it is not a canonical version"))
	}
	var b strings.Builder
	for _, c := range []byte(version) {
		switch {
		case c == '+':
			b.WriteByte('_')
		case 'A' <= c && c <= 'Z':
			b.WriteString("__")
			b.WriteByte(lower(c))
		default:
			b.WriteByte(c)
		}
	}
	if b.Len() > maxTag {
		return hashedTag + hash([]byte(version)), nil
	}
	return b.String(), nil
}

// VersionOf returns the version that has the tag. Of tags that are hashes the
// error is ErrHashed; of those that Tag does not return it has the code Invalid.
func VersionOf(tag string) (string, error) {
	if rest, ok := strings.CutPrefix(tag, hashedTag); ok && isHash(rest) {
		return "", ErrHashed
	}
	version := escapedUpper.ReplaceAllStringFunc(tag, func(s string) string { return strings.ToUpper(s[2:]) })
	version = strings.Replace(version, "_", "+", 1)
	if again, err := Tag(version); err != nil || again != tag {
		return "", invalid("version of tag", tag, errors.New("it is not how a version is tagged"))
	}
	return version, nil
}

var escapedUpper = regexp.MustCompile(`__[a-z]`)

// punctuation is in the order of its escapes, "q1" to "q4".
const punctuation = "~.-_"

func escape(path string) string {
	var b strings.Builder
	for i, elem := range strings.Split(path, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		escapeElement(&b, elem)
	}
	return b.String()
}

func escapeElement(b *strings.Builder, elem string) {
	for i := 0; i < len(elem); {
		run := separators(elem[i:])
		if run > 0 && i > 0 && i+run < len(elem) && regular(elem[i:i+run]) {
			b.WriteString(elem[i : i+run])
			i += run
			continue
		}
		for range max(run, 1) {
			escapeByte(b, elem[i])
			i++
		}
	}
}

func escapeByte(b *strings.Builder, c byte) {
	number := strings.IndexByte(punctuation, c)
	switch {
	case number >= 0:
		b.WriteByte('q')
		b.WriteByte('1' + byte(number))
	case c == 'q':
		b.WriteString("q0")
	case 'A' <= c && c <= 'Z':
		b.WriteByte('q')
		b.WriteByte(lower(c))
	default:
		b.WriteByte(c)
	}
}

// separators counts how many of ".-_" s begins with.
func separators(s string) int { return len(s) - len(strings.TrimLeft(s, ".-_")) }

// regular reports whether the grammar has the run between two letters or digits.
func regular(run string) bool {
	return run == "." || run == "_" || run == "__" || strings.Trim(run, "-") == ""
}

func unescape(name string) (string, error) {
	if len(name) > maxRepository {
		return "", fmt.Errorf("it is longer than %d bytes", maxRepository)
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != 'q' {
			b.WriteByte(name[i])
			continue
		}
		if i++; i == len(name) {
			return "", errors.New("it ends within an escape")
		}
		switch c := name[i]; {
		case 'a' <= c && c <= 'z':
			b.WriteByte(c - 'a' + 'A')
		case c == '0':
			b.WriteByte('q')
		case '1' <= c && c <= '4':
			b.WriteByte(punctuation[c-'1'])
		default:
			return "", fmt.Errorf("q%c is no escape", c)
		}
	}
	return b.String(), nil
}

func lower(c byte) byte { return c - 'A' + 'a' }

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// isHash reports whether s is a SHA-256 as hash writes it.
func isHash(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}

func invalid(op, input string, err error) error {
	return &fault.Error{Code: fault.Invalid, Op: op, Input: input, Err: err}
}
