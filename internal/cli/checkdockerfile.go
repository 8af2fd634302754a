package cli

import (
	"context"
	"iter"
	"os"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/policy/dockerfile"
)

// isDockerfile reports whether ref is a file with the name of a Dockerfile.
func isDockerfile(ref string) bool {
	if !dockerfile.IsDockerfile(ref) {
		return false
	}
	info, err := os.Stat(ref)
	return err == nil && info.Mode().IsRegular()
}

// openChecked is facts.Open for everything that check takes: a Dockerfile is a
// subject without executables.
func openChecked(ctx context.Context, ref string, opt facts.Options) iter.Seq2[*facts.Subject, error] {
	if !isDockerfile(ref) {
		return facts.Open(ctx, ref, opt)
	}
	return func(yield func(*facts.Subject, error) bool) { yield(&facts.Subject{Ref: ref}, nil) }
}

// dockerfile returns the verdict on a Dockerfile.
func (j *examiner) dockerfile(ctx context.Context, s *facts.Subject) (api.Verdict, error) {
	data, err := readDocument("check", s.Ref)
	if err != nil {
		return api.Verdict{}, err
	}
	findings, err := dockerfile.Check(s.Ref, data, dockerfile.Setting{Today: j.setting.Today, Matrix: j.setting.Matrix})
	if err != nil {
		return api.Verdict{}, err
	}
	return j.policy.Judge(ctx, s, findings, j.setting)
}
