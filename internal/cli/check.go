package cli

import (
	"context"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// checkFlags are the flags of check that are not a source's.
type checkFlags struct {
	policy  *string
	keys    *[]string
	rootfs  string
	at      string
	cpu     cpuFlag
	self    bool
	verbose bool
}

func newCheck(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [REF...]",
		Short: "Say whether programs and images will start and may run",
		Long: `Check holds what inspect measures against a policy. For an image it also follows
the kernel and the dynamic loader, without running anything: does the entrypoint
exist, is its interpreter there, is every library found and every symbol version
defined? A lone executable is asked the same of the root file system that
--rootfs names.

A Dockerfile (by its name) is read, and asked what would make its images not
start or not safe to run. Facts that are attached to an image, whoever signed
them, must be those that are measured: a difference is denied.

Each item gets a verdict: pass, warn or deny, with the rules that speak against
it and what mends that. The rules are those of the policy "default", or of the
file that --policy names; 'gopherwood policy explain RULE' shows one.

JSON and YAML are a VerdictList, described in docs/formats/verdict.md.

The exit code is 3 when an item is denied, whatever else happened; 4 when some
references could not be read; 1 when none could.` + refForms,
		Example: `  gopherwood check $(which go)
  gopherwood check --rootfs / $(which go)
  gopherwood check Dockerfile
  gopherwood check -o sarif --policy policy.yaml oci:./layout`,
	}
	src := addSource(cmd)
	set := addSetting(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML, render.SARIF, render.JUnit, render.Markdown)
	f := &checkFlags{policy: addPolicy(cmd), keys: addTrust(cmd)}
	fl := cmd.Flags()
	fl.StringVar(&f.rootfs, "rootfs", "", "directory or image that lone executables are to start in")
	fl.StringVar(&f.at, "at", "", "where in --rootfs the executable will be (default: /usr/local/bin/NAME)")
	fl.Var(&f.cpu, "cpu", "x86-64 level of the CPU, v1|v2|v3|v4 (default: not checked)")
	complete(cmd, "cpu", "v1", "v2", "v3", "v4")
	fl.BoolVar(&f.self, "self", false, "check this program itself, too")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "also print what is for information or exempted")
	cmd.RunE = func(cmd *cobra.Command, refs []string) error {
		opt, err := src.options(cmd, a.getenv)
		if err != nil {
			return err
		}
		refs, err = f.refs(cmd, refs)
		if err != nil {
			return err
		}
		j, err := newExaminer(cmd, *f.policy, set)
		if err != nil {
			return err
		}
		j.start.CPULevel, j.at = int(f.cpu), f.at
		if j.beside, err = newBeside(*f.keys, src.plainHTTP); err != nil {
			return err
		}
		if f.rootfs != "" {
			if j.base, err = facts.OpenBase(cmd.Context(), f.rootfs, opt); err != nil {
				return err
			}
			defer j.base.Close()
		}
		look := a.look
		look.Verbose = f.verbose
		return a.check(cmd.Context(), refs, opt, j, format.value, look)
	}
	return cmd
}

// refs returns what is to be checked.
func (f *checkFlags) refs(cmd *cobra.Command, refs []string) ([]string, error) {
	if f.at != "" && f.rootfs == "" {
		return nil, usage(cmd, "--at needs --rootfs")
	}
	if f.self {
		exe, err := os.Executable()
		if err != nil {
			return nil, &fault.Error{Code: fault.Unsupported, Op: "find this program's file", Err: err,
				Hint: "name the file instead of --self"}
		}
		refs = append([]string{exe}, refs...)
	}
	if len(refs) == 0 {
		return nil, usage(cmd, "needs at least one REF, or --self")
	}
	return refs, nil
}

// examiner says what the verdict is on a subject.
type examiner struct {
	policy  *policy.Policy
	setting policy.Setting
	start   start.Options
	// base is where lone executables are placed, at the path at; nil for nowhere.
	base *facts.Base
	at   string
	// beside compares images with what is attached to them.
	beside *beside
}

// newExaminer returns the examiner of the policy file, the built-in policy for an empty
// name.
func newExaminer(cmd *cobra.Command, file string, set *setting) (*examiner, error) {
	p, err := loadPolicy(file)
	if err != nil {
		return nil, err
	}
	s, err := set.load(cmd)
	if err != nil {
		return nil, err
	}
	return &examiner{policy: p, setting: s}, nil
}

// one returns the verdict on a subject with the root file system that it has,
// with more findings than its start-up's.
func (j *examiner) one(ctx context.Context, s *facts.Subject, more ...api.Finding) (api.Verdict, error) {
	return j.policy.Judge(ctx, s, append(start.Check(s, j.start), more...), j.setting)
}

// built is the verdict on an image that is not anywhere yet.
func (j *examiner) built(ctx context.Context, s *facts.Subject) (api.Verdict, error) {
	return j.one(ctx, s)
}

// verdict returns the verdict on what openChecked found.
func (j *examiner) verdict(ctx context.Context, s *facts.Subject) (api.Verdict, error) {
	if isDockerfile(s.Ref) {
		return j.dockerfile(ctx, s)
	}
	differences := j.beside.differences(ctx, s)
	if j.base != nil && s.Root == nil {
		placed, err := j.base.Place(s, j.at)
		if err != nil {
			return api.Verdict{}, err
		}
		s = placed
	}
	return j.one(ctx, s, differences...)
}

func (a *app) check(ctx context.Context, refs []string, opt facts.Options, j *examiner, f render.Format, look render.Layout) error {
	bar := startBar(a.stderr)
	opt.Progress = bar
	items, errs, err := read(ctx, refs, opt, openChecked, func(s *facts.Subject) ([]api.Verdict, error) {
		v, err := j.verdict(ctx, s)
		return []api.Verdict{v}, err
	})
	bar.stop()
	if err != nil {
		return err
	}
	list := &api.VerdictList{
		SchemaVersion: api.SchemaVersion,
		Kind:          api.KindVerdictList,
		Items:         append([]api.Verdict{}, items...),
		Errors:        a.tell(errs),
	}
	if err := render.Verdicts(a.stdout, f, list, look, buildVersion().Version); err != nil {
		return err
	}
	if slices.ContainsFunc(items, func(v api.Verdict) bool { return v.Verdict == api.Deny }) {
		return outcome(exitDenied)
	}
	return partial(len(items), len(errs))
}
