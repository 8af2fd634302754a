package tree

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// gitIn returns a function that runs git in a directory, and its environment.
func gitIn(t *testing.T, dir string) (func(args ...string) string, []string) {
	t.Helper()
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "GIT_") })
	env = append(env, "HOME="+hometest.New(t), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_COMMITTER_DATE=2026-03-01T12:00:00+02:00")
	return func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"}, args...)...)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s(git must be installed: Debian: apt install git)", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}, env
}

func openRepo(t *testing.T, dir string, env []string) *Repository {
	t.Helper()
	r, err := OpenRepository(t.Context(), dir, env)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Settings of the user's do not change what is read of a commit.
func TestCommit(t *testing.T) {
	dir := t.TempDir()
	git, env := gitIn(t, dir)
	git("init", "-q", "-b", "main")
	git("config", "log.showSignature", "true")
	git("config", "i18n.logOutputEncoding", "ISO-8859-1")
	git("commit", "-q", "--allow-empty", "-m", "first")
	first := git("rev-parse", "HEAD")
	git("checkout", "-q", "-b", "other")
	git("commit", "-q", "--allow-empty", "-m", "on a branch")
	other := git("rev-parse", "HEAD")
	git("checkout", "-q", "main")
	git("commit", "-q", "--allow-empty", "-m", "codec: größer\nand wider\n\nbody")
	second := git("rev-parse", "HEAD")
	git("merge", "-q", "-m", "merge", "other")
	merge := git("rev-parse", "HEAD")

	r := openRepo(t, dir, env)
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for revision, want := range map[string]Commit{
		"main~1": {Hash: second, Time: at, Parents: []string{first}, Subject: "codec: größer and wider"},
		first:    {Hash: first, Time: at, Parents: []string{}, Subject: "first"},
		"main":   {Hash: merge, Time: at, Parents: []string{second, other}, Subject: "merge"},
	} {
		got, err := r.Commit(t.Context(), revision)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", revision, err, diff)
		}
	}
	for revision, want := range map[string]fault.Code{"main^{tree}": fault.NotFound, "absent": fault.NotFound, "--all": fault.Usage} {
		_, err := r.Commit(t.Context(), revision)
		if fault.CodeOf(err) != want {
			t.Errorf("Commit(%s): %v (%s), want %s", revision, err, fault.CodeOf(err), want)
		}
		if _, err := r.Ancestors(t.Context(), revision); fault.CodeOf(err) != want {
			t.Errorf("Ancestors(%s): %v (%s), want %s", revision, err, fault.CodeOf(err), want)
		}
	}
	all, err := r.Ancestors(t.Context(), "main")
	if err != nil || len(all) != 4 || all[0] != merge || all[3] != first {
		t.Errorf("the ancestors of main are %v, %v", all, err)
	}
	if own, err := r.Ancestors(t.Context(), "main~1"); err != nil || !slices.Equal(own, []string{second, first}) {
		t.Errorf("the ancestors of main~1 are %v, %v", own, err)
	}
	if r.Shallow() {
		t.Error("a whole repository is said to be shallow")
	}

	git("clone", "-q", "--depth=1", "file://"+filepath.ToSlash(dir), "shallow")
	clone := openRepo(t, filepath.Join(dir, "shallow"), env)
	got, err := clone.Commit(t.Context(), "HEAD")
	if err != nil || got.Hash != merge || len(got.Parents) != 0 || !clone.Shallow() {
		t.Errorf("in a shallow clone: %+v, %v", got, err)
	}
	if _, err := clone.Commit(t.Context(), first); fault.CodeOf(err) != fault.NotFound || !strings.Contains(fault.HintOf(err), "--unshallow") {
		t.Errorf("beyond a shallow clone: %v (%s)", err, fault.HintOf(err))
	}
}
