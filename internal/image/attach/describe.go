package attach

import (
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Run is what the statements say of the build beside its result.
type Run struct {
	// Version is Gopherwood's own.
	Version string
	// Files are the facts of the image's executables, as facts.Subject has them.
	Files []api.Facts
	// Created is the time in the image, and that of the bills of materials; the
	// zero time means the beginning of 1970. Started and Finished are when the
	// build ran, for the provenance; zero times are left out.
	Created, Started, Finished time.Time
}

// said is a predicate with its type.
type said struct {
	predicateType string
	predicate     any
}

// Describe returns the statements about the image of one platform: its facts,
// bills of materials in SPDX and CycloneDX, its build facts, and SLSA provenance.
// They are the same for the same image, but for the time of the build in the
// provenance. name is what people call the image, such as the program's name.
func Describe(subject v1.Descriptor, name string, built api.BuiltImage, run Run) ([]Statement, error) {
	return statements(subject, name, run, append(measured(subject, name, built.Base, run),
		said{api.PredicateBuildFacts, built.Build},
		said{api.PredicateProvenance, newProvenance(built.Build, run)}))
}

// measured is what anybody can say who has read the image.
func measured(subject v1.Descriptor, name string, base api.BaseChoice, run Run) []said {
	bill := newBill(subject.Digest, name, base, run)
	return []said{
		{api.PredicateFacts, factsList(run.Files)},
		{api.PredicateSPDX, bill.spdx()},
		{api.PredicateCycloneDX, bill.cycloneDX()},
	}
}

func statements(subject v1.Descriptor, name string, run Run, all []said) ([]Statement, error) {
	var out []Statement
	for _, p := range all {
		s, err := NewStatement(subject.Digest, name, p.predicateType, p.predicate)
		if err != nil {
			return nil, err
		}
		s.Created = run.created()
		out = append(out, s)
	}
	return out, nil
}

func (r Run) created() time.Time {
	if r.Created.IsZero() {
		return time.Unix(0, 0)
	}
	return r.Created
}

// factsList is the facts without how they were come by: they hold wherever the
// image is.
func factsList(files []api.Facts) api.FactsList {
	items := append([]api.Facts{}, files...)
	for i := range items {
		items[i].Ref, items[i].Source = "", ""
	}
	return api.FactsList{SchemaVersion: api.SchemaVersion, Kind: api.KindFactsList, Items: items}
}
