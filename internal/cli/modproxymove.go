package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/keep"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store"
)

func newModproxyExport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [FILE|DIR...]",
		Short: "Write a set of versions into one OCI layout",
		Long: `Export writes versions from a store into one OCI image layout, for a site without
a network: a directory, or a tar archive where the name ends in .tar. It appears
whole. 'gopherwood modproxy import' reads it, and so do crane, skopeo and oras: an
artifact has the name REPOSITORY:TAG there.` + setForms + `
  --all                 all that is in the store

With -m MODULE it is all stored versions of the module. The exit code is 4 when a
version is not in the store, 3 when one is damaged there; the others are in the
layout.`,
		Example: `  gopherwood modproxy export --store /var/lib/gopherwood/modules -O modules.tar service/go.sum
  gopherwood modproxy export --store /var/lib/gopherwood/modules -O modules --all`,
	}
	s := addModuleStore(cmd)
	set := addModuleSet(cmd)
	work := addModuleWork(cmd)
	fl := cmd.Flags()
	dest := fl.StringP("file", "O", "", "directory or .tar file to write, which must not exist")
	all := fl.Bool("all", false, "all versions in the store")
	goCommand := fl.String("go", "go", "go command that lists the modules of a DIR")
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := s.check(cmd, a.getenv); err != nil {
			return err
		}
		if err := work.check(cmd); err != nil {
			return err
		}
		switch {
		case *dest == "":
			return usage(cmd, "needs --file DIR or --file NAME.tar")
		case *all && (len(args) > 0 || len(set.modules) > 0):
			return usage(cmd, "--all and a set exclude each other")
		}
		x := &moduleExport{store: s, set: set, args: args, all: *all, dest: *dest, goCommand: *goCommand}
		return a.exportModules(cmd, x, work, format.value)
	}
	return cmd
}

// moduleExport says what is exported, and where to.
type moduleExport struct {
	store           *moduleStore
	set             *moduleSet
	args            []string
	all             bool
	dest, goCommand string
}

// versions returns the versions that are to be exported.
func (x *moduleExport) versions(cmd *cobra.Command, st store.Store, environ []string) ([]module.Version, error) {
	ctx := cmd.Context()
	if x.all {
		return keep.All(ctx, st)
	}
	set, queries, err := x.set.read(cmd, x.args, keep.GoCommand{Name: x.goCommand, Environ: environ})
	if err != nil {
		return nil, err
	}
	for _, q := range queries {
		if err := addStored(ctx, cmd, set, st, q); err != nil {
			return nil, err
		}
	}
	return set.Versions(), nil
}

// addStored adds all stored versions of a module to set.
func addStored(ctx context.Context, cmd *cobra.Command, set *keep.Set, st store.Store, q query) error {
	if q.version != "" {
		return usage(cmd, "--module %s@%s: it is no version, and a store knows nothing else", q.path, q.version)
	}
	versions, err := st.Versions(ctx, q.path)
	if err != nil {
		return err
	}
	if len(versions) == 0 {
		return usage(cmd, "--module %s: the store has no version of it", q.path)
	}
	for _, v := range versions {
		set.Add(module.Version{Path: q.path, Version: v})
	}
	return nil
}

func (a *app) exportModules(cmd *cobra.Command, x *moduleExport, work *moduleWork, f render.Format) (err error) {
	if err := x.store.exists(); err != nil {
		return err
	}
	st, err := x.store.open(a, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	versions, err := x.versions(cmd, st, a.environ)
	if err != nil {
		return err
	}
	var report *api.ModuleExportReport
	var errs []error
	err = work.run(a, "writing", func(w keep.Work) error {
		report, errs, err = keep.Export(cmd.Context(), st, versions, x.dest, w)
		return err
	})
	if err != nil {
		return err
	}
	report.Errors = a.tell(errs)
	if err := render.ModuleExport(a.stdout, f, report); err != nil {
		return err
	}
	return setOutcome(report.Versions, errs)
}

func newModproxyImport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import DIR|FILE.tar",
		Short: "Put the versions of an OCI layout into a store",
		Long: `Import stores the versions of an OCI image layout, which 'gopherwood modproxy
export' wrote or other tools have copied from a registry: each is hashed, held
against the go.sum files of --sum, and there whole or not at all. A version that
is in the store with other hashes is refused.

The exit code is 3 when a version is not what it must be, 4 when some could not be
stored, 1 when none could.`,
		Example: `  gopherwood modproxy import --store /var/lib/gopherwood/modules modules.tar
  gopherwood modproxy import --store oci://registry.corp.example.com/modules --sum service/go.sum modules.tar`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := needArgs(1, "an OCI layout: a directory or a tar archive")(cmd, args); err != nil {
				return err
			}
			return maxArgs(1)(cmd, args)
		},
	}
	s := addModuleStore(cmd)
	work := addModuleWork(cmd)
	files := cmd.Flags().StringArray("sum", nil, "go.sum file that versions are held against; may be repeated")
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := s.check(cmd, a.getenv); err != nil {
			return err
		}
		if err := work.check(cmd); err != nil {
			return err
		}
		sums, err := readGoSums(*files)
		if err != nil {
			return err
		}
		return a.importModules(cmd, s, args[0], sums, work, format.value)
	}
	return cmd
}

func (a *app) importModules(cmd *cobra.Command, s *moduleStore, src string, sums *keep.Set, work *moduleWork, f render.Format) (err error) {
	st, err := s.open(a, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	var report *api.ModuleImportReport
	var errs []error
	err = work.run(a, "storing", func(w keep.Work) error {
		report, errs, err = keep.Import(cmd.Context(), st, src, keep.Proofs{Sums: sums}, time.Now(), w)
		return err
	})
	if err != nil {
		return err
	}
	if err := settle(cmd.Context(), st); err != nil {
		errs = append(errs, err)
	}
	report.Errors = a.tell(errs)
	if err := render.ModuleImport(a.stdout, f, report); err != nil {
		return err
	}
	return setOutcome(report.Present+len(report.Imported), errs)
}
