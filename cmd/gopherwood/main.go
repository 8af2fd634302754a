// Command gopherwood says what Go programs and container images are, and
// whether they will start and may run.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gopherwood-dev/gopherwood/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; from then on the default
	// action is back and a second one kills.
	context.AfterFunc(ctx, stop)
	code := cli.Run(ctx, os.Args[1:], cli.IO{
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Getenv: os.Getenv,
	})
	stop()
	os.Exit(code)
}
