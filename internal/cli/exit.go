package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The exit codes.
const (
	exitOK       = 0
	exitFailed   = 1
	exitDenied   = 3
	exitPartial  = 4
	exitUsage    = 64
	exitCanceled = 130
)

// exitRow says when the command ends with a code.
type exitRow struct {
	code    int
	meaning string
	// faults are the error codes that lead there; exitFailed has the rest.
	faults []fault.Code
}

// exitTable is the one place that maps errors to exit codes.
func exitTable() []exitRow {
	return []exitRow{
		{exitOK, "done; no policy said no", nil},
		{exitFailed, "failed; nothing could be read, built or written", nil},
		{exitDenied, "a policy or the start-up check said no, a module is refused or damaged, or a benchmark is worse than it may be", nil},
		{exitPartial, "some of what was named could not be read, built or measured, nothing was denied", nil},
		{exitUsage, "wrong usage", []fault.Code{fault.Usage}},
		{exitCanceled, "cancelled by a signal", []fault.Code{fault.Canceled}},
	}
}

// exitCodeText returns the exit codes for the help text.
func exitCodeText() string {
	var b strings.Builder
	for _, row := range exitTable() {
		fmt.Fprintf(&b, "  %-3d  %s\n", row.code, row.meaning)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// ExitCodeTable returns the exit codes as a Markdown table.
func ExitCodeTable() string {
	var b strings.Builder
	b.WriteString("| Code | Meaning |\n| --- | --- |\n")
	for _, row := range exitTable() {
		fmt.Fprintf(&b, "| %d | %s |\n", row.code, row.meaning)
	}
	return b.String()
}

// outcome is an error that only sets the exit code: all has been said.
type outcome int

func (o outcome) Error() string { return fmt.Sprintf("exit code %d", int(o)) }

// reporter prints errors, as text or as JSON.
type reporter struct {
	w    io.Writer
	json bool
}

// exit prints err unless it has been said, and returns the exit code.
func (r reporter) exit(err error) int {
	var o outcome
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &o):
		return int(o)
	case errors.Is(err, syscall.EPIPE): // the reader has gone: it wants no more
		return exitFailed
	}
	r.print(err)
	code := fault.CodeOf(err)
	for _, row := range exitTable() {
		if slices.Contains(row.faults, code) {
			return row.code
		}
	}
	return exitFailed
}

// print writes err to standard error.
func (r reporter) print(err error) {
	doc := errorDocument(err)
	r.document(&doc)
}

// document writes an error to standard error. That this may fail has no one to be told.
func (r reporter) document(doc *api.Error) {
	if r.json {
		_ = render.JSONLine(r.w, doc)
		return
	}
	fmt.Fprintf(r.w, "gopherwood: %s\n", cleanLines(doc.Message))
	if doc.Hint != "" {
		fmt.Fprintf(r.w, "  hint: %s\n", render.Clean(doc.Hint))
	}
}

// cleanLines makes the lines of a message harmless, such as a compiler's; those
// after the first are indented, so that none looks like Gopherwood's own.
func cleanLines(message string) string {
	lines := strings.Split(strings.TrimRight(message, "\n"), "\n")
	for i, line := range lines {
		lines[i] = render.Clean(strings.ReplaceAll(line, "\t", "    "))
	}
	return strings.Join(lines, "\n    ")
}

// errorDocument returns err as users see it.
func errorDocument(err error) api.Error {
	doc := api.Error{
		SchemaVersion: api.SchemaVersion,
		Kind:          api.KindError,
		Code:          string(fault.CodeOf(err)),
		Message:       err.Error(),
		Hint:          fault.HintOf(err),
	}
	var f *fault.Error
	if errors.As(err, &f) {
		doc.Input = f.Input
	}
	return doc
}

// wantsJSON looks for "-o json" or "--format json" in a command line that may be
// too wrong to be parsed.
func wantsJSON(args []string) bool {
	for i, arg := range args {
		switch arg {
		case "--":
			return false
		case "-o", "--output", "--format":
			if i+1 < len(args) && args[i+1] == string(render.JSON) {
				return true
			}
		case "-o=json", "-ojson", "--output=json", "--format=json":
			return true
		}
	}
	return false
}
