// Package cli is the gopherwood command: it turns arguments into calls of the
// rooms below, and their answers into output and an exit code.
package cli

import (
	"bufio"
	"context"
	"io"

	"github.com/spf13/cobra"
)

// IO is how the command meets its surroundings.
type IO struct {
	Stdin io.Reader
	// Stdout takes the answer and nothing else.
	Stdout io.Writer
	// Stderr takes errors and, when it is a terminal, progress.
	Stderr io.Writer
	// Getenv looks up an environment variable.
	Getenv func(string) string
	// Environ is the whole environment as KEY=VALUE, for the go command.
	Environ []string
}

// Run executes the command line args (without the program's name) and returns
// the exit code. It has printed everything there is to say.
func Run(ctx context.Context, args []string, std IO) int {
	out := bufio.NewWriter(std.Stdout)
	report := reporter{w: std.Stderr, json: wantsJSON(args)}
	root := newRoot(&app{
		stdin:   std.Stdin,
		stdout:  out,
		stderr:  std.Stderr,
		getenv:  std.Getenv,
		environ: std.Environ,
		look:    terminalLook(std, std.Stdout),
		errLook: terminalLook(std, std.Stderr),
		report:  report,
	})
	root.SetArgs(goFlags(args))
	root.SetIn(std.Stdin)
	root.SetOut(out)
	root.SetErr(std.Stderr)
	err := root.ExecuteContext(ctx)
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	return report.exit(err)
}

// NewCommand returns the whole command tree for the generator of its
// documentation. It cannot be executed.
func NewCommand() *cobra.Command { return newRoot(&app{}) }

// newRoot builds the command tree.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "gopherwood",
		Short: "Build Go programs into images, say what they are and whether they will run",
		Long: `Gopherwood reads Go programs and container images without running them: what
they are (inspect), and whether they will start and may run (check). It builds
images of Go packages (build), none that would not start.

A REF names what is read:
  FILE                       an executable
  DIR                        every Go executable in a directory
  oci:DIR[:TAG]              an OCI image layout
  docker-archive:FILE        what "docker save" wrote
  HOST/REPO[:TAG|@DIGEST]    an image in a registry
  pid:N                      a running process (Linux)

Exit codes:
` + exitCodeText(),
		Example:       "  gopherwood inspect $(which go)\n  gopherwood check $(which go)",
		Args:          subcommandOnly,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
		// How many letters a mistyped command may differ by to be suggested.
		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(cmd, "%w", err)
	})
	root.SetHelpCommand(newHelp())
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		newBuild(a),
		newResolve(a),
		newDockerfile(a),
		newInspect(a),
		newCheck(a),
		newAttach(a),
		newAttestations(a),
		newVerify(a),
		newVersions(a),
		newPolicy(a),
		newWebhook(a),
		newFleet(a),
		newModproxy(a),
		newBench(a),
		newInstall(a),
		newUninstall(a),
		newVersion(a),
		newDev(a),
		newCompletion(a),
	)
	return root
}
