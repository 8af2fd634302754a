package cli

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// source holds the flags that say how references are read.
type source struct {
	platforms []string
	plainHTTP bool
	noCache   bool
	file      sizeFlag
	image     sizeFlag
	entries   int
	jobs      int
}

// refForms explains REF in the help of commands that take one.
const refForms = `

A REF is one of:
  FILE                          an executable
  DIR                           a directory: every Go executable below it
  oci:DIR[:TAG|@DIGEST]         an OCI image layout
  docker-archive:FILE[:TAG]     what 'docker save' writes, plain or compressed
  REGISTRY/REPO[:TAG|@DIGEST]   an image in a registry, with the credentials of
                                'docker login'
  pid:N                         a running process (Linux)`

// addSource gives cmd the flags of a source.
func addSource(cmd *cobra.Command) *source {
	s := &source{}
	limits := facts.DefaultLimits
	fl := cmd.Flags()
	fl.StringSliceVar(&s.platforms, "platform", nil, "only these platforms of multi-platform images, for example linux/arm64")
	fl.BoolVar(&s.plainHTTP, "plain-http", false, "talk HTTP to registries, not HTTPS")
	fl.BoolVar(&s.noCache, "no-cache", false, "neither read nor write the facts cache")
	fl.Var(&s.file, "max-file-size", "largest executable that is measured (default "+render.Size(limits.File)+")")
	fl.Var(&s.image, "max-image-size", "most uncompressed bytes read of one image (default "+render.Size(limits.Image)+")")
	fl.IntVar(&s.entries, "max-entries", limits.Entries, "most files of one image or directory")
	fl.IntVar(&s.jobs, "jobs", runtime.GOMAXPROCS(0), "how many files or layers are read at once (default: one a processor)")
	// The number of processors is the machine's: it has no place in the documentation.
	fl.Lookup("jobs").DefValue = "0"
	return s
}

// options returns what the flags say.
func (s *source) options(cmd *cobra.Command, getenv func(string) string) (facts.Options, error) {
	opt := facts.Options{
		PlainHTTP: s.plainHTTP,
		Jobs:      s.jobs,
		Limits:    facts.Limits{File: int64(s.file), Image: int64(s.image), Entries: s.entries},
	}
	if s.jobs < 1 || s.entries < 1 {
		return opt, usage(cmd, "--jobs and --max-entries must be at least 1")
	}
	for _, name := range s.platforms {
		p, err := api.ParsePlatform(name)
		if err != nil {
			return opt, usage(cmd, "--platform: %w", err)
		}
		opt.Platforms = append(opt.Platforms, p)
	}
	if !s.noCache {
		opt.CacheDir = cacheDir(getenv)
	}
	return opt, nil
}

// cacheDir returns where the facts cache is, or "" when the system names no
// place for one: reading works without.
func cacheDir(getenv func(string) string) string {
	if dir := getenv("GOPHERWOOD_CACHE_DIR"); dir != "" {
		return dir
	}
	if dir := getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "gopherwood")
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "gopherwood")
}

// opener yields the subjects of a reference, as facts.Open does.
type opener func(context.Context, string, facts.Options) iter.Seq2[*facts.Subject, error]

// read opens the references, several at once, and returns what measure makes of
// their subjects, in the order of refs. What could not be read is in the
// errors; the error says that ctx has ended.
func read[T any](ctx context.Context, refs []string, opt facts.Options, open opener,
	measure func(*facts.Subject) ([]T, error)) ([]T, []error, error) {
	width := max(1, min(opt.Jobs, len(refs)))
	opt.Jobs = max(1, opt.Jobs/width)
	items := make([][]T, len(refs))
	errs := make([][]error, len(refs))
	var group errgroup.Group
	group.SetLimit(width)
	for i, ref := range refs {
		group.Go(func() error {
			for subject, err := range open(ctx, ref, opt) {
				var got []T
				if err == nil {
					got, err = measure(subject)
					err = errors.Join(err, subject.Close())
				}
				if err != nil {
					errs[i] = append(errs[i], err)
					continue
				}
				items[i] = append(items[i], got...)
			}
			return ctx.Err()
		})
	}
	if group.Wait() != nil {
		return nil, nil, &fault.Error{Code: fault.Canceled, Op: "cancelled"}
	}
	return slices.Concat(items...), slices.Concat(errs...), nil
}

// tell reports errs and returns them as a document holds them.
func (a *app) tell(errs []error) []api.Error {
	var docs []api.Error
	for _, err := range errs {
		a.report.print(err)
		docs = append(docs, errorDocument(err))
	}
	return docs
}

// partial returns the outcome of a command that read some things and failed at
// others.
func partial(items, errs int) error {
	switch {
	case errs == 0:
		return nil
	case items == 0:
		return outcome(exitFailed)
	}
	return outcome(exitPartial)
}
