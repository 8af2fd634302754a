package cli

import (
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/config"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/image"
)

// maker holds the flags of commands that make images and put them somewhere.
type maker struct {
	*buildFlags
	push      []string
	policy    *string
	setting   *setting
	plainHTTP bool
	noCache   bool
	noAttach  bool
	jobs      int
	verbose   bool
}

// addMaker gives cmd the flags of a maker.
func addMaker(cmd *cobra.Command) *maker {
	m := &maker{buildFlags: addBuildFlags(cmd), setting: addSetting(cmd), policy: addPolicy(cmd)}
	fl := cmd.Flags()
	fl.StringArrayVar(&m.push, "push", nil, "image to push to, REGISTRY/REPO[:TAG], in which "+image.NamePlaceholder+" stands for the program's name; may be repeated")
	fl.BoolVar(&m.plainHTTP, "plain-http", false, "talk HTTP to registries, not HTTPS")
	fl.BoolVar(&m.noCache, "no-cache", false, "neither use nor keep programs and layers; the go command's own cache stays in use")
	fl.BoolVar(&m.noAttach, "no-attach", false, "attach no facts, provenance and bills of materials")
	fl.IntVar(&m.jobs, "jobs", runtime.GOMAXPROCS(0), "how many images are built at once (default: one a processor)")
	// The number of processors is the machine's: it has no place in the documentation.
	fl.Lookup("jobs").DefValue = "0"
	fl.BoolVarP(&m.verbose, "verbose", "v", false, "say on standard error what is done and decided")
	return m
}

// targets returns where images are put: what the command line names, or else the
// configuration. forms are the ways to name one.
func (m *maker) targets(cmd *cobra.Command, p *project, outputs []string, forms string) ([]string, error) {
	for _, target := range m.push {
		if err := config.CheckPush(target); err != nil {
			return nil, usage(cmd, "--push: %w", err)
		}
	}
	if named := slices.Concat(m.push, outputs); len(named) > 0 {
		return named, nil
	}
	if len(p.Build.Push) == 0 {
		return nil, usage(cmd, "say where to put the image: %s", forms)
	}
	return p.Build.Push, nil
}

// options returns how images are built.
func (m *maker) options(cmd *cobra.Command, a *app, p *project) (image.Options, error) {
	opt := image.Options{
		Env: a.environ, PlainHTTP: m.plainHTTP, Jobs: m.jobs, Attach: !m.noAttach, Version: buildVersion().Version,
	}
	if m.jobs < 1 {
		return opt, usage(cmd, "--jobs must be at least 1")
	}
	if !m.noCache {
		opt.CacheDir = cacheDir(a.getenv)
	}
	j, err := newExaminer(cmd, *m.policy, m.setting)
	if err != nil {
		return opt, err
	}
	opt.Judge, opt.Matrix = j.built, j.setting.Matrix
	opt.Signer, err = a.signer(p.file(p.Build.Key))
	return opt, err
}

// made is what became of a request.
type made struct {
	list *api.BuildList
	// err is the outcome; nil when every package became an image.
	err error
}

// make builds the packages and says on standard error what was decided, refused
// or failed.
func (m *maker) make(a *app, cmd *cobra.Command, req image.Request, opt image.Options) (made, error) {
	b := startBoard(a.stderr, m.verbose)
	opt.Progress = b
	if m.verbose {
		opt.Log = b
	}
	builds, errs, err := image.Build(cmd.Context(), req, opt)
	b.stop()
	if err != nil {
		return made{}, err
	}
	list := &api.BuildList{
		SchemaVersion: api.SchemaVersion, Kind: api.KindBuildList,
		Items: append([]api.Build{}, builds...), Errors: a.tell(errs),
	}
	look := a.errLook
	look.Verbose = m.verbose
	for i := range builds {
		if m.verbose || refused(builds[i]) || isTerminal(a.stderr) {
			if err := render.BuildReport(a.stderr, &builds[i], look); err != nil {
				return made{}, err
			}
		}
	}
	if slices.ContainsFunc(builds, refused) {
		return made{list, outcome(exitDenied)}, nil
	}
	return made{list, partial(len(builds), len(errs))}, nil
}

// refused reports whether an image of b would not start, or may not run.
func refused(b api.Build) bool {
	return slices.ContainsFunc(b.Images, func(i api.BuiltImage) bool { return i.Verdict.Verdict == api.Deny })
}
