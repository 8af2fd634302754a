package cli_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// measuredCommits is how many commits measuredRepo makes.
const measuredCommits = 40

// measuredRepo makes a git repository with a commit a day from January 1st of 2026
// and a branch "side" from the tenth, and puts the hashes of first, last and side
// into $FIRST, $LAST and $SIDE: measuredrepo DIR RESULTS RUNNERS. RESULTS has a run
// of each commit of the main branch and of side: Encode is 20 % slower from commit
// 21 on and has an allocation more from commit 31 on, Walk gets slower by 0.2 % each
// time, hits/op of Cache doubles at commit 21. RUNNERS has the same, but each run on
// another machine of one kind.
func measuredRepo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: measuredrepo DIR RESULTS RUNNERS")
	}
	dir := ts.MkAbs(args[0])
	git := func(stdin string, args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "GIT_CONFIG_NOSYSTEM=1", "SYSTEMROOT=" + os.Getenv("SYSTEMROOT")}
		out, err := cmd.CombinedOutput()
		if err != nil {
			ts.Fatalf("git %q: %v\n%s(git must be installed: Debian: apt install git)", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	ts.Check(os.MkdirAll(dir, 0o755))
	git("", "init", "-q", "-b", "main")
	var imported strings.Builder
	for i := range measuredCommits {
		fastCommit(&imported, "main", i, fmt.Sprintf("codec: step %d", i+1))
	}
	fastCommit(&imported, "side", 12, "codec: an experiment")
	git(imported.String(), "fast-import", "--quiet")
	hashes := strings.Fields(git("", "rev-list", "--reverse", "main"))
	hashes = append(hashes, git("", "rev-parse", "side"))
	var results, runners strings.Builder
	for i, hash := range hashes {
		writeMeasured(&results, i, hash, "m1-one")
		writeMeasured(&runners, i, hash, fmt.Sprintf("m1-%d", i))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(results.String()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(runners.String()), 0o600))
	ts.Setenv("FIRST", hashes[0])
	ts.Setenv("LAST", hashes[measuredCommits-1])
	ts.Setenv("SIDE", hashes[measuredCommits])
}

// fastCommit writes a commit of a day for git fast-import: the next of main, or
// one of another branch that begins at its tenth.
func fastCommit(b *strings.Builder, branch string, day int, subject string) {
	at := time.Date(2026, 1, 1+day, 12, 0, 0, 0, time.UTC).Unix()
	mark, from := fmt.Sprintf("mark :%d\n", day+1), ""
	if branch != "main" {
		mark, from = "", "from :10\n"
	}
	fmt.Fprintf(b, "commit refs/heads/%s\n%scommitter A <a@example.com> %d +0000\ndata <<.\n%s\n.\n%s\n", branch, mark, at, subject, from)
}

// writeMeasured writes the run of the i-th commit.
func writeMeasured(b *strings.Builder, i int, hash, machine string) {
	random := rand.New(rand.NewPCG(uint64(i), 1))
	encode, allocs, hits := 100.0, 3, 10.0
	if i >= 20 {
		encode, hits = 120, 20
	}
	if i >= 30 {
		allocs = 4
	}
	at := time.Date(2026, 1, 1+i, 13, 0, 0, 0, time.UTC)
	fmt.Fprintf(b, "commit: %s\nrun-time: %s\nmachine-id: %s\ngoos: linux\ncpu: Example CPU\npkg: example.com/m/codec\n", hash, at.Format(time.RFC3339), machine)
	for range 5 {
		noise := func() float64 { return 1 + 0.02*random.NormFloat64() }
		fmt.Fprintf(b, "BenchmarkEncode/1k-4 1000 %.3f ns/op 64 B/op %d allocs/op\n", encode*noise(), allocs)
		fmt.Fprintf(b, "BenchmarkWalk-4 1000 %.3f ns/op\n", 1e6*math.Pow(1.002, float64(i))*noise())
		fmt.Fprintf(b, "BenchmarkCache-4 1000 %.3f hits/op\n", hits*noise())
	}
}
