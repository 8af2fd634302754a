// Command gopherwood builds container images from Go packages, says what programs
// and images are, and whether they will start and may run.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
	"github.com/gopherwood-dev/gopherwood/internal/cli"
)

func main() {
	cluster.Main()
	delayGC()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; from then on the default
	// action is back and a second one kills.
	context.AfterFunc(ctx, stop)
	code := cli.Run(ctx, os.Args[1:], cli.IO{
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Getenv:  os.Getenv,
		Environ: os.Environ(),
	})
	stop()
	os.Exit(code)
}

// delayGC lets the heap grow to 16 MiB before it is collected for the first
// time, which short commands never reach; from then on the usual rule holds.
func delayGC() {
	usual := debug.SetGCPercent(400)
	runtime.AddCleanup(new([64]byte), func(percent int) { debug.SetGCPercent(percent) }, usual)
}
