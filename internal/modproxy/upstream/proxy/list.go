package proxy

import (
	"cmp"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// listed is a line of a list: a version, and when it was made if the proxy says so.
type listed struct {
	version string
	time    time.Time
}

// parseList reads the lines of a list that begin with a version.
func parseList(data string) []listed {
	var lines []listed
	for line := range strings.SplitSeq(data, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || !semver.IsValid(fields[0]) || module.CanonicalVersion(fields[0]) != fields[0] {
			continue
		}
		l := listed{version: fields[0]}
		if len(fields) >= 2 {
			l.time, _ = time.Parse(time.RFC3339, fields[1]) // one without a time stays without
		} else if module.IsPseudoVersion(l.version) {
			l.time, _ = module.PseudoVersionTime(l.version)
		}
		lines = append(lines, l)
	}
	return lines
}

// versions returns the versions of lines.
func versions(lines []listed) []string {
	all := make([]string, len(lines))
	for i, l := range lines {
		all[i] = l.version
	}
	return all
}

// newest returns the version that a list says is the latest: the highest release,
// or else the highest of the others that have a tag, or else the pseudo-version
// that was made last.
func newest(lines []listed) string {
	best := listed{}
	rank := func(l listed) int {
		switch {
		case l.version == "" || module.IsPseudoVersion(l.version):
			return 0
		case semver.Prerelease(l.version) != "":
			return 1
		}
		return 2
	}
	for _, l := range lines {
		order := cmp.Compare(rank(l), rank(best))
		if order == 0 && rank(l) == 0 {
			order = l.time.Compare(best.time)
		} else if order == 0 {
			order = semver.Compare(l.version, best.version)
		}
		if order > 0 {
			best = l
		}
	}
	return best.version
}
