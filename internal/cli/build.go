package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/image"
	"github.com/gopherwood-dev/gopherwood/internal/image/rebuild"
)

func newBuild(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "build [PACKAGE...]",
		Short: "Make container images from Go packages, none that would not start",
		Long: `Build compiles main packages with the go command, for each platform, and puts
each program on a base that it starts on: the built-in one where it is static,
else the one that is configured for the C library that it needs. No container
runtime is used, and no root.

The finished image is checked as 'gopherwood check' does. One that would not
start, or that the policy denies, is put nowhere: the exit code is 3.

Standard output has the references of the images by digest, one a line. What is
known of an image travels with it: facts, build facts, provenance and bills of
materials are attached to it, signed where there is a key.

Flags are stronger than the environment (GOPHERWOOD_PUSH, _PLATFORM, _BASE, _CGO,
_GO, _COMPRESSION, _KEY, _CONFIG), which is stronger than .gopherwood.yaml of the
module, described in docs/formats/config.md. docs/build.md is a guide.`,
		Example: `  gopherwood build -o oci:dist/layout ./cmd/app
  gopherwood build --push registry.example.org/team/{name}:1.4 --platform linux/amd64,linux/arm64 ./cmd/...
  gopherwood build -v --cgo off --push registry.example.org/team/app
  gopherwood build --verify registry.example.org/team/app:1.4`,
	}
	m := addMaker(cmd)
	format := addFormatAs(cmd, "format", "", render.Table, render.JSON, render.YAML)
	fl := cmd.Flags()
	outputs := fl.StringArrayP("output", "o", nil, "where to write the image: oci:DIR[:TAG] or docker-archive:FILE; may be repeated")
	verify := fl.String("verify", "", "build the image REF again from what is recorded of its build, and say whether it is the same")
	cmd.RunE = func(cmd *cobra.Command, packages []string) error {
		p, err := m.project(cmd, a.getenv)
		if err != nil {
			return err
		}
		opt, err := m.options(cmd, a, p)
		if err != nil {
			return err
		}
		if *verify != "" {
			return a.rebuild(cmd, *verify, p, opt, format.value)
		}
		if err := checkOutputs(cmd, *outputs); err != nil {
			return err
		}
		targets, err := m.targets(cmd, p, *outputs, "--push REGISTRY/REPO[:TAG], -o oci:DIR or -o docker-archive:FILE")
		if err != nil {
			return err
		}
		made, err := m.make(a, cmd, image.Request{Dir: p.dir, Packages: p.patterns(packages), Config: p.Build, Targets: targets}, opt)
		if err != nil {
			return err
		}
		if err := render.Builds(a.stdout, format.value, made.list); err != nil {
			return err
		}
		return made.err
	}
	return cmd
}

// rebuild builds the image ref again and prints whether it is the same.
func (a *app) rebuild(cmd *cobra.Command, ref string, p *project, opt image.Options, f render.Format) error {
	verifier, err := trusted(p, nil)
	if err != nil {
		return err
	}
	report, err := rebuild.Verify(cmd.Context(), ref, p.dir, verifier, opt)
	if err != nil {
		return err
	}
	if err := render.Rebuilds(a.stdout, f, report, a.look); err != nil {
		return err
	}
	if slices.ContainsFunc(report.Items, func(r api.Rebuild) bool { return r.Verdict != api.RebuildSame }) {
		return outcome(exitDenied)
	}
	return nil
}

// checkOutputs refuses targets that are no files.
func checkOutputs(cmd *cobra.Command, outputs []string) error {
	for _, target := range outputs {
		if !strings.HasPrefix(target, "oci:") && !strings.HasPrefix(target, "docker-archive:") {
			return usage(cmd, "--output: %q is neither oci:DIR[:TAG] nor docker-archive:FILE; a registry is given with --push, the form of the answer with --format", target)
		}
	}
	return nil
}
