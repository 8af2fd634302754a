package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/keep"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
)

func newModproxyGC(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove versions that nobody needs from a store",
		Long: `Gc removes versions by when they were last used, by when they were stored, or
until a store is no larger than it may be; those that were used least recently go
first. What is being sent to somebody stays. A proxy gets what is asked for again
from where it came; what came by import it cannot get again: name it with --keep.

The exit code is 4 when something could not be read or removed.`,
		Example: `  gopherwood modproxy gc --store /var/lib/gopherwood/modules --unused-for 2160h --dry-run
  gopherwood modproxy gc --store /var/lib/gopherwood/modules --max-bytes 200GiB --keep service/go.sum`,
		Args: maxArgs(0),
	}
	s := addModuleStore(cmd)
	work := addModuleWork(cmd)
	var rules keep.Rules
	var most sizeFlag
	fl := cmd.Flags()
	fl.DurationVar(&rules.UnusedFor, "unused-for", 0, "remove what was not asked for for so long, for example 2160h (90 days)")
	fl.DurationVar(&rules.OlderThan, "older-than", 0, "remove what was stored longer ago")
	fl.Var(&most, "max-bytes", "remove until no more is left, for example 200GiB")
	kept := fl.StringArray("keep", nil, "go.sum file with versions that stay; may be repeated")
	fl.BoolVar(&rules.DryRun, "dry-run", false, "say what would be removed, and remove nothing")
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		rules.MaxBytes, rules.Now = int64(most), time.Now()
		if err := s.check(cmd, a.getenv); err != nil {
			return err
		}
		if err := work.check(cmd); err != nil {
			return err
		}
		switch {
		case rules.UnusedFor < 0 || rules.OlderThan < 0:
			return usage(cmd, "--unused-for and --older-than must not be below 0")
		case rules.UnusedFor == 0 && rules.OlderThan == 0 && rules.MaxBytes == 0:
			return usage(cmd, "needs --unused-for, --older-than or --max-bytes")
		}
		var err error
		if rules.Keep, err = readGoSums(*kept); err != nil {
			return err
		}
		return a.gcModules(cmd, s, rules, work, format.value)
	}
	return cmd
}

func (a *app) gcModules(cmd *cobra.Command, s *moduleStore, rules keep.Rules, work *moduleWork, f render.Format) error {
	return readModules(a, s, work, func(st store.Store, w keep.Work) (*api.ModuleGCReport, []error, error) {
		return keep.GC(cmd.Context(), st, rules, w)
	}, func(report *api.ModuleGCReport, failed []api.Error) error {
		report.Errors = failed
		return render.ModuleGC(a.stdout, f, report, a.look)
	})
}

// readModules opens a store that exists, lets read go through it, shows what it
// reports with the errors of single versions, and closes the store.
func readModules[R any](a *app, s *moduleStore, work *moduleWork,
	read func(store.Store, keep.Work) (R, []error, error), show func(R, []api.Error) error) (err error) {
	if err := s.exists(); err != nil {
		return err
	}
	st, err := s.open(a, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	var report R
	var errs []error
	err = work.run(a, "reading", func(w keep.Work) error {
		report, errs, err = read(st, w)
		return err
	})
	if err != nil {
		return err
	}
	if err := show(report, a.tell(errs)); err != nil {
		return err
	}
	return partial(1, len(errs))
}
