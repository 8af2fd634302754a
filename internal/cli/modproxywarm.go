package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/keep"
	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func newModproxyWarm(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "warm [FILE|DIR...]",
		Short: "Get a set of versions into a store before anybody asks for them",
		Long: `Warm fetches, verifies and stores the versions of a set that are not in the store
yet, by the rules of the proxy itself, and holds all of them against the hashes in
the go.sum files.` + setForms + `

The exit code is 3 when a version is refused or is not what go.sum or the checksum
database says, 4 when some could not be got, 1 when none could.`,
		Example: `  gopherwood modproxy warm --store /var/lib/gopherwood/modules
  gopherwood modproxy warm --store oci://registry.corp.example.com/modules service/go.sum
  gopherwood modproxy warm --store modules -m golang.org/x/text@v0.14.0 -m corp.example.com/lib`,
	}
	p := addModuleProxy(cmd)
	set := addModuleSet(cmd)
	work := addModuleWork(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := p.check(cmd, a.getenv); err != nil {
			return err
		}
		if err := work.check(cmd); err != nil {
			return err
		}
		return a.warm(cmd, args, p, set, work, format.value)
	}
	return cmd
}

func (a *app) warm(cmd *cobra.Command, args []string, p *moduleProxy, names *moduleSet, work *moduleWork, f render.Format) (err error) {
	ctx := cmd.Context()
	set, queries, err := names.read(cmd, args, keep.GoCommand{Name: p.goCommand, Environ: a.environ})
	if err != nil {
		return err
	}
	parts, err := p.open(ctx, a, moduleEvents{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parts.Close()) }()
	m := mirror.New(parts.mirror())
	defer func() { err = errors.Join(err, m.Close(ctx)) }()
	errs := resolveQueries(ctx, m, set, queries)
	var report *api.ModuleWarmReport
	err = work.run(a, "fetching", func(w keep.Work) error {
		var failed []error
		report, failed, err = keep.Warm(ctx, parts.store, m, set, w)
		errs = append(errs, failed...)
		return err
	})
	if err != nil {
		return err
	}
	if err := settle(ctx, parts.store); err != nil {
		errs = append(errs, err)
	}
	report.Errors = a.tell(errs)
	if err := render.ModuleWarm(a.stdout, f, report); err != nil {
		return err
	}
	return setOutcome(report.Present+len(report.Fetched), errs)
}

// answerer finds the version that a query means, as a proxy answers .info.
type answerer interface {
	Info(ctx context.Context, path, query string) (mirror.Document, error)
	Latest(ctx context.Context, path string) (mirror.Document, error)
}

// resolveQueries adds the versions that queries mean to set.
func resolveQueries(ctx context.Context, from answerer, set *keep.Set, queries []query) []error {
	var errs []error
	for _, q := range queries {
		v, err := resolveQuery(ctx, from, q)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		set.Add(module.Version{Path: q.path, Version: v})
	}
	return errs
}

func resolveQuery(ctx context.Context, from answerer, q query) (string, error) {
	var doc mirror.Document
	var err error
	if q.version == "" || q.version == "latest" {
		doc, err = from.Latest(ctx, q.path)
	} else {
		doc, err = from.Info(ctx, q.path, q.version)
	}
	if err != nil {
		return "", err
	}
	var info struct{ Version string }
	if err := json.Unmarshal(doc.Data, &info); err != nil || info.Version == "" {
		return "", &fault.Error{Code: fault.Invalid, Op: "find version", Input: q.path + "@" + q.version,
			Err: fmt.Errorf("the answer names no version")}
	}
	return info.Version, nil
}
