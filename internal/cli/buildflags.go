package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/config"
)

// buildFlags are the flags that say how packages become images. Each overrides
// what the configuration file says; some can be given in the environment.
type buildFlags struct {
	config      string
	platforms   []string
	pkg         api.PackageConfig
	cgo         choiceFlag
	pie, race   bool
	ldflags     []string
	gcflags     []string
	labels      []string
	annotations []string
	compression choiceFlag
	key         string
}

// environmentPrefix begins the names of environment variables that stand for
// flags: GOPHERWOOD_PUSH is --push.
const environmentPrefix = "GOPHERWOOD_"

// environmentFlags can be given in the environment.
var environmentFlags = []string{"config", "platform", "push", "base", "cgo", "go", "compression", "key"}

// addPackageFlags gives cmd the flags about compiling and packing one package.
func addPackageFlags(cmd *cobra.Command) *buildFlags {
	f := &buildFlags{cgo: choiceFlag{allowed: config.CGO()}, compression: choiceFlag{allowed: config.Compression()}}
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", "", "configuration file (default: "+config.Name+" of the module)")
	f.cgo.add(cmd, "cgo", "whether to use cgo: auto looks at the packages that are linked (default auto)")
	fl.StringSliceVar(&f.pkg.Tags, "tags", nil, "build tags, separated by commas")
	fl.StringArrayVar(&f.ldflags, "ldflags", nil, "arguments for the linker, as for go build")
	fl.StringArrayVar(&f.gcflags, "gcflags", nil, "arguments for the compiler, as for go build")
	fl.BoolVar(&f.pie, "pie", false, "build a position-independent executable")
	fl.BoolVar(&f.race, "race", false, "build with the race detector, which needs cgo")
	fl.StringVar(&f.pkg.PGO, "pgo", "", "profile to optimise for: a file, auto or off")
	fl.StringVar(&f.pkg.Go, "go", "", "Go version to build with, for example 1.26.8 (default: the go command's choice)")
	fl.StringVar(&f.pkg.Base, "base", "", "base image (default: chosen by how the program is linked)")
	fl.StringVar(&f.pkg.Assets, "assets", "", "directory that the image has at $KO_DATA_PATH (default: kodata of the package)")
	fl.StringVar(&f.pkg.User, "user", "", "user of the image, uid[:gid] (default 65532:65532)")
	return f
}

// addBuildFlags gives cmd all flags of images.
func addBuildFlags(cmd *cobra.Command) *buildFlags {
	f := addPackageFlags(cmd)
	fl := cmd.Flags()
	fl.StringSliceVar(&f.platforms, "platform", nil, "platforms to build for, os/arch[/level], for example linux/amd64/v3,linux/arm64 (default: linux and this machine's processor)")
	fl.StringArrayVar(&f.labels, "label", nil, "KEY=VALUE for the image's configuration")
	fl.StringArrayVar(&f.annotations, "annotation", nil, "KEY=VALUE for the image's manifest and index")
	f.compression.add(cmd, "compression", "how layers are compressed (default gzip)")
	fl.StringVar(&f.key, "key", "", "private key that signs what is attached; $COSIGN_PASSWORD decrypts it")
	return f
}

// fromEnvironment sets the flags of cmd that are not on the command line and
// have a variable in the environment.
func fromEnvironment(cmd *cobra.Command, getenv func(string) string) error {
	for _, name := range environmentFlags {
		flag := cmd.Flags().Lookup(name)
		variable := environmentPrefix + strings.ToUpper(name)
		value := getenv(variable)
		if flag == nil || flag.Changed || value == "" {
			continue
		}
		if err := cmd.Flags().Set(name, value); err != nil {
			return usage(cmd, "$%s: %w", variable, err)
		}
	}
	return nil
}

// project loads the configuration and lays the flags over it.
func (f *buildFlags) project(cmd *cobra.Command, getenv func(string) string) (*project, error) {
	if err := fromEnvironment(cmd, getenv); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, usage(cmd, "%w", err)
	}
	p, err := loadProject(f.config)
	if err != nil {
		return nil, err
	}
	if err := f.overrideBuild(cmd, p); err != nil {
		return nil, usage(cmd, "%w", err)
	}
	for _, set := range f.overrides(cmd, p) {
		set(&p.Build.Defaults)
		for name, pkg := range p.Build.Packages {
			set(&pkg)
			p.Build.Packages[name] = pkg
		}
	}
	return p, nil
}

// check returns what is wrong with the values of flags.
func (f *buildFlags) check() error {
	for _, name := range f.platforms {
		if err := config.CheckPlatform(name); err != nil {
			return fmt.Errorf("--platform: %w", err)
		}
	}
	if err := config.CheckGo(f.pkg.Go); err != nil {
		return fmt.Errorf("--go: %w", err)
	}
	if err := config.CheckUser(f.pkg.User); err != nil {
		return fmt.Errorf("--user: %w", err)
	}
	return nil
}

// overrideBuild lays the flags over what holds for all packages.
func (f *buildFlags) overrideBuild(cmd *cobra.Command, p *project) (err error) {
	b := &p.Build
	if len(f.platforms) > 0 {
		b.Platforms = f.platforms
	}
	if f.compression.value != "" {
		b.Compression = f.compression.value
	}
	if cmd.Flags().Changed("key") {
		b.Key = p.within(f.key)
	}
	if b.Labels, err = withPairs(b.Labels, f.labels); err != nil {
		return fmt.Errorf("--label: %w", err)
	}
	if b.Annotations, err = withPairs(b.Annotations, f.annotations); err != nil {
		return fmt.Errorf("--annotation: %w", err)
	}
	for name, args := range map[string]*[]string{"ldflags": &f.ldflags, "gcflags": &f.gcflags} {
		if *args, err = splitArguments(*args); err != nil {
			return fmt.Errorf("--%s: %w", name, err)
		}
	}
	return nil
}

// overrides returns what the flags that are given change of a package's
// configuration.
func (f *buildFlags) overrides(cmd *cobra.Command, p *project) []func(*api.PackageConfig) {
	var given []func(*api.PackageConfig)
	add := func(flag string, set func(*api.PackageConfig)) {
		if cmd.Flags().Changed(flag) {
			given = append(given, set)
		}
	}
	add("cgo", func(c *api.PackageConfig) { c.CGO = f.cgo.value })
	add("tags", func(c *api.PackageConfig) { c.Tags = f.pkg.Tags })
	add("ldflags", func(c *api.PackageConfig) { c.Ldflags = f.ldflags })
	add("gcflags", func(c *api.PackageConfig) { c.Gcflags = f.gcflags })
	add("pie", func(c *api.PackageConfig) { c.PIE = &f.pie })
	add("race", func(c *api.PackageConfig) { c.Race = &f.race })
	add("pgo", func(c *api.PackageConfig) { c.PGO = f.profile(p) })
	add("go", func(c *api.PackageConfig) { c.Go = f.pkg.Go })
	add("base", func(c *api.PackageConfig) { c.Base = f.pkg.Base })
	add("assets", func(c *api.PackageConfig) { c.Assets = p.within(f.pkg.Assets) })
	add("user", func(c *api.PackageConfig) { c.User = f.pkg.User })
	return given
}

// profile returns the value of --pgo, a file's name or a word.
func (f *buildFlags) profile(p *project) string {
	if slices.Contains([]string{"", "auto", "off"}, f.pkg.PGO) {
		return f.pkg.PGO
	}
	return p.within(f.pkg.PGO)
}

// withPairs returns m with the KEY=VALUE pairs laid over it.
func withPairs(m map[string]string, pairs []string) (map[string]string, error) {
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q is no KEY=VALUE", pair)
		}
		if m == nil {
			m = map[string]string{}
		}
		m[key] = value
	}
	return m, nil
}

// splitArguments splits each text at white space, as the go command splits
// -ldflags: what is in single or double quotes is one argument.
func splitArguments(texts []string) ([]string, error) {
	var args []string
	for _, text := range texts {
		for text = strings.TrimLeft(text, " \t\r\n"); text != ""; text = strings.TrimLeft(text, " \t\r\n") {
			var arg string
			if quote := text[0]; quote == '\'' || quote == '"' {
				var ok bool
				if arg, text, ok = strings.Cut(text[1:], string(quote)); !ok {
					return nil, errors.New("a quotation mark is not closed")
				}
			} else {
				end := strings.IndexAny(text, " \t\r\n")
				if end < 0 {
					end = len(text)
				}
				arg, text = text[:end], text[end:]
			}
			args = append(args, arg)
		}
	}
	return args, nil
}

// choiceFlag is one of a few words; empty stands for the default.
type choiceFlag struct {
	value   string
	allowed []string
}

// add gives cmd the flag.
func (f *choiceFlag) add(cmd *cobra.Command, name, help string) {
	cmd.Flags().Var(f, name, help)
	complete(cmd, name, f.allowed...)
}

func (f *choiceFlag) String() string { return f.value }
func (f *choiceFlag) Type() string   { return strings.Join(f.allowed, "|") }

func (f *choiceFlag) Set(s string) error {
	if !slices.Contains(f.allowed, s) {
		return fmt.Errorf("must be one of %s", strings.Join(f.allowed, ", "))
	}
	f.value = s
	return nil
}
