package dockerfile

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// The forms of credentials. None of them captures the credential itself for a
// message.
var (
	// secretName is a variable's name that ends in a word for a credential.
	secretName = regexp.MustCompile(`(?i)(?:password|passwd|passphrase|(?:^|_)(?:secret|token|pat|api_?key|apikey|secret_?key|access_?key|private_?key|credentials?))$`)
	// tokens are the forms in which known services give out credentials.
	tokens = regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40}|glpat-[A-Za-z0-9_-]{20}|AKIA[0-9A-Z]{16}|xox[abp]-[0-9A-Za-z-]{20}|sk_live_[0-9A-Za-z]{20})|-----BEGIN [A-Z ]*PRIVATE KEY-----`)
	// userInfo is the user and password of a URL.
	userInfo = regexp.MustCompile(`(?:https?|ftp|git|ssh|postgres(?:ql)?|mysql|mongodb(?:\+srv)?|rediss?|amqps?)://([^\s/@'"<>]+)@`)
	// reference is a variable within a script.
	reference = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)`)
)

// secrets finds credentials that get into the image, its history or the cache.
func (c *check) secrets() {
	for _, a := range c.file.globals {
		c.secretValue(nil, a)
	}
	for _, st := range c.file.stages {
		for _, a := range st.assignments {
			c.secretValue(st, a)
		}
		for _, r := range st.runs {
			c.secretCommand(st, r)
		}
		for _, in := range st.copies {
			c.secretFile(in)
		}
	}
}

func (c *check) secretValue(st *stage, a assignment) {
	kind := "ARG"
	if a.env {
		kind = "ENV"
	}
	arg := reference.FindStringSubmatch(a.raw)
	switch {
	case tokens.MatchString(a.raw) || hasPassword(a.raw):
		c.report(Secret, a.line, "%s %s holds a credential", kind, a.name)
	case !secretName.MatchString(a.name):
	case a.env && arg != nil && st != nil && st.isArg(arg[1]):
		c.report(Secret, a.line, "ENV %s keeps the build argument %s in the image", a.name, arg[1])
	case arg == nil && isSecretValue(a.value):
		c.report(Secret, a.line, "%s %s has a value", kind, a.name)
	}
}

// isArg reports whether an ARG of st's chain has the name.
func (st *stage) isArg(name string) bool {
	return st.any(func(s *stage) bool {
		return slices.ContainsFunc(s.assignments, func(a assignment) bool { return !a.env && a.name == name })
	})
}

// isSecretValue reports whether a value can be a credential: not empty, no switch
// and no path of a file that holds it.
func isSecretValue(value string) bool {
	off := []string{"", "true", "false", "yes", "no", "on", "off", "none", "null", "0", "1"}
	return isKnown(value) && !slices.Contains(off, strings.ToLower(value)) && !strings.HasPrefix(value, "/")
}

// hasPassword reports whether text holds a URL with a password that is written out.
func hasPassword(text string) bool {
	for _, m := range userInfo.FindAllStringSubmatch(text, -1) {
		if _, password, ok := strings.Cut(m[1], ":"); ok && password != "" && !strings.ContainsAny(password, "$`{") {
			return true
		}
	}
	return false
}

func (c *check) secretCommand(st *stage, r run) {
	if tokens.MatchString(r.text) || hasPassword(r.text) {
		c.report(Secret, r.line, "the command holds a credential")
		return
	}
	for _, m := range userInfo.FindAllStringSubmatch(r.text, -1) {
		for _, ref := range reference.FindAllStringSubmatch(m[1], -1) {
			if v, ok := st.vars.lookup(ref[1]); ok && v.declared > 0 && secretName.MatchString(ref[1]) {
				c.report(Secret, r.line, "the command puts %s, a build argument or variable of the image, into a URL", ref[1])
				return
			}
		}
	}
}

// secretFiles are files that hold credentials, by name or by the end of the path.
var secretFiles = []string{
	".netrc", ".git-credentials", ".env", ".npmrc", ".pgpass", "id_rsa", "id_ecdsa", "id_ed25519", "id_dsa",
	".ssh", ".aws", ".gnupg", ".docker/config.json", ".aws/credentials", ".kube/config",
}

func (c *check) secretFile(in copied) {
	for _, s := range in.sources {
		name := path.Clean(strings.ReplaceAll(s, `\`, "/"))
		if isDownload(s) && hasPassword(s) {
			c.report(Secret, in.line, "the URL holds a password")
		}
		if i := slices.IndexFunc(secretFiles, func(f string) bool { return name == f || strings.HasSuffix(name, "/"+f) }); i >= 0 {
			c.report(Secret, in.line, "%s usually holds credentials, and it is copied", shown(name))
		}
	}
}

// withoutUser returns a URL without its user and password.
func withoutUser(url string) string {
	if m := userInfo.FindStringSubmatchIndex(url); m != nil {
		return url[:m[2]] + url[m[3]+1:]
	}
	return url
}
