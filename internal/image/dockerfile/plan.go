package dockerfile

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/compile"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// defaultAssets is the directory of a package that ko takes assets from.
const defaultAssets = "kodata"

// PlanFor returns the plan for a package. opt.Dir becomes the build context: the
// modules of the program must lie in it.
func PlanFor(ctx context.Context, pkg compile.Package, cfg api.PackageConfig, opt compile.Options) (Plan, error) {
	root, err := filepath.Abs(opt.Dir)
	if err != nil {
		return Plan{}, &fault.Error{Code: fault.Internal, Op: "find directory", Input: opt.Dir, Err: err}
	}
	profile := cfg.PGO
	if profile != "auto" && profile != "off" {
		cfg.PGO = "" // a path from the context, which flags of this machine do not have
	}
	d, err := compile.Decide(ctx, pkg, api.Platform{OS: "linux", Arch: "amd64"}, cfg, opt)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{
		Package: pkg.Rel, Name: pkg.Name(), Go: d.Go, CGO: d.CGO, StaticPIE: d.StaticPIE, Libc: libcOf(cfg.Base),
		Flags: d.Flags, Workspace: d.GoWork != "", Private: d.Private, Config: cfg,
	}
	if profile != cfg.PGO {
		if profile, err = within(root, filepath.Join(root, profile)); err != nil {
			return Plan{}, err
		}
		p.Flags = append(p.Flags, "-pgo="+profile)
	}
	if err := p.readModules(root, d); err != nil {
		return Plan{}, err
	}
	return p, p.findAssets(root, pkg)
}

// libcOf returns the C library of a base by its name: a base on Alpine has musl.
func libcOf(base string) string {
	if strings.Contains(base, "alpine") || strings.Contains(base, "musl") {
		return api.LibcMusl
	}
	return api.LibcGNU
}

// within returns name from root, slash-separated.
func within(root, name string) (string, error) {
	rel, err := filepath.Rel(root, name)
	if rel = filepath.ToSlash(rel); err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", &fault.Error{Code: fault.Usage, Op: "write Dockerfile with", Input: name,
			Err:  errors.New("it lies outside of the build context, which is the current directory"),
			Hint: "run the command in a directory that holds everything the program is built from"}
	}
	return rel, nil
}

// readModules finds what go mod download needs.
func (p *Plan) readModules(root string, d *compile.Decision) error {
	if p.Workspace {
		_, err := within(root, d.GoWork)
		return err
	}
	dir, err := within(root, filepath.Dir(d.GoMod))
	if err != nil {
		return err
	}
	if dir != "." {
		return &fault.Error{Code: fault.Usage, Op: "write Dockerfile for", Input: d.GoMod,
			Err: errors.New("the module does not begin in the current directory"), Hint: "run the command in the module's directory"}
	}
	data, err := os.ReadFile(d.GoMod)
	if err != nil {
		return &fault.Error{Op: "read", Input: d.GoMod, Err: err}
	}
	mod, err := modfile.Parse(d.GoMod, data, nil)
	if err != nil {
		return &fault.Error{Code: fault.Invalid, Op: "read", Input: d.GoMod, Err: err}
	}
	p.ModuleDirs = []string{"."}
	for _, r := range mod.Replace {
		if r.New.Version != "" || !modfile.IsDirectoryPath(r.New.Path) {
			continue
		}
		local, err := within(root, filepath.Join(root, filepath.FromSlash(r.New.Path)))
		if err != nil {
			return err
		}
		p.ModuleDirs = append(p.ModuleDirs, local)
	}
	info, err := os.Stat(filepath.Join(root, "vendor", "modules.txt"))
	p.Vendor = err == nil && info.Mode().IsRegular()
	return nil
}

// findAssets finds the directory that the image gets: the one that is asked for,
// or the package's own.
func (p *Plan) findAssets(root string, pkg compile.Package) error {
	dir := p.Config.Assets
	if dir == "" {
		own := filepath.Join(pkg.Dir, defaultAssets)
		if info, err := os.Stat(own); err != nil || !info.IsDir() {
			return nil
		}
		dir = path.Join(pkg.Rel, defaultAssets)
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(root, filepath.FromSlash(dir))
	}
	var err error
	p.Assets, err = within(root, dir)
	return err
}
