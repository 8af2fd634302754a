package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/keep"
)

func newModproxyVerify(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [GO.SUM...]",
		Short: "Hash a store again, and hold it against go.sum and the checksum database",
		Long: `Verify reads every version in a store, hashes it and compares that with what was
recorded when it was stored, with the go.sum files that are named, and with the
checksum database. With --repair it fetches what is wrong again, and replaces it
by what all of these vouch for.

With --cache it is the cache that is read, where that has a version; leave it out
to verify the registry.

The exit code is 3 when something is wrong and was not repaired, 4 when something
could not be compared.`,
		Example: `  gopherwood modproxy verify --store /var/lib/gopherwood/modules
  gopherwood modproxy verify --store /var/lib/gopherwood/modules --repair service/go.sum
  gopherwood modproxy verify --store oci://registry.corp.example.com/modules --sumdb off -o json`,
	}
	s := addModuleStore(cmd)
	o := addModuleOrigin(cmd)
	work := addModuleWork(cmd)
	repair := cmd.Flags().Bool("repair", false, "fetch what is wrong again")
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		p := &moduleProxy{moduleStore: s, moduleOrigin: o, moduleRules: &moduleRules{}}
		if err := p.check(cmd, a.getenv); err != nil {
			return err
		}
		if *repair && o.offline {
			return usage(cmd, "--repair and --offline exclude each other")
		}
		if err := work.check(cmd); err != nil {
			return err
		}
		return a.verifyModules(cmd, files, p, *repair, work, format.value)
	}
	return cmd
}

func (a *app) verifyModules(cmd *cobra.Command, files []string, p *moduleProxy, repair bool, work *moduleWork, f render.Format) (err error) {
	ctx := cmd.Context()
	sums, err := readGoSums(files)
	if err != nil {
		return err
	}
	if err := p.exists(); err != nil {
		return err
	}
	parts, err := p.open(ctx, a, moduleEvents{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parts.Close()) }()
	proofs := keep.Proofs{Sums: sums, Database: parts.db}
	if repair {
		proofs.Repair = parts.source
	}
	var report *api.ModuleVerifyReport
	var errs []error
	err = work.run(a, "hashing", func(w keep.Work) error {
		report, errs, err = keep.Verify(ctx, parts.store, proofs, w)
		return err
	})
	if err != nil {
		return err
	}
	report.Errors = a.tell(errs)
	if err := render.ModuleVerify(a.stdout, f, report, a.look); err != nil {
		return err
	}
	for _, problem := range report.Problems {
		if !problem.Repaired {
			return outcome(exitDenied)
		}
	}
	return partial(report.Versions, len(errs))
}
