// Package image makes container images from Go packages: it compiles, chooses
// the base by how the program came out linked, and puts nowhere what would not
// start.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/progress"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/image"
	"github.com/gopherwood-dev/gopherwood/internal/image/attach"
	"github.com/gopherwood-dev/gopherwood/internal/image/compile"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Request is what is to be built.
type Request struct {
	// Dir is the directory that package patterns and the configuration's paths
	// are relative to.
	Dir string
	// Packages are patterns as the go command takes them; none means ".".
	Packages []string
	Config   api.BuildConfig
	// Targets are where images are put: "registry/repo[:tag]", "oci:DIR[:tag]" or
	// "docker-archive:FILE"; NamePlaceholder stands for the program's name.
	Targets []string
}

// NamePlaceholder stands for the program's name in Request.Targets.
const NamePlaceholder = "{name}"

// Options says how images are built.
type Options struct {
	// Env is the environment of the go command. SOURCE_DATE_EPOCH in it is the
	// time in images, in seconds since 1970; without it that is zero.
	Env    []string
	Matrix *matrix.Matrix
	// CacheDir keeps executables and layers; empty keeps nothing.
	CacheDir  string
	PlainHTTP bool
	// Jobs is how many platforms are built at once.
	Jobs int
	// Judge gives the verdict on a finished image. One that denies is put nowhere.
	Judge func(context.Context, *facts.Subject) (api.Verdict, error)
	// Attach says whether what is known of an image is put beside it; Signer, when
	// it is not nil, signs that and the image.
	Attach bool
	Signer *attach.Signer
	// Log takes what the go command prints beside errors.
	Log      io.Writer
	Progress Progress
	// Version is Gopherwood's own, for the provenance.
	Version string
}

// Step is a part of a build.
type Step string

// The steps, in their order.
const (
	StepCompile Step = "compile"
	StepPack    Step = "pack"
	StepCheck   Step = "check"
	StepPush    Step = "push"
	StepAttach  Step = "attach"
	StepDone    Step = "done"
)

// Progress hears what a build is doing, from several goroutines.
type Progress interface {
	progress.Sink
	// Step says that a step of the package's image begins; the platform is zero
	// where the step is about all of them.
	Step(pkg string, platform api.Platform, step Step, detail string)
}

type silent struct{ progress.Sink }

func (silent) Step(string, api.Platform, Step, string) {}

// Build builds every package for every platform and puts the images to the
// targets. A package whose image is denied has no Refs, and the verdict that
// denies is in its Images. What failed is in the errors; err says that the
// request is wrong or that ctx has ended.
func Build(ctx context.Context, req Request, opt Options) (builds []api.Build, errs []error, err error) {
	b, err := newBuilder(req.Dir, req.Config, opt)
	if err != nil {
		return nil, nil, err
	}
	packages, err := compile.Load(ctx, req.Packages, b.compile)
	if err != nil {
		return nil, nil, err
	}
	if err := checkTargets(req.Targets, packages, b.platforms); err != nil {
		return nil, nil, err
	}
	done := make([]*api.Build, len(packages))
	failures := make([]error, len(packages))
	var group errgroup.Group
	for i, p := range packages {
		group.Go(func() error {
			done[i], failures[i] = b.build(ctx, p, req.Targets)
			return nil
		})
	}
	_ = group.Wait() // failures has them
	if ctx.Err() != nil {
		return nil, nil, &fault.Error{Code: fault.Canceled, Op: "cancelled"}
	}
	for i := range packages {
		if failures[i] != nil {
			errs = append(errs, failures[i])
			continue
		}
		builds = append(builds, *done[i])
	}
	return builds, errs, nil
}

// checkTargets refuses targets that several images would share.
func checkTargets(targets []string, packages []compile.Package, platforms []api.Platform) error {
	for _, target := range targets {
		var reason, hint string
		switch {
		case len(packages) > 1 && !strings.Contains(target, NamePlaceholder):
			reason = fmt.Sprintf("%d packages cannot be put to one target", len(packages))
			hint = "write " + NamePlaceholder + " where the program's name belongs, for example registry.example.org/team/" + NamePlaceholder + ":v1"
		case strings.HasPrefix(target, image.ArchiveScheme) && len(platforms) > 1:
			reason = "a docker archive holds an image of one platform"
			hint = "choose one with --platform, or write an OCI layout (oci:DIR)"
		default:
			continue
		}
		return &fault.Error{Code: fault.Usage, Op: "build", Input: target, Err: errors.New(reason), Hint: hint}
	}
	names := map[string]string{}
	for _, p := range packages {
		if other, taken := names[p.Name()]; taken && len(targets) > 0 {
			return &fault.Error{Code: fault.Usage, Op: "build", Input: p.ImportPath,
				Err: fmt.Errorf("its program is called %s, as that of %s is", p.Name(), other), Hint: "build them one by one, each to a target of its own"}
		}
		names[p.Name()] = p.ImportPath
	}
	return nil
}

// ConfigOf returns how package p is built: the configuration of the package, and
// what it leaves open from the defaults.
func ConfigOf(c api.BuildConfig, p compile.Package) api.PackageConfig {
	own := api.PackageConfig{}
	for name, cfg := range c.Packages {
		if path.Clean(name) == path.Clean(p.Rel) {
			own = cfg
		}
	}
	return overlay(c.Defaults, own)
}

// createdTime is the time in images.
func createdTime(env []string) (time.Time, error) {
	value := ""
	for _, v := range env {
		if rest, ok := strings.CutPrefix(v, epochKey); ok {
			value = rest
		}
	}
	if value == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil || seconds < 0 || seconds > maxEpoch {
		return time.Time{}, &fault.Error{Code: fault.Usage, Op: "build", Input: epochKey + value,
			Err: errors.New("it is no time"), Hint: "give the seconds since 1970"}
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// epochKey begins the variable that has the time of reproducible builds
// (reproducible-builds.org/specs/source-date-epoch).
const epochKey = "SOURCE_DATE_EPOCH="

// maxEpoch is the year 9999, the last that RFC 3339 can write.
const maxEpoch = 253402300799

// parsePlatforms reads os/arch[/level]. None means linux and this machine's
// processor.
func parsePlatforms(names []string, goarch string) ([]api.Platform, error) {
	if len(names) == 0 {
		return []api.Platform{{OS: "linux", Arch: goarch}}, nil
	}
	var list []api.Platform
	for _, name := range names {
		p, err := api.ParsePlatform(name)
		if err != nil {
			return nil, &fault.Error{Code: fault.Usage, Op: "build", Err: err}
		}
		if p.OS != "linux" {
			return nil, &fault.Error{Code: fault.Unsupported, Op: "build", Input: name,
				Err: errors.New("images are built for linux only"), Hint: "choose a platform such as linux/amd64 or linux/arm64"}
		}
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list, nil
}
