package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// app is what the commands share.
type app struct {
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	getenv  func(string) string
	environ []string
	// look is how standard output looks, errLook how standard error does.
	look, errLook render.Layout
	report        reporter
}

// terminalLook allows colour on w when that is a terminal, unless NO_COLOR is
// set (no-color.org) or the terminal cannot.
func terminalLook(std IO, w io.Writer) render.Layout {
	return render.Layout{
		Color: isTerminal(w) && std.Getenv("NO_COLOR") == "" && std.Getenv("TERM") != "dumb",
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// usage returns the error of a wrong call of cmd.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return &fault.Error{
		Code: fault.Usage,
		Op:   below(cmd),
		Err:  fmt.Errorf(format, args...),
		Hint: "see '" + cmd.CommandPath() + " --help'",
	}
}

// below returns cmd's name without the program's, which begins every error.
func below(cmd *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()), " ")
}

// subcommandOnly refuses arguments: what stands there is no subcommand.
func subcommandOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := &fault.Error{
		Code: fault.Usage,
		Op:   below(cmd),
		Err:  fmt.Errorf("unknown command %q", args[0]),
		Hint: "see '" + cmd.CommandPath() + " --help' for the commands",
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err.Hint = "did you mean '" + cmd.CommandPath() + " " + strings.Join(near, "' or '") + "'?"
	}
	return err
}

// needArgs refuses a call with fewer than n arguments; what names them.
func needArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return usage(cmd, "needs %s", what)
		}
		return nil
	}
}

// maxArgs refuses a call with more than n arguments.
func maxArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usage(cmd, "takes no argument %q", args[n])
		}
		return nil
	}
}

// newHelp returns the help command, which unlike cobra's own fails for what is
// no command.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show the help of a command",
		Example: "  gopherwood help check",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return subcommandOnly(cmd.Root(), args)
			}
			return found.Help()
		},
	}
}
