//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/e2e/debian"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// stage has programs and root file systems ready, each on disk and as images.
type stage struct {
	roots    []root
	programs []program
	// bases and tops are the layers of roots and programs on disk; runtime is
	// the one that a container runtime adds.
	bases, tops []string
	runtime     string
	mount       string
	layout      string
	factsCache  string
}

func rootName(r root) string       { return r.name }
func programName(p program) string { return p.name }

// pair is one program in one root file system, by their places in the stage.
type pair struct{ program, root int }

// setStage builds everything.
func setStage(t *testing.T, archive *debian.Archive, roots []root, programs []program) *stage {
	t.Helper()
	s := &stage{roots: roots, programs: programs, runtime: tempDir(t), mount: tempDir(t), factsCache: t.TempDir()}
	makeDir(t, s.runtime, "proc")
	for _, r := range roots {
		s.bases = append(s.bases, r.build(t, archive))
	}
	shop := newWorkshop(t, archive)
	for _, p := range programs {
		b := builder{shop, t, tempDir(t)}
		p.layer(b)
		s.tops = append(s.tops, b.dir)
	}
	s.layout = s.writeImages(t)
	return s
}

// writeImages makes an image of each pair. Layers are packed once.
func (s *stage) writeImages(t *testing.T) string {
	t.Helper()
	var bases, tops []v1.Layer
	for _, dir := range s.bases {
		bases = append(bases, layerOf(t, dir))
	}
	for _, dir := range s.tops {
		tops = append(tops, layerOf(t, dir))
	}
	images := map[string]v1.Image{}
	for _, p := range s.pairs() {
		config := v1.Config{
			Entrypoint: s.programs[p.program].entrypoint(),
			Env:        s.env(p),
			User:       s.roots[p.root].user,
			WorkingDir: s.programs[p.program].workdir,
		}
		images[s.name(p)] = imageOf(t, config, bases[p.root], tops[p.program])
	}
	return writeLayout(t, images)
}

// pairs is the cross product, ordered by program.
func (s *stage) pairs() []pair {
	var all []pair
	for i := range s.programs {
		for j := range s.roots {
			all = append(all, pair{i, j})
		}
	}
	return all
}

func (s *stage) name(p pair) string {
	return s.programs[p.program].name + "_" + s.roots[p.root].name
}

// image is the reference of the pair's image.
func (s *stage) image(p pair) string { return "oci:" + s.layout + ":" + s.name(p) }

func (s *stage) env(p pair) []string {
	return slices.Concat([]string{defaultPath}, s.roots[p.root].env, s.programs[p.program].env)
}

// real starts the pair's program. The processor is the machine's own unless
// imitate changes that.
func (s *stage) real(ctx context.Context, p pair, imitate *emulator) (outcome, error) {
	program := s.programs[p.program]
	c := container{
		Layers:  []string{s.bases[p.root], s.tops[p.program], s.runtime},
		Mount:   s.mount,
		Args:    program.entrypoint(),
		Env:     s.env(p),
		User:    s.roots[p.root].user,
		WorkDir: program.workdir,
	}
	if imitate != nil {
		c.Layers = append(c.Layers, imitate.layer)
		c.Emulator, c.CPU = emulatorPath, imitate.cpu
	}
	o, err := c.run(ctx)
	if err != nil {
		return outcome{}, fmt.Errorf("%s: %w", s.name(p), err)
	}
	return o, nil
}

// allReal starts the programs of all pairs, two at a time.
func (s *stage) allReal(t *testing.T, imitate *emulator) map[pair]outcome {
	t.Helper()
	pairs := s.pairs()
	outcomes := make([]outcome, len(pairs))
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(2)
	for i, p := range pairs {
		group.Go(func() error {
			var err error
			outcomes[i], err = s.real(ctx, p, imitate)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	all := map[pair]outcome{}
	for i, p := range pairs {
		all[p] = outcomes[i]
	}
	return all
}

// foretold returns what Gopherwood says about the pair's image. A file of the
// image that cannot be measured is an error, unless the pair is meant to have one.
func (s *stage) foretold(ctx context.Context, p pair, cpuLevel int) ([]api.Finding, error) {
	var findings []api.Finding
	corrupt := s.roots[p.root].corrupt || s.programs[p.program].corrupt
	for subject, err := range facts.Open(ctx, s.image(p), facts.Options{CacheDir: s.factsCache}) {
		switch {
		case err == nil:
			findings = append(findings, start.Check(subject, start.Options{CPULevel: cpuLevel})...)
		case !corrupt || fault.CodeOf(err) != fault.Invalid:
			return nil, err
		}
	}
	return findings, nil
}

// denial returns the first finding that denies, and its message.
func denial(findings []api.Finding) (rule, message string) {
	i := slices.IndexFunc(findings, func(f api.Finding) bool { return f.Severity == api.Deny })
	if i < 0 {
		return "", ""
	}
	return findings[i].Rule, findings[i].Message
}

// compare holds a prediction against what happened.
func (s *stage) compare(t *testing.T, p pair, real outcome, findings []api.Finding) {
	t.Helper()
	rule, message := denial(findings)
	if rule != real.Rule {
		t.Errorf("%s:\n  foretold %s: %s\n  really   %s: %s",
			s.name(p), orStarts(rule), message, orStarts(real.Rule), real.Detail)
	}
}

func orStarts(rule string) string {
	if rule == "" {
		return "starts"
	}
	return rule
}
