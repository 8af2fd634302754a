package cli

import (
	"cmp"
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

Where a trusted key signed the facts that are attached to an image, these are
taken and the image's layers are not read; --measure reads them all the same.

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
	keys := addTrust(cmd)
	measure := cmd.Flags().Bool("measure", false, "read the bytes of images also where signed facts are attached")
	noDigest := cmd.Flags().Bool("no-digest", false, "leave out the sha256 of files, which then are not read whole")
	cmd.RunE = func(cmd *cobra.Command, refs []string) error {
		opt, err := src.options(cmd, a.getenv)
		if err != nil {
			return err
		}
		opt.NoDigest = *noDigest
		open := facts.Open
		if !*measure {
			b, err := newBeside(*keys, src.plainHTTP)
			if err != nil {
				return err
			}
			open = b.openAttached
		}
		look := a.look
		look.Verbose = *verbose
		return a.inspect(cmd.Context(), refs, opt, open, format.value, look)
	}
	return cmd
}

func (a *app) inspect(ctx context.Context, refs []string, opt facts.Options, open opener, f render.Format, look render.Layout) error {
	bar := startBar(a.stderr)
	opt.Progress = bar
	items, errs, err := read(ctx, refs, opt, open, filesOf)
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

// filesOf says of each file that it was measured, unless it says itself where it
// is from.
func filesOf(s *facts.Subject) ([]api.Facts, error) {
	for i := range s.Files {
		s.Files[i].Source = cmp.Or(s.Files[i].Source, api.SourceMeasured)
	}
	return s.Files, nil
}
