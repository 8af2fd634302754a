package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
)

func newInspect(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect REF...",
		Short: "Say what Go programs are: version, modules, linkage, hardening, capabilities",
		Long: `Inspect measures executables from their bytes: what the Go toolchain recorded,
how they are linked and hardened, and what is linked in. Nothing is run, and an
image is read in one pass without being unpacked.

The table has one line an item; -v prints everything. JSON and YAML are a
FactsList, described in docs/formats/facts.md.

The exit code is 4 when some of the references could not be read, 1 when none
could.` + refForms,
		Example: `  gopherwood inspect $(which go)
  gopherwood inspect -v $(which go)
  gopherwood inspect -o json ~/go/bin
  gopherwood inspect --platform linux/arm64 registry.example.org/team/service:1.4`,
		Args: needArgs(1, "at least one REF"),
	}
	src := addSource(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	verbose := cmd.Flags().BoolP("verbose", "v", false, "print everything of each item")
	noDigest := cmd.Flags().Bool("no-digest", false, "leave out the sha256 of files, which then are not read whole")
	cmd.RunE = func(cmd *cobra.Command, refs []string) error {
		opt, err := src.options(cmd, a.getenv)
		if err != nil {
			return err
		}
		opt.NoDigest = *noDigest
		look := a.look
		look.Verbose = *verbose
		return a.inspect(cmd.Context(), refs, opt, format.value, look)
	}
	return cmd
}

func (a *app) inspect(ctx context.Context, refs []string, opt facts.Options, f render.Format, look render.Layout) error {
	bar := startBar(a.stderr)
	opt.Progress = bar
	items, errs, err := read(ctx, refs, opt, filesOf)
	bar.stop()
	if err != nil {
		return err
	}
	list := &api.FactsList{
		SchemaVersion: api.SchemaVersion,
		Kind:          api.KindFactsList,
		Items:         append([]api.Facts{}, items...),
		Errors:        a.tell(errs),
	}
	if err := render.Facts(a.stdout, f, list, look); err != nil {
		return err
	}
	return partial(len(items), len(errs))
}

func filesOf(s *facts.Subject) ([]api.Facts, error) {
	return s.Files, nil
}
