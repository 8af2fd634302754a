package start

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
)

// The capabilities (package exe) that need something of the root file system.
const (
	capSystemRoots   = "system-ca-roots"
	capEmbeddedRoots = "embedded-ca-roots"
	capTimezone      = "timezone"
	capTzdata        = "tzdata"
)

// surroundings warns of what the image's Go programs will miss when they run.
func (c *check) surroundings() {
	env := environment(c.subject.Process.Env)
	for i := range c.subject.Files {
		f := &c.subject.Files[i]
		has := func(capability string) bool { return slices.Contains(f.Capabilities, capability) }
		if has(capSystemRoots) && !has(capEmbeddedRoots) && !c.hasCertificates(env) {
			c.report(NoCACertificates, f.Path, "", "%s verifies TLS certificates and the image has no CA certificates", name(f.Path, f.Ref))
		}
		if has(capTimezone) && !has(capTzdata) && !c.hasZoneinfo(env) {
			c.report(NoZoneinfo, f.Path, "", "%s can load time zones by name and the image has no zone data", name(f.Path, f.Ref))
		}
	}
}

// Where crypto/x509 looks on Linux (root_linux.go of the standard library), the
// files before the directories.
var (
	certFiles = []string{
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
		"/etc/pki/tls/cacert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
	}
	certDirs = []string{"/etc/ssl/certs", "/etc/pki/tls/certs"}
)

func (c *check) hasCertificates(env map[string]string) bool {
	files, dirs := certFiles, certDirs
	if f := env["SSL_CERT_FILE"]; f != "" {
		files = []string{f}
	}
	if d := env["SSL_CERT_DIR"]; d != "" {
		dirs = strings.Split(d, ":")
	}
	return slices.ContainsFunc(files, c.filled) || slices.ContainsFunc(dirs, c.filled)
}

// Where package time looks on Unix (zoneinfo_unix.go), after $ZONEINFO.
var zoneDirs = []string{"/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo"}

func (c *check) hasZoneinfo(env map[string]string) bool {
	places := slices.Clone(zoneDirs)
	if z := env["ZONEINFO"]; z != "" {
		places = append(places, z)
	}
	if goroot := env["GOROOT"]; goroot != "" {
		places = append(places, path.Join(goroot, "lib/time/zoneinfo.zip"))
	}
	return slices.ContainsFunc(places, c.filled)
}

// filled reports whether name is a file that is not empty or a directory that
// is not.
func (c *check) filled(name string) bool {
	real, node, err := rootfs.Resolve(c.subject.Root, rootfs.User{}, "/", name)
	if err != nil {
		return false
	}
	if node.Mode.IsDir() {
		names, err := c.subject.Root.ReadDir(real)
		return err == nil && len(names) > 0
	}
	return node.Mode&fs.ModeType == 0 && node.Size > 0
}
