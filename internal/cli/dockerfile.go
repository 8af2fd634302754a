package cli

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/internal/image"
	"github.com/gopherwood-dev/gopherwood/internal/image/compile"
	"github.com/gopherwood-dev/gopherwood/internal/image/dockerfile"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func newDockerfile(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dockerfile [PACKAGE]",
		Short: "Write a Dockerfile that makes the same decisions as build",
		Long: `Dockerfile prints a Dockerfile of several stages for one main package: cgo, flags,
base and user are what 'gopherwood build' would choose, and comments say why. The
build context is the directory of .gopherwood.yaml, or else the working directory.`,
		Example: `  gopherwood dockerfile ./cmd/app
  gopherwood dockerfile --cgo off -o Dockerfile .`,
		Args: maxArgs(1),
	}
	f := addPackageFlags(cmd)
	output := cmd.Flags().StringP("output", "o", "", "file to write (default: standard output)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := f.project(cmd, a.getenv)
		if err != nil {
			return err
		}
		text, err := a.dockerfile(cmd.Context(), p, p.patterns(args))
		if err != nil {
			return err
		}
		if *output == "" {
			_, err = a.stdout.Write(text)
			return err
		}
		if err := os.WriteFile(*output, text, 0o644); err != nil {
			return &fault.Error{Code: fault.CodeOf(err), Op: "write", Input: *output, Err: err}
		}
		return nil
	}
	return cmd
}

// dockerfile returns the Dockerfile of the one package that patterns name.
func (a *app) dockerfile(ctx context.Context, p *project, patterns []string) ([]byte, error) {
	opt := compile.Options{Dir: p.dir, Env: a.environ, Matrix: matrix.Embedded(false)}
	packages, err := compile.Load(ctx, patterns, opt)
	if err != nil {
		return nil, err
	}
	if len(packages) != 1 {
		return nil, &fault.Error{Code: fault.Usage, Op: "dockerfile", Input: patterns[0],
			Err: errors.New("a Dockerfile builds one package"), Hint: "name one main package"}
	}
	plan, err := dockerfile.PlanFor(ctx, packages[0], image.ConfigOf(p.Build, packages[0]), opt)
	if err != nil {
		return nil, err
	}
	return dockerfile.Generate(plan)
}
