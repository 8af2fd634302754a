package gate

import (
	"errors"
	"path"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// pattern matches modules: a pattern as GOPRIVATE has them, and a version or "".
type pattern struct{ path, version string }

// parsePattern reads PATTERN[@VERSION].
func parsePattern(text string) (pattern, error) {
	glob, version, hasVersion := strings.Cut(text, "@")
	p := pattern{strings.TrimSuffix(glob, "/"), version}
	switch {
	case p.path == "":
		return p, errors.New("the pattern is empty")
	case strings.Contains(text, ","):
		return p, errors.New("the pattern has a comma: give each pattern by itself")
	case hasVersion && module.CanonicalVersion(version) != version:
		return p, errors.New("the part after @ is no whole version: want one such as v1.2.3")
	case hasVersion && !semver.IsValid(version):
		return p, errors.New("the part after @ is no version: want one such as v1.2.3")
	}
	if _, err := path.Match(p.path, ""); err != nil {
		return p, errors.New("the pattern has a bracket or a backslash that nothing ends")
	}
	return p, nil
}

func (p pattern) match(path, version string) bool {
	return (p.version == "" || p.version == version) && module.MatchPrefixPatterns(p.path, path)
}

// patterns match what one of them matches.
type patterns []pattern

func parsePatterns(op string, texts []string) (patterns, error) {
	var all patterns
	for _, text := range texts {
		p, err := parsePattern(text)
		if err != nil {
			return nil, &fault.Error{Code: fault.Usage, Op: op, Input: text, Err: err,
				Hint: "patterns are those of GOPRIVATE, such as github.com/team or *.example.com, and may end in @v1.2.3"}
		}
		all = append(all, p)
	}
	return all, nil
}

func (all patterns) match(path, version string) bool {
	for _, p := range all {
		if p.match(path, version) {
			return true
		}
	}
	return false
}
