package cli

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

// moduleEnv are the flags of 'modproxy env'.
type moduleEnv struct {
	url, private, sumdb, login string
	target                     choiceFlag
}

// The values of --for.
const (
	forShell      = "shell"
	forDocker     = "docker"
	forGitLab     = "gitlab"
	forKubernetes = "kubernetes"
)

func newModproxyEnv(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the settings that point the go command at a proxy",
		Long: `Env prints what the go command has to be told: for a shell, as lines of a
Dockerfile, of .gitlab-ci.yml, or as objects for Kubernetes.

Name the modules that --private of the proxy names: the go command then gets them
from the proxy, too, and does not look them up in the public checksum database.
With --login the proxy wants a user and a token; the output says where these go,
and holds none.`,
		Example: `  gopherwood modproxy env --url https://goproxy.corp.example.com
  gopherwood modproxy env --url https://goproxy.corp.example.com --private 'corp.example.com/*' --for kubernetes --login ci`,
		Args: maxArgs(0),
	}
	e := &moduleEnv{target: choiceFlag{value: forShell, allowed: []string{forShell, forDocker, forGitLab, forKubernetes}}}
	fl := cmd.Flags()
	fl.StringVar(&e.url, "url", "", "URL that the proxy is reached at")
	fl.StringVar(&e.private, "private", "", "patterns of private modules, as --private of the proxy")
	fl.StringVar(&e.sumdb, "sumdb", "", "checksum database as --sumdb of the proxy, where it is not the go command's own")
	fl.StringVar(&e.login, "login", "", "user that the proxy knows")
	e.target.add(cmd, "for", "what the lines are for")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		host, err := e.check()
		if err != nil {
			return usage(cmd, "%w", err)
		}
		return e.write(a.stdout, host)
	}
	return cmd
}

// check finds what is wrong with the flags themselves, and returns the proxy's
// host, with its port if it has one.
func (e *moduleEnv) check() (host string, err error) {
	for _, value := range []string{e.url, e.private, e.sumdb, e.login} {
		if strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune("'\"\\$`", r) }) {
			return "", fmt.Errorf("%q has a character that is none of such a value", value)
		}
	}
	e.url = strings.TrimSuffix(e.url, "/")
	u, err := url.Parse(e.url)
	switch {
	case e.url == "":
		return "", errors.New("needs --url URL")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(e.url, ",| "):
		return "", fmt.Errorf("--url %s: write https://HOST or http://HOST", e.url)
	case u.User != nil:
		return "", errors.New("--url must not hold credentials: whoever reads the settings would know them; use --login")
	case e.login != "" && u.Scheme != "https":
		return "", errors.New("--login needs a --url with https: the go command sends credentials over nothing else")
	case strings.ContainsAny(e.login, " "):
		return "", errors.New("--login must not hold spaces")
	}
	return u.Host, nil
}

// variable is a variable of the go command's environment.
type variable struct{ name, value string }

func (e *moduleEnv) variables() []variable {
	all := []variable{{"GOPROXY", e.url}}
	if e.sumdb != "" {
		all = append(all, variable{"GOSUMDB", e.sumdb})
	}
	if e.private != "" {
		// Nothing is got past the proxy, also where GOPRIVATE is set.
		all = append(all, variable{"GONOPROXY", "none"}, variable{"GONOSUMDB", e.private})
	}
	if e.login != "" {
		all = append(all, variable{"GOAUTH", "netrc"})
	}
	return all
}

func (e *moduleEnv) write(w io.Writer, host string) error {
	var b strings.Builder
	switch e.target.value {
	case forShell:
		e.shell(&b, host)
	case forDocker:
		e.docker(&b, host)
	case forGitLab:
		e.gitlab(&b, host)
	case forKubernetes:
		e.kubernetes(&b, host)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// netrc returns the lines of a netrc file. Go 1.24 and later look for the host with
// its port, earlier ones for the host alone.
func (e *moduleEnv) netrc(host, token string) []string {
	lines := []string{"machine " + host + " login " + e.login + " password " + token}
	if name, _, ok := strings.Cut(host, ":"); ok && !strings.Contains(host, "]") {
		lines = append(lines, "machine "+name+" login "+e.login+" password "+token)
	}
	return lines
}

func (e *moduleEnv) shell(b *strings.Builder, host string) {
	for _, v := range e.variables() {
		fmt.Fprintf(b, "export %s='%s'\n", v.name, v.value)
	}
	if e.login == "" {
		return
	}
	fmt.Fprintf(b, "# In ~/.netrc, which nobody else may read (chmod 600):\n")
	for _, line := range e.netrc(host, "TOKEN") {
		fmt.Fprintf(b, "#   %s\n", line)
	}
}

func (e *moduleEnv) docker(b *strings.Builder, host string) {
	for _, v := range e.variables() {
		fmt.Fprintf(b, "ENV %s=%s\n", v.name, strconv.Quote(v.value))
	}
	if e.login == "" {
		fmt.Fprintf(b, "RUN go mod download\n")
		return
	}
	fmt.Fprintf(b, "# docker build --secret id=netrc,src=$HOME/.netrc ., with the lines\n")
	for _, line := range e.netrc(host, "TOKEN") {
		fmt.Fprintf(b, "#   %s\n", line)
	}
	fmt.Fprintf(b, "RUN --mount=type=secret,id=netrc,target=/root/.netrc go mod download\n")
}

func (e *moduleEnv) gitlab(b *strings.Builder, host string) {
	fmt.Fprintf(b, "variables:\n")
	for _, v := range e.variables() {
		fmt.Fprintf(b, "  %s: %s\n", v.name, strconv.Quote(v.value))
	}
	if e.login == "" {
		return
	}
	fmt.Fprintf(b, "default:\n  before_script:\n")
	fmt.Fprintf(b, "    # GOPROXY_TOKEN is a masked variable of the group: Settings, CI/CD, Variables.\n")
	fmt.Fprintf(b, "    - |\n      ( umask 077\n")
	for _, line := range e.netrc(host, `$GOPROXY_TOKEN`) {
		fmt.Fprintf(b, "        echo \"%s\" >> \"$HOME/.netrc\"\n", line)
	}
	fmt.Fprintf(b, "      )\n")
}

func (e *moduleEnv) kubernetes(b *strings.Builder, host string) {
	fmt.Fprintf(b, `# In a container: envFrom: [{configMapRef: {name: goproxy}}]
apiVersion: v1
kind: ConfigMap
metadata:
  name: goproxy
data:
`)
	for _, v := range e.variables() {
		fmt.Fprintf(b, "  %s: %s\n", v.name, strconv.Quote(v.value))
	}
	if e.login == "" {
		return
	}
	fmt.Fprintf(b, `  NETRC: "/var/run/goproxy/netrc"
---
# In the pod: volumes: [{name: goproxy, secret: {secretName: goproxy}}], and in the
# container: volumeMounts: [{name: goproxy, mountPath: /var/run/goproxy, readOnly: true}]
apiVersion: v1
kind: Secret
metadata:
  name: goproxy
stringData:
  netrc: |
`)
	for _, line := range e.netrc(host, "TOKEN") {
		fmt.Fprintf(b, "    %s\n", line)
	}
}
