package attach

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Who builds, and how: docs/formats/attachments.md says what the types mean.
const (
	buildType = "https://gopherwood.dev/build/v1"
	builderID = "https://gopherwood.dev/builder/v1"
)

// provenance is the predicate https://slsa.dev/provenance/v1, as far as it is
// used here.
type provenance struct {
	BuildDefinition buildDefinition `json:"buildDefinition"`
	RunDetails      runDetails      `json:"runDetails"`
}

type buildDefinition struct {
	BuildType            string             `json:"buildType"`
	ExternalParameters   externalParameters `json:"externalParameters"`
	InternalParameters   internalParameters `json:"internalParameters"`
	ResolvedDependencies []resource         `json:"resolvedDependencies"`
}

// externalParameters is what was asked for.
type externalParameters struct {
	Package  string            `json:"package"`
	Platform api.Platform      `json:"platform"`
	Config   api.PackageConfig `json:"config"`
}

// internalParameters is what was decided or found.
type internalParameters struct {
	Dir         string            `json:"dir"`
	CGO         api.CGODecision   `json:"cgo"`
	Flags       []string          `json:"flags"`
	Env         map[string]string `json:"env,omitempty"`
	ModuleGraph string            `json:"moduleGraph"`
	Profile     string            `json:"profile,omitempty"`
	BaseReason  string            `json:"baseReason,omitempty"`
	Compression string            `json:"compression,omitempty"`
}

// resource is a ResourceDescriptor of in-toto, which has a URI or a digest at
// least.
type resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

type runDetails struct {
	Builder  builderOf    `json:"builder"`
	Metadata *runMetadata `json:"metadata,omitempty"`
}

type builderOf struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version,omitempty"`
}

type runMetadata struct {
	StartedOn  string `json:"startedOn,omitempty"`
	FinishedOn string `json:"finishedOn,omitempty"`
}

func newProvenance(build api.BuildFacts, run Run) provenance {
	p := provenance{
		BuildDefinition: buildDefinition{
			BuildType:          buildType,
			ExternalParameters: externalParameters{build.Package, build.Platform, build.Config},
			InternalParameters: internalParameters{
				Dir: build.Dir, CGO: build.CGO, Flags: build.Flags, Env: build.Env, ModuleGraph: build.ModuleGraph,
				Profile: build.Profile, BaseReason: build.Base.Reason, Compression: build.Compression,
			},
			ResolvedDependencies: resolved(build, run.Files),
		},
		RunDetails: runDetails{Builder: builderOf{ID: builderID}},
	}
	if run.Version != "" {
		p.RunDetails.Builder.Version = map[string]string{"gopherwood": run.Version}
	}
	if !run.Started.IsZero() || !run.Finished.IsZero() {
		p.RunDetails.Metadata = &runMetadata{rfc3339(run.Started), rfc3339(run.Finished)}
	}
	return p
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// resolved is what went into the image: the source, the base, the toolchain and
// every module that the program links.
func resolved(build api.BuildFacts, files []api.Facts) []resource {
	var list []resource
	if source := sourceOf(build); source.URI != "" || source.Digest != nil {
		list = append(list, source)
	}
	if base, ok := baseOf(build.Base); ok {
		list = append(list, base)
	}
	list = append(list, resource{Name: "go", URI: purl(stdlibPath, stdlibVersion(build.Go)), Annotations: map[string]any{"version": build.Go}})
	for _, f := range files {
		if f.Go == nil || f.Digest != build.Digest {
			continue
		}
		for _, m := range f.Go.Deps {
			list = append(list, moduleResource(newModule(m)))
		}
	}
	return list
}

// sourceOf is the commit of the main module. Where the repository is, nothing
// records.
func sourceOf(build api.BuildFacts) resource {
	r := resource{Name: "source", URI: purl(build.Module.Path, known(build.Module.Version))}
	if vcs := build.Source; vcs != nil {
		r.Annotations = map[string]any{"vcs": vcs.System, "revision": vcs.Revision, "modified": vcs.Modified}
		if vcs.System == "git" {
			r.Digest = map[string]string{"gitCommit": vcs.Revision}
		}
	}
	return r
}

// baseOf is the base image; ok is false when its digest is not known.
func baseOf(base api.BaseChoice) (r resource, ok bool) {
	digest, err := v1.NewHash(base.Digest)
	if err != nil {
		return resource{}, false
	}
	return resource{
		Name: "base", URI: basePURL(base), Digest: map[string]string{digest.Algorithm: digest.Hex},
		Annotations: map[string]any{"ref": base.Ref},
	}, true
}

// moduleResource names a module. One that a directory replaces has no version:
// what was linked of it is not known by any name.
func moduleResource(m module) resource {
	r := resource{Name: m.path, URI: cmp.Or(m.purl, purl(m.path, ""))}
	if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.sum, "h1:")); err == nil && len(sum) > 0 {
		// The directory hash of Go, in in-toto's way of writing it.
		r.Digest = map[string]string{"dirHash": hex.EncodeToString(sum)}
	}
	if m.replaces != "" {
		r.Annotations = map[string]any{"replaces": m.replaces}
	}
	return r
}
