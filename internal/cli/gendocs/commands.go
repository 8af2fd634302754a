package main

import (
	"bytes"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/gopherwood-dev/gopherwood/internal/cli"
)

// commandReference generates a Markdown page and a man page for each command,
// and the table of exit codes.
func commandReference(out files) error {
	root := cli.NewCommand()
	root.DisableAutoGenTag = true
	out["docs/formats/exit-codes.md"] = []byte("# Exit codes\n\n" + cli.ExitCodeTable())
	return describe(out, root)
}

// epoch stands for the date of man pages, which would change them every month.
var epoch = time.Unix(0, 0).UTC()

func describe(out files, cmd *cobra.Command) error {
	path := cmd.CommandPath()
	var page, man bytes.Buffer
	if err := doc.GenMarkdown(cmd, &page); err != nil {
		return err
	}
	out["docs/cli/"+strings.ReplaceAll(path, " ", "_")+".md"] = page.Bytes()
	header := &doc.GenManHeader{Section: "1", Date: &epoch, Source: "Gopherwood", Manual: "Gopherwood"}
	if err := doc.GenMan(cmd, header, &man); err != nil {
		return err
	}
	out["docs/man/"+strings.ReplaceAll(path, " ", "-")+".1"] =
		bytes.Replace(man.Bytes(), []byte(`"`+epoch.Format("Jan 2006")+`"`), []byte(`""`), 1)
	for _, child := range cmd.Commands() {
		if !child.IsAvailableCommand() {
			continue
		}
		if err := describe(out, child); err != nil {
			return err
		}
	}
	return nil
}
