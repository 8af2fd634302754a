package cli_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/cli"
)

// The commands in docs/bench.md, also those for continuous integration, are ones
// that there are, with flags that they have.
func TestBenchPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/bench.md")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`"[^"\n]*"|'[^'\n]*'`).ReplaceAllString(string(page), "quoted")
	text = strings.ReplaceAll(text, " -bench ", " --bench ")
	found := regexp.MustCompile("gopherwood (bench [^|;&>)#`\n]*)").FindAllStringSubmatch(text, -1)
	if len(found) < 20 {
		t.Fatalf("only %d commands are found", len(found))
	}
	for _, m := range found {
		root := cli.NewCommand()
		cmd, args, err := root.Find(strings.Fields(m[1]))
		if err == nil && cmd.HasSubCommands() && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			t.Errorf("%s: there is no such command", m[0])
			continue
		}
		if err == nil {
			err = cmd.ParseFlags(args)
		}
		if err != nil {
			t.Errorf("%s: %v", m[0], err)
		}
	}
}
