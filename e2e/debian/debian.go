// Package debian fetches packages of any Debian suite and architecture from the
// mirror that this machine already uses, without installing them and without
// touching the machine's own package state.
//
// Each suite and architecture has its own private apt configuration, whose
// index is verified with the Debian archive keyring; apt-get then checks every
// package against that index. Nothing here needs root.
package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Keyring is the file that verifies Debian's package indexes; the package
// debian-archive-keyring installs it.
const Keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Source is one suite's packages for one architecture.
type Source struct {
	// Suite is a code name, for example "bookworm".
	Suite string
	// Arch is Debian's own name of an architecture, for example "amd64".
	Arch string
}

// String returns suite/arch.
func (s Source) String() string { return s.Suite + "/" + s.Arch }

// Archive keeps downloaded packages below one directory. A package that is
// there is never asked for again.
type Archive struct {
	dir  string
	site string
}

// Open returns the archive that keeps its files below dir. It fails when this
// is no Debian machine whose package lists were fetched.
func Open(ctx context.Context, dir string) (*Archive, error) {
	for _, tool := range []string{"apt-get", "dpkg-deb", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("packages are fetched with apt: this needs a Debian machine: %w", err)
		}
	}
	if _, err := os.Stat(Keyring); err != nil {
		return nil, fmt.Errorf("verify packages: %w; run: apt-get install debian-archive-keyring", err)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	site, err := mirror(ctx)
	if err != nil {
		return nil, err
	}
	return &Archive{dir: dir, site: site}, nil
}

// mirror returns the address that this machine fetches Debian itself from.
func mirror(ctx context.Context) (string, error) {
	out, err := run(exec.CommandContext(ctx, "apt-get", "indextargets",
		"--format", "$(ORIGIN) $(LABEL) $(SITE)", "Created-By: Packages"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Debian" && f[1] == "Debian" {
			return f[2], nil
		}
	}
	return "", errors.New("no mirror of Debian in this machine's package lists; run: apt-get update")
}

// Fetch returns the files of the named packages, in their order, downloading
// those that are not there yet.
func (a *Archive) Fetch(ctx context.Context, src Source, packages ...string) ([]string, error) {
	store := filepath.Join(a.dir, "debs", src.Suite, src.Arch)
	if err := os.MkdirAll(store, 0o755); err != nil {
		return nil, err
	}
	files := make([]string, len(packages))
	var missing []string
	for i, name := range packages {
		if files[i] = stored(store, name); files[i] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return files, nil
	}
	if err := a.download(ctx, src, store, missing); err != nil {
		return nil, err
	}
	for i, name := range packages {
		if files[i] = stored(store, name); files[i] == "" {
			return nil, fmt.Errorf("fetch %s from %s: apt-get left no file", name, src)
		}
	}
	return files, nil
}

// stored returns the file of the package name in store, or "".
func stored(store, name string) string {
	found, err := filepath.Glob(filepath.Join(store, name+"_*.deb"))
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// download asks apt for packages and moves them into store once all are whole.
func (a *Archive) download(ctx context.Context, src Source, store string, packages []string) error {
	conf, err := a.configure(ctx, src)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(store, ".download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	cmd := apt(ctx, conf, append([]string{"download"}, packages...)...)
	cmd.Dir = tmp
	if _, err := run(cmd); err != nil {
		return fmt.Errorf("fetch from %s: %w", src, err)
	}
	whole, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil {
		return err
	}
	for _, file := range whole {
		if err := os.Rename(file, filepath.Join(store, filepath.Base(file))); err != nil {
			return err
		}
	}
	return nil
}

// configure writes src's private apt configuration, fetches its index when that
// was not done yet, and returns the configuration's path.
func (a *Archive) configure(ctx context.Context, src Source) (string, error) {
	base := filepath.Join(a.dir, "apt", src.Suite+"-"+src.Arch)
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o755); err != nil {
			return "", err
		}
	}
	files := map[string]string{
		"status":       "",
		"sources.list": fmt.Sprintf("deb [signed-by=%s] %s %s main\n", Keyring, a.site, src.Suite),
		"apt.conf":     aptConf(base, src.Arch),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(base, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	conf := filepath.Join(base, "apt.conf")
	if found, _ := filepath.Glob(filepath.Join(base, "state/lists/*_Packages*")); len(found) > 0 {
		return conf, nil
	}
	if _, err := run(apt(ctx, conf, "update")); err != nil {
		return "", fmt.Errorf("fetch the index of %s: %w", src, err)
	}
	return conf, nil
}

// aptConf is an apt configuration that keeps everything below base. Proxies and
// credentials stay the machine's own.
func aptConf(base, arch string) string {
	return fmt.Sprintf(`Dir::State "%[1]s/state";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Retries "3";
APT::Sandbox::User "";
APT::Architecture "%[2]s";
APT::Architectures { "%[2]s"; };
`, base, arch)
}

// apt is an apt-get command under a private configuration.
func apt(ctx context.Context, conf string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-qq"}, args...)...)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+conf, "LC_ALL=C")
	return cmd
}

// Unpack lays the content of package files into dir, in their order. A package's
// directory follows a symbolic link to a directory that is already in dir, as
// it does when dpkg installs onto a merged /usr.
func Unpack(ctx context.Context, dir string, files ...string) error {
	for _, file := range files {
		if err := unpack(ctx, dir, file); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(file), err)
		}
	}
	return nil
}

// unpack pipes dpkg-deb's tar stream into tar.
func unpack(ctx context.Context, dir, file string) error {
	read := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", file)
	write := exec.CommandContext(ctx, "tar", "-x", "-p", "-f", "-", "-C", dir,
		"--keep-directory-symlink", "--warning=no-timestamp")
	pipe, err := read.StdoutPipe()
	if err != nil {
		return err
	}
	write.Stdin = pipe
	if err := read.Start(); err != nil {
		return err
	}
	_, writeErr := run(write)
	pipe.Close() // a reader that still writes ends with a broken pipe
	return errors.Join(writeErr, read.Wait())
}

// run runs cmd and returns its standard output; an error carries what it said.
func run(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s",
			strings.Join(cmd.Args[:min(3, len(cmd.Args))], " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
