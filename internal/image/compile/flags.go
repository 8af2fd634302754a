package compile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// flags are arguments of go build.
type flags struct {
	args []string
	// recorded are args without paths of this machine.
	recorded []string
	// profile is the file that -pgo names, if any.
	profile string
	// tags and ldflags are still open: linking for static-pie adds to them.
	tags, ldflags []string
}

// newFlags returns what cfg asks for, apart from what depends on cgo. dir is the
// directory, absolute, that the path of a profile starts from.
func newFlags(cfg api.PackageConfig, dir string) (flags, error) {
	f := flags{tags: cfg.Tags, ldflags: cfg.Ldflags}
	f.add("-trimpath")
	if cfg.Race != nil && *cfg.Race {
		f.add("-race")
	}
	if cfg.PIE != nil && *cfg.PIE {
		f.add("-buildmode=pie")
	}
	gcflags, err := perPackage("-gcflags", cfg.Gcflags)
	if err != nil {
		return f, err
	}
	f.add(gcflags...)
	switch cfg.PGO {
	case "":
	case "auto", "off":
		f.add("-pgo=" + cfg.PGO)
	default:
		if f.profile = cfg.PGO; !filepath.IsAbs(f.profile) {
			f.profile = filepath.Join(dir, f.profile)
		}
		if info, err := os.Stat(f.profile); err != nil || !info.Mode().IsRegular() {
			return f, &fault.Error{Code: fault.NotFound, Op: "read profile", Input: cfg.PGO, Err: cmp.Or(err, fs.ErrInvalid),
				Hint: "name a CPU profile, auto or off"}
		}
		f.args = append(f.args, "-pgo="+f.profile)
		f.recorded = append(f.recorded, "-pgo="+filepath.Base(f.profile))
	}
	return f, nil
}

func (f *flags) add(args ...string) {
	f.args = append(f.args, args...)
	f.recorded = append(f.recorded, args...)
}

// close returns f with -tags and -ldflags, to which tags and ldflags are added.
func (f flags) close(tags, ldflags []string) (flags, error) {
	f.args, f.recorded = slices.Clone(f.args), slices.Clone(f.recorded)
	f.tags, f.ldflags = slices.Concat(f.tags, tags), slices.Concat(f.ldflags, ldflags)
	if tag := f.tagsFlag(); tag != "" {
		f.add(tag)
	}
	linker, err := perPackage("-ldflags", f.ldflags)
	if err != nil {
		return f, err
	}
	f.add(linker...)
	return f, nil
}

// tagsFlag returns -tags, "" when there are none.
func (f flags) tagsFlag() string {
	if len(f.tags) == 0 {
		return ""
	}
	return "-tags=" + strings.Join(f.tags, ",")
}

// names says whether one of items is the flag name, with one dash or two.
func names(items []string, name string) bool {
	return slices.ContainsFunc(items, func(item string) bool {
		found := strings.TrimLeft(item, "-")
		return found != item && strings.HasPrefix(found, name) && strings.Trim(found[len(name):][:min(1, len(found)-len(name))], "= \t") == ""
	})
}

// perPackage joins items into arguments of go build that it splits again into
// the same items. One that begins with no dash begins another argument, since it
// names the packages that it and those behind it are for: all=-N.
func perPackage(flag string, items []string) ([]string, error) {
	var args []string
	for _, item := range items {
		quoted, err := quote(item)
		if err != nil {
			return nil, &fault.Error{Code: fault.Usage, Op: "pass " + flag, Input: item, Err: err, Hint: "leave out one kind of quotes"}
		}
		if len(args) == 0 || !strings.HasPrefix(item, "-") && strings.Contains(item, "=-") {
			args = append(args, flag+"="+quoted)
		} else {
			args[len(args)-1] += " " + quoted
		}
	}
	return args, nil
}

// quote writes an item so that the go command takes it as one field. A field is
// quoted as a whole, with either kind of quotes, and has no escapes. A flag and
// its value in one item, "-X main.version=1", becomes the form with "=".
func quote(item string) (string, error) {
	const space = " \t\r\n"
	item = strings.Trim(item, space)
	if name, value, ok := strings.Cut(item, " "); ok && strings.HasPrefix(name, "-") && !strings.Contains(name, "=") {
		item = name + "=" + strings.TrimLeft(value, space)
	}
	switch {
	case item != "" && !strings.ContainsAny(item, space+`'"`):
		return item, nil
	case !strings.Contains(item, "'"):
		return "'" + item + "'", nil
	case !strings.Contains(item, `"`):
		return `"` + item + `"`, nil
	}
	return "", errors.New("it has both kinds of quotes, which the go command cannot take")
}

// checkFeatures refuses what the toolchain does not have.
func (b *build) checkFeatures() error {
	level := levelVariables[b.platform.Arch]
	for _, want := range []struct {
		asked   bool
		feature string
		what    string
	}{
		{true, "trimpath", "-trimpath"},
		{b.wants(b.cfg.PIE), "pie", "-buildmode=pie"},
		{b.cfg.PGO != "" && b.cfg.PGO != "off", "pgo", "-pgo=" + b.cfg.PGO},
		{b.platform.Level != "" && level.feature != "", level.feature, level.name + "=" + b.platform.Level},
	} {
		if !want.asked || b.has(want.feature) {
			continue
		}
		feature, _ := b.opt.matrix().Feature(want.feature)
		return &fault.Error{Code: fault.Unsupported, Op: "compile with", Input: want.what,
			Err:  fmt.Errorf("%s does not have it: it came with Go %s", b.tool.settings["GOVERSION"], feature.Since),
			Hint: "choose a newer toolchain with --go, or leave it out"}
	}
	return nil
}

// has says whether the toolchain has a feature. What the matrix does not know,
// the go command may judge.
func (b *build) has(id string) bool {
	has, err := b.opt.matrix().HasFeature(b.tool.settings["GOVERSION"], id)
	return has || err != nil
}
