package gate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/mod/semver"
)

// osvEntry is what is read of an entry of the OSV schema
// (https://ossf.github.io/osv-schema/).
type osvEntry struct {
	ID        string        `json:"id"`
	Withdrawn string        `json:"withdrawn"`
	Aliases   []string      `json:"aliases"`
	Summary   string        `json:"summary"`
	Affected  []osvAffected `json:"affected"`
	Database  struct {
		Severity any `json:"severity"`
	} `json:"database_specific"`
}

type osvAffected struct {
	Package struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
	} `json:"package"`
	Ranges   []osvRange `json:"ranges"`
	Versions []string   `json:"versions"`
}

type osvRange struct {
	Type   string `json:"type"`
	Events []struct {
		Introduced   string `json:"introduced"`
		Fixed        string `json:"fixed"`
		LastAffected string `json:"last_affected"`
		Limit        string `json:"limit"`
	} `json:"events"`
}

// goEcosystem is the name of Go in the schema. A suffix after a colon is allowed.
const goEcosystem = "Go"

// maxSummary is the longest summary that is kept, in bytes.
const maxSummary = 120

// parseEntry reads an entry. What it says of modules is keyed by their path;
// isGo is false of one that is about other ecosystems only. A withdrawn entry
// says nothing.
func parseEntry(data []byte) (affected map[string][]*vulnerability, isGo bool, err error) {
	var e osvEntry
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, false, fmt.Errorf("it is no entry of the OSV schema: %w", err)
	}
	if e.ID == "" {
		return nil, false, errors.New("it is no entry of the OSV schema: id is missing")
	}
	shared := e.shared()
	affected = map[string][]*vulnerability{}
	for _, a := range e.Affected {
		if ecosystem, _, _ := strings.Cut(a.Package.Ecosystem, ":"); ecosystem != goEcosystem {
			continue
		}
		v, err := a.vulnerability(shared)
		if err != nil {
			return nil, false, fmt.Errorf("entry %q, module %q: %w", e.ID, a.Package.Name, err)
		}
		affected[a.Package.Name] = append(affected[a.Package.Name], v)
		isGo = true
	}
	if e.withdrawn() {
		clear(affected)
	}
	return affected, isGo, nil
}

// withdrawn reports whether the entry was taken back. A time that cannot be read
// does not count as one.
func (e osvEntry) withdrawn() bool {
	_, err := time.Parse(time.RFC3339Nano, e.Withdrawn)
	return err == nil
}

// shared returns what all modules of the entry have in common.
func (e osvEntry) shared() *advisory {
	severity, _ := e.Database.Severity.(string)
	a := &advisory{id: plain(e.ID), summary: plain(e.Summary), severity: strings.ToLower(plain(severity))}
	for _, alias := range e.Aliases {
		if alias = plain(alias); !slices.Contains(a.aliases, alias) {
			a.aliases = append(a.aliases, alias)
		}
	}
	return a
}

// plain returns s in one line without control characters, cut to maxSummary: it
// ends up in terminals.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxSummary {
		s = strings.ToValidUTF8(s[:maxSummary], "") + "…"
	}
	return s
}

func (a osvAffected) vulnerability(shared *advisory) (*vulnerability, error) {
	v := &vulnerability{advisory: shared, all: len(a.Ranges) == 0 && len(a.Versions) == 0}
	for _, r := range a.Ranges {
		switch r.Type {
		case "SEMVER", "ECOSYSTEM":
		case "GIT":
			continue // about commits
		default:
			return nil, fmt.Errorf("%q is no type of range", r.Type)
		}
		versions, err := r.versions()
		if err != nil {
			return nil, err
		}
		v.all = v.all || len(versions.events) == 0
		v.ranges = append(v.ranges, versions)
	}
	for _, version := range a.Versions {
		v.versions = append(v.versions, exact(canonical(version)))
	}
	slices.Sort(v.versions)
	return v, nil
}

func (r osvRange) versions() (versionRange, error) {
	var out versionRange
	for _, e := range r.Events {
		for _, one := range []struct {
			kind eventKind
			text string
		}{{introduced, e.Introduced}, {fixed, e.Fixed}, {lastAffected, e.LastAffected}, {limit, e.Limit}} {
			if one.text == "" || one.kind == limit && one.text == "*" {
				continue
			}
			version := canonical(one.text)
			if one.kind == introduced && one.text == "0" {
				version = ""
			} else if !semver.IsValid(version) {
				return out, fmt.Errorf("%q is no version", one.text)
			}
			out.events = append(out.events, versionEvent{one.kind, version})
		}
	}
	slices.SortStableFunc(out.events, func(a, b versionEvent) int {
		return cmp.Or(semver.Compare(a.version, b.version), cmp.Compare(a.kind, b.kind))
	})
	return out, nil
}

// exact returns version as it is looked up in lists: entries write +incompatible
// or leave it out.
func exact(version string) string { return strings.TrimSuffix(version, "+incompatible") }

// canonical returns an OSV version as Go writes it: with a v.
func canonical(version string) string {
	if version != "" && !strings.HasPrefix(version, "v") {
		return "v" + version
	}
	return version
}
