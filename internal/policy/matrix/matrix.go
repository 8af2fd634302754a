// Package matrix knows the Go releases: when each came, until when it is
// supported, and what it brought.
//
// The knowledge is data: a file of upstream's releases, whose ends of support
// follow from upstream's rule and are never stored, and files of vendors that
// support some minors longer. Both are described in docs/formats/matrix.md.
package matrix

import (
	"fmt"
	"slices"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

// Matrix is a version matrix, possibly several laid over one another. It does
// not change and is safe for concurrent use.
type Matrix struct {
	// layers are in the order in which they were laid; never empty.
	layers []*layer
}

// layer is one matrix file.
type layer struct {
	meta     api.MatrixMetadata
	source   string
	releases []release
	features []feature
}

// release is a minor in one layer.
type release struct {
	api.MatrixRelease
	minor goversion.Version
	// released and until are nil where the layer does not say or know them.
	released, until *time.Time
}

type feature struct {
	api.GoFeature
	since goversion.Version
}

// Layer returns base with over laid on top: a minor is supported until the
// latest day that any layer says, and what over says of a minor's use wins.
func Layer(base, over *Matrix) *Matrix {
	return &Matrix{layers: slices.Concat(base.layers, over.layers)}
}

// Support is what a matrix says of one Go version on one day.
type Support struct {
	// Minor is the version's minor, for example "1.22"; empty when the version
	// could not be parsed.
	Minor string `json:"minor"`
	// Known is true when the matrix can tell whether the minor is supported: it
	// lists it, or all that it lists are newer.
	Known bool `json:"known"`
	// Newer is true when the minor is newer than the matrix, which then has
	// nothing to say about it.
	Newer bool `json:"newer"`
	// Supported is true when the minor still gets security fixes.
	Supported bool `json:"supported"`
	// Prerelease is true for betas, candidates and development versions.
	Prerelease bool `json:"prerelease"`
	// Source is the layer that supports the minor longest: "upstream", or
	// "vendor NAME"; empty when no layer lists it.
	Source string `json:"source"`
	// Until is the last day of support; nil while it is not known.
	Until *time.Time `json:"until"`
	// Released is the day of the minor's first release; nil when not known.
	Released *time.Time `json:"released"`
	// AgeDays is how many days ago that was; 0 when not known.
	AgeDays int `json:"ageDays"`
	// Oldest is the oldest minor that is supported on that day, and Newest the
	// newest one that is released.
	Oldest string `json:"oldest"`
	Newest string `json:"newest"`
}

// Support says whether version, in any form that package goversion parses, is
// supported on the day of today.
func (m *Matrix) Support(version string, today time.Time) Support {
	day := today.UTC().Truncate(24 * time.Hour)
	var s Support
	s.Oldest, s.Newest = m.current(day)
	v, err := goversion.Parse(version)
	if err != nil {
		return s
	}
	minor := minorOf(v)
	s.Minor, s.Prerelease = v.MinorString(), v.Prerelease()
	m.fill(&s, minor)
	switch oldest, newest := m.bounds(); {
	case s.Source != "":
		s.Known = true
		s.Supported = s.Until == nil || !day.After(*s.Until)
	case minor.Compare(oldest) < 0:
		s.Known = true
	default:
		s.Newer = minor.Compare(newest) > 0
	}
	if s.Released != nil {
		s.AgeDays = int(day.Sub(*s.Released).Hours() / 24)
	}
	return s
}

// minorOf returns the minor alone, which is how layers name theirs.
func minorOf(v goversion.Version) goversion.Version {
	return goversion.Version{Major: v.Major, Minor: v.Minor}
}

// fill takes the longest support and the release day of minor from the layers.
func (m *Matrix) fill(s *Support, minor goversion.Version) {
	for _, l := range m.layers {
		r := l.find(minor)
		if r == nil {
			continue
		}
		if s.Source == "" || s.Until != nil && (r.until == nil || r.until.After(*s.Until)) {
			s.Source, s.Until = l.source, r.until
		}
		if s.Released == nil {
			s.Released = r.released
		}
	}
}

func (l *layer) find(minor goversion.Version) *release {
	i, ok := slices.BinarySearchFunc(l.releases, minor, func(r release, v goversion.Version) int {
		return r.minor.Compare(v)
	})
	if !ok {
		return nil
	}
	return &l.releases[i]
}

// minors returns every minor that a layer lists, the oldest first.
func (m *Matrix) minors() []goversion.Version {
	var all []goversion.Version
	for _, l := range m.layers {
		for _, r := range l.releases {
			all = append(all, r.minor)
		}
	}
	slices.SortFunc(all, goversion.Version.Compare)
	return slices.Compact(all)
}

func (m *Matrix) bounds() (oldest, newest goversion.Version) {
	all := m.minors()
	return all[0], all[len(all)-1]
}

// current returns the oldest minor that is supported and the newest that is
// released on day, "" where there is none.
func (m *Matrix) current(day time.Time) (oldest, newest string) {
	for _, minor := range m.minors() {
		var s Support
		m.fill(&s, minor)
		if s.Released != nil && s.Released.After(day) {
			continue
		}
		if newest = minor.MinorString(); oldest == "" && (s.Until == nil || !day.After(*s.Until)) {
			oldest = newest
		}
	}
	return oldest, newest
}

// Features returns what a program built with version may use, in the order of
// the matrix; nothing when version cannot be parsed.
func (m *Matrix) Features(version string) []api.GoFeature {
	v, err := goversion.Parse(version)
	if err != nil {
		return nil
	}
	return m.features(func(f feature) bool { return f.since.Compare(minorOf(v)) <= 0 })
}

// features returns the features that keep accepts, an upper layer's in place of
// a lower one's with the same id.
func (m *Matrix) features(keep func(feature) bool) []api.GoFeature {
	var out []api.GoFeature
	seen := map[string]bool{}
	for _, l := range slices.Backward(m.layers) {
		for _, f := range l.features {
			if !seen[f.ID] && keep(f) {
				out = append(out, f.GoFeature)
			}
			seen[f.ID] = true
		}
	}
	return out
}

// Feature returns the feature id; false when the matrix has no such feature.
func (m *Matrix) Feature(id string) (api.GoFeature, bool) {
	all := m.features(func(feature) bool { return true })
	i := slices.IndexFunc(all, func(f api.GoFeature) bool { return f.ID == id })
	if i < 0 {
		return api.GoFeature{}, false
	}
	return all[i], true
}

// HasFeature reports whether version has the feature id. The error says that the
// matrix has no such feature.
func (m *Matrix) HasFeature(version, id string) (bool, error) {
	if _, ok := m.Feature(id); !ok {
		return false, fmt.Errorf("the version matrix has no feature %q", id)
	}
	return slices.ContainsFunc(m.Features(version), func(f api.GoFeature) bool { return f.ID == id }), nil
}

// Releases returns the whole matrix as it stands on the day of today, the newest
// minor first.
func (m *Matrix) Releases(today time.Time) api.GoVersionList {
	list := api.GoVersionList{
		SchemaVersion: api.SchemaVersion,
		Kind:          api.KindGoVersionList,
		Today:         today.UTC().Format(time.DateOnly),
	}
	for _, l := range m.layers {
		list.Matrices = append(list.Matrices, l.meta)
	}
	for _, minor := range slices.Backward(m.minors()) {
		list.Items = append(list.Items, m.version(minor, today))
	}
	return list
}

func (m *Matrix) version(minor goversion.Version, today time.Time) api.GoVersion {
	s := m.Support(minor.MinorString(), today)
	v := api.GoVersion{
		Version:   s.Minor,
		Released:  formatDate(s.Released),
		Supported: s.Supported,
		Until:     formatDate(s.Until),
		Source:    s.Source,
		Features:  m.features(func(f feature) bool { return f.since.Compare(minor) == 0 }),
	}
	for _, l := range m.layers {
		if r := l.find(minor); r != nil && r.Use != "" {
			v.Use = r.Use
		}
		if r := l.find(minor); r != nil && len(r.Scenarios) > 0 {
			v.Scenarios = r.Scenarios
		}
	}
	return v
}

func formatDate(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.DateOnly)
}
