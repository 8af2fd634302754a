package matrix

import (
	_ "embed"
	"fmt"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/document"
	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

//go:embed upstream.yaml
var upstreamYAML []byte

//go:embed vendor.yaml
var vendorYAML []byte

// Embedded returns the built-in matrix of upstream's releases; with vendor, the
// built-in matrix of longer-lived vendor support is laid over it.
func Embedded(vendor bool) *Matrix {
	m := mustLoad("upstream.yaml", upstreamYAML)
	if vendor {
		m = Layer(m, Vendor())
	}
	return m
}

// Vendor returns the built-in matrix of longer-lived vendor support alone, to be
// laid over another.
func Vendor() *Matrix { return mustLoad("vendor.yaml", vendorYAML) }

// mustLoad loads a file that is part of the program, which its tests load too.
func mustLoad(name string, data []byte) *Matrix {
	m, err := Load(name, data)
	if err != nil {
		panic(err)
	}
	return m
}

// Load reads the version matrix document in data; name is the file's name in
// errors. Errors have the code fault.Invalid and name line and column.
func Load(name string, data []byte) (*Matrix, error) {
	var file api.VersionMatrix
	doc, err := document.Decode("load version matrix", name, data, api.KindVersionMatrix, &file)
	if err != nil {
		return nil, err
	}
	l := loader{doc: doc, file: &file}
	l.metadata()
	l.releases()
	if file.NewestSupported > 0 {
		l.deriveUntil()
	}
	l.features()
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return &Matrix{layers: []*layer{&l.out}}, nil
}

// loader checks a decoded matrix and turns it into a layer.
type loader struct {
	doc  *document.Document
	file *api.VersionMatrix
	out  layer
}

func (l *loader) report(path document.Path, format string, args ...any) {
	l.doc.Report(path, 0, fmt.Sprintf(format, args...))
}

// upstreamName is the name of the matrix that is no vendor's.
const upstreamName = "upstream"

func (l *loader) metadata() {
	l.out.meta = l.file.Metadata
	path := document.Path{"metadata"}
	if l.out.meta.Name == "" {
		l.report(path, "metadata.name is missing")
	}
	if l.out.source = upstreamName; l.out.meta.Name != upstreamName {
		l.out.source = "vendor " + l.out.meta.Name
	}
	l.date(path, "updated", l.out.meta.Updated)
	if l.file.NewestSupported < 0 {
		l.report(document.Path{"newestSupported"}, "newestSupported must be at least 1")
	}
	if len(l.file.Releases) == 0 {
		l.report(nil, "releases are missing")
	}
}

// date parses the day in text, which stands at path under key.
func (l *loader) date(path document.Path, key, text string) *time.Time {
	if text == "" {
		l.report(path, "%s is missing: want YYYY-MM-DD", key)
		return nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		l.report(path.Join(key), "%s: %q is no date: want YYYY-MM-DD", key, text)
		return nil
	}
	return &t
}

// minor parses a minor such as "1.22", which stands at path under key.
func (l *loader) minor(path document.Path, key, text string) goversion.Version {
	v, err := goversion.Parse(text)
	if err != nil || v.MinorString() != text {
		l.report(path.Join(key), "%s: %q is no Go minor: want a form such as 1.22", key, text)
	}
	return minorOf(v)
}

func (l *loader) releases() {
	for i, r := range l.file.Releases {
		path := document.Path{"releases", i}
		out := release{MatrixRelease: r, minor: l.minor(path, "version", r.Version)}
		if r.Released != "" || l.file.NewestSupported > 0 {
			out.released = l.date(path, "released", r.Released)
		}
		if l.file.NewestSupported == 0 {
			out.until = l.date(path, "until", r.Until)
		} else if r.Until != "" {
			l.report(path.Join("until"), "until is derived where newestSupported is given")
		}
		if i > 0 {
			l.order(path, l.out.releases[i-1], out)
		}
		l.out.releases = append(l.out.releases, out)
	}
}

// order checks that next may follow previous.
func (l *loader) order(path document.Path, previous, next release) {
	switch c := previous.minor.Compare(next.minor); {
	case c == 0:
		l.report(path.Join("version"), "version %s is listed twice", next.Version)
	case c > 0:
		l.report(path.Join("version"), "version %s follows %s: the oldest comes first", next.Version, previous.Version)
	case previous.released != nil && next.released != nil && !next.released.After(*previous.released):
		l.report(path.Join("released"), "%s was released on %s, not after %s on %s",
			next.Version, next.Released, previous.Version, previous.Released)
	}
}

// deriveUntil sets when each release ends: on the day when newestSupported newer
// ones are out.
func (l *loader) deriveUntil() {
	releases := l.out.releases
	for i := range releases {
		if end := i + l.file.NewestSupported; end < len(releases) {
			releases[i].until = releases[end].released
		}
	}
}

func (l *loader) features() {
	seen := map[string]bool{}
	for i, f := range l.file.Features {
		path := document.Path{"features", i}
		switch {
		case f.ID == "":
			l.report(path, "id is missing")
		case seen[f.ID]:
			l.report(path.Join("id"), "feature %q is listed twice", f.ID)
		case f.Name == "":
			l.report(path, "name is missing")
		}
		seen[f.ID] = true
		l.out.features = append(l.out.features, feature{GoFeature: f, since: l.minor(path, "since", f.Since)})
	}
}
