//go:build e2e

package modproxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sshd is the server of OpenSSH; it runs only under its full name.
const sshd = "/usr/sbin/sshd"

// The company, its proxy's user at the git server, and the secret of this user.
const (
	corpHost     = "corp.example.com"
	corpUser     = "proxy"
	corpPassword = "corp-secret-31337"
)

// forge is a company's git server: repositories below /web are read over https,
// with a password, and those below /shell over ssh, with a key. It tells go commands
// so, as GitLab does: only those with the password.
type forge struct {
	// dir has the repositories, bare: web/lib.git.
	dir string
	// sshCommand is the ssh that has the proxy's key, and knows the server's.
	sshCommand string
	git        http.Handler
}

// newForge makes repositories and starts their servers.
func newForge(t *testing.T) *forge {
	t.Helper()
	f := &forge{dir: tempDir(t, lab.dir)}
	where, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	f.git = &cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(string(where)), "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + f.dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + corpUser},
		Stderr: io.Discard, // repositories that do not exist are part of tests
	}
	f.startSSH(t)
	return f
}

// ServeHTTP implements http.Handler: what the host answers over https.
func (f *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name, password, _ := r.BasicAuth(); name != corpUser || password != corpPassword {
		w.Header().Set("WWW-Authenticate", `Basic realm="corp"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if r.URL.Query().Get("go-get") != "1" {
		f.git.ServeHTTP(w, r)
		return
	}
	kind, name, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	name, _, _ = strings.Cut(name, "/")
	scheme := map[string]string{"web": "https", "shell": "ssh"}[kind]
	if scheme == "" || name == "" {
		http.NotFound(w, r)
		return
	}
	root := corpHost + "/" + kind + "/" + name
	fmt.Fprintf(w, "<!DOCTYPE html><html><head><meta name=\"go-import\" content=\"%s git %s://%s.git\"></head></html>\n", root, scheme, root)
}

// startSSH starts a server with a key of its own that lets in one key, for reading
// repositories.
func (f *forge) startSSH(t *testing.T) {
	t.Helper()
	dir := tempDir(t, lab.dir)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where it locks itself up; a service would make it
		t.Fatal(err)
	}
	for _, name := range []string{"host", "client"} {
		if said, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, said)
		}
	}
	public := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name+".pub"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	address, err := lab.island.freePort()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(address, ":")
	upload := filepath.Join(dir, "upload")
	writeProgram(t, upload, "#!/bin/sh\nset -eu\neval \"set -- $SSH_ORIGINAL_COMMAND\"\n[ \"$1\" = git-upload-pack ]\nexec git upload-pack --strict \""+f.dir+"$2\"\n")
	writeFile(t, filepath.Join(dir, "authorized_keys"), fmt.Sprintf("restrict,command=%q %s", upload, public("client")))
	writeFile(t, filepath.Join(dir, "known_hosts"), corpHost+" "+public("host"))
	writeFile(t, filepath.Join(dir, "sshd_config"), fmt.Sprintf(`ListenAddress %s
HostKey %s/host
AuthorizedKeysFile %s/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin forced-commands-only
AcceptEnv GIT_PROTOCOL
`, address, dir, dir))
	writeFile(t, filepath.Join(dir, "ssh_config"), fmt.Sprintf(`Host %s
	HostName 127.0.0.1
	HostKeyAlias %s
	Port %s
	User %s
	IdentityFile %s/client
	IdentitiesOnly yes
	UserKnownHostsFile %s/known_hosts
	StrictHostKeyChecking yes
	BatchMode yes
`, corpHost, corpHost, port, me.Username, dir, dir))
	f.sshCommand = "ssh -F " + filepath.Join(dir, "ssh_config")
	var said journal
	cmd := exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := lab.island.start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // it says that it was killed
		if t.Failed() {
			t.Logf("sshd: %s", &said)
		}
	})
	until(t, 10*time.Second, "sshd listens", func() error {
		c, err := lab.island.dial(t.Context(), "tcp", address)
		if err != nil {
			return fmt.Errorf("%w: %s", err, &said)
		}
		return c.Close()
	})
}

// repository is a work tree of a repository of a forge.
type repository struct {
	t         *testing.T
	dir, bare string
}

// repository makes a repository, for example web/lib.
func (f *forge) repository(t *testing.T, name string) *repository {
	t.Helper()
	r := &repository{t, tempDir(t, lab.dir), filepath.Join(f.dir, name+".git")}
	r.git("init", "-q", "--bare", "-b", "main", r.bare)
	r.git("init", "-q", "-b", "main")
	return r
}

// commit writes files, commits them and names the commit with tags.
func (r *repository) commit(files map[string]string, tags ...string) {
	r.t.Helper()
	for name, text := range files {
		writeFile(r.t, filepath.Join(r.dir, name), text)
	}
	r.git("add", "-A")
	r.git("commit", "-q", "-m", strings.Join(append([]string{"change"}, tags...), " "))
	for _, tag := range tags {
		r.git("tag", tag)
	}
	r.git("push", "-q", "--force", "--all", r.bare)
	r.git("push", "-q", "--force", "--tags", r.bare)
}

// git runs git in the work tree, without anybody's settings.
func (r *repository) git(args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(baseEnvironment(r.dir), "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=g", "GIT_AUTHOR_EMAIL=g@example.com", "GIT_COMMITTER_NAME=g", "GIT_COMMITTER_EMAIL=g@example.com")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(stdout.String())
}

// secretWays are the ways in which the proxy is given the password of the forge:
// each is an environment.
func secretWays(t *testing.T) map[string][]string {
	t.Helper()
	netrc, home := tempDir(t, lab.dir), tempDir(t, lab.dir)
	entry := fmt.Sprintf("machine %s login %s password %s\n", corpHost, corpUser, corpPassword)
	writeFile(t, filepath.Join(netrc, "corp-netrc"), entry)
	writeFile(t, filepath.Join(home, ".netrc"), entry)
	helper := filepath.Join(tempDir(t, lab.dir), "helper")
	writeProgram(t, helper, fmt.Sprintf("#!/bin/sh\n[ \"$1\" = get ] || exit 0\ngrep -qx 'host=%s' || exit 0\necho username=%s\necho password=%s\n", corpHost, corpUser, corpPassword))
	settings := tempDir(t, lab.dir)
	writeFile(t, filepath.Join(settings, ".gitconfig"), fmt.Sprintf("[credential]\n\thelper = %s\n", helper))
	return map[string][]string{
		"~/.netrc":     {"HOME=" + home},
		"NETRC":        {"NETRC=" + filepath.Join(netrc, "corp-netrc")},
		"environment":  {"GOPHERWOOD_GIT_USER_CORP_EXAMPLE_COM=" + corpUser, "GOPHERWOOD_GIT_TOKEN_CORP_EXAMPLE_COM=" + corpPassword},
		"git's helper": {"HOME=" + settings, "GOAUTH=git " + settings},
	}
}
