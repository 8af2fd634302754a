package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// MaxList is the longest list of versions that is read, in bytes. The limits of
// other answers are those of package artifact.
const MaxList = 32 << 20

// CheckVersion says what is wrong with a version that is not canonical or not
// one that the module's path can have.
func CheckVersion(m module.Version) error {
	if module.CanonicalVersion(m.Version) != m.Version {
		return &module.InvalidVersionError{Version: m.Version, Err: errors.New("it is not canonical")}
	}
	return module.Check(m.Path, m.Version)
}

// CheckInfo says what is wrong with an .info document. When query is a version
// of the path, the document must be about that one.
func CheckInfo(data []byte, path, query string) error {
	var info struct {
		Version string
		Time    time.Time
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return fmt.Errorf("it is not an .info document: %w", err)
	}
	asked := module.Version{Path: path, Version: query}
	if query != "" && CheckVersion(asked) == nil && info.Version != query {
		return fmt.Errorf("it is about version %.100q instead of %s", info.Version, query)
	}
	if err := CheckVersion(module.Version{Path: path, Version: info.Version}); err != nil {
		return fmt.Errorf("it is about version %.100q, which %s cannot have", info.Version, path)
	}
	return nil
}

// Released returns the versions that are no pseudo-versions, in the order of
// semver, each once.
func Released(versions []string) []string {
	released := []string{}
	for _, v := range versions {
		if !module.IsPseudoVersion(v) {
			released = append(released, v)
		}
	}
	semver.Sort(released)
	return slices.Compact(released)
}

// Printable returns what an upstream says, up to the first blank line, or nothing
// if it has what is not text. Its end may be a letter that was cut.
func Printable(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n\n")
	for s != "" && !utf8.ValidString(s) && !utf8.RuneStart(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsGraphic(r) && !unicode.IsSpace(r) {
			return ""
		}
	}
	return s
}
