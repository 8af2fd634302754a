package history

import (
	"errors"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// maxName is the longest package, name, metric and machine ID in bytes:
// PostgreSQL's indexes take no more than 2704 bytes for two of them.
const maxName = 1024

// objectName is a full name of git's objects, by SHA-1 or SHA-256.
var objectName = regexp.MustCompile(`^(?i:[0-9a-f]{40}|[0-9a-f]{64})$`)

// check says why a run cannot be kept.
func check(run api.BenchRun, commit Commit) error {
	switch {
	case run.Side.Commit == "":
		return usage("the run does not say of which commit it is", "name the commit of the run")
	case run.Side.Dirty:
		return usage("the run is of a work tree that differs from its commit", "measure the commit: gopherwood bench run --rev HEAD")
	case commit.Time.IsZero():
		return usage("nothing says when the commit was made", "name the time of the commit")
	case run.Machine.ID != "" && !isName(run.Machine.ID):
		return invalid("%q cannot be the ID of a machine", cut(run.Machine.ID))
	}
	for _, hash := range append([]string{run.Side.Commit}, commit.Parents...) {
		if !objectName.MatchString(hash) {
			return invalid("%q is not the full name of a commit", cut(hash))
		}
	}
	for _, s := range run.Series {
		if err := checkSeries(s); err != nil {
			return err
		}
	}
	return nil
}

func checkSeries(s api.BenchSeries) error {
	if !isName(s.Name) || s.Package != "" && !isName(s.Package) {
		return invalid("%q of %q cannot be the name of a benchmark", cut(s.Name), cut(s.Package))
	}
	if len(s.Samples) > maxSamples {
		return tooMany
	}
	for _, sample := range s.Samples {
		for metric, value := range sample.Values {
			if !isName(metric) {
				return invalid("%q of %s cannot be the name of a metric", cut(metric), s.Name)
			}
			if math.IsNaN(value) || math.IsInf(value, 0) {
				return invalid("%s of %s is %v, which is no measurement", metric, s.Name, value)
			}
		}
	}
	return nil
}

// isName says whether both databases can keep s and find it again.
func isName(s string) bool {
	return s != "" && len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// subject makes the first line of a message one that both databases can keep.
func subject(message string) string {
	line, _, _ := strings.Cut(message, "\n")
	line = strings.ToValidUTF8(strings.ReplaceAll(line, "\x00", ""), "�")
	for len(line) > maxName {
		_, size := utf8.DecodeLastRuneInString(line)
		line = line[:len(line)-size]
	}
	return line
}

// cut shortens what is named in an error.
func cut(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

func usage(reason, hint string) error {
	return &fault.Error{Code: fault.Usage, Err: errors.New(reason), Hint: hint}
}
