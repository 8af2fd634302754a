package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image"
	"github.com/gopherwood-dev/gopherwood/internal/image/compile"
	"github.com/gopherwood-dev/gopherwood/internal/image/resolve"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func newResolve(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resolve -f FILE...",
		Short: "Build the packages that manifests name and put the images' digests in their place",
		Long: `Resolve reads Kubernetes manifests, or any other YAML or JSON, in which a value
gopherwood://./cmd/app (a directory, from that of .gopherwood.yaml or else the
working directory) or gopherwood://example.org/mod/cmd/app (an import path) stands
for the image of a Go package. It builds and pushes each of these packages once, as
'gopherwood build --push' does, and prints the manifests with the images' references
by digest instead; every other byte stays as it is. ko:// means the same.

Nothing is printed unless every package became an image.`,
		Example: `  gopherwood resolve -f deploy.yaml --push registry.example.org/team/{name}
  gopherwood resolve -f config/ | kubectl apply -f -`,
		Args: maxArgs(0),
	}
	m := addMaker(cmd)
	var files []string
	cmd.Flags().StringArrayVarP(&files, "filename", "f", nil, "manifest, directory of manifests (*.yaml, *.yml, *.json), or - for standard input; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(files) == 0 {
			return usage(cmd, "needs -f FILE")
		}
		p, err := m.project(cmd, a.getenv)
		if err != nil {
			return err
		}
		opt, err := m.options(cmd, a, p)
		if err != nil {
			return err
		}
		manifests, err := a.manifests(files)
		if err != nil {
			return err
		}
		targets, err := m.targets(cmd, p, nil, "--push REGISTRY/{name}")
		if err != nil {
			return err
		}
		r := resolver{manifests: manifests, request: image.Request{Dir: p.dir, Config: p.Build, Targets: targets}, options: opt}
		return r.run(a, cmd, m)
	}
	return cmd
}

// manifests reads the files and directories of -f.
func (a *app) manifests(names []string) ([]*resolve.Manifest, error) {
	var manifests []*resolve.Manifest
	for _, name := range names {
		files, err := manifestFiles(name)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := a.readManifest(file)
			if err != nil {
				return nil, err
			}
			m, err := resolve.Parse(file, data)
			if err != nil {
				return nil, err
			}
			manifests = append(manifests, m)
		}
	}
	return manifests, nil
}

// manifestFiles returns the manifests in the directory name, or name itself.
func manifestFiles(name string) ([]string, error) {
	info, err := os.Stat(name)
	if name == "-" || err == nil && !info.IsDir() {
		return []string{name}, nil
	}
	if err != nil {
		return nil, manifestError(name, err)
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, manifestError(name, err)
	}
	var files []string
	for _, e := range entries {
		if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) && !e.IsDir() {
			files = append(files, filepath.Join(name, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, manifestError(name, errors.New("there is no *.yaml, *.yml or *.json in it"))
	}
	return files, nil
}

// readManifest reads one file, or standard input, and little more than what
// resolve takes.
func (a *app) readManifest(name string) ([]byte, error) {
	in := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, manifestError(name, err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, resolve.MaxSize+1))
	if err != nil {
		return nil, manifestError(name, err)
	}
	return data, nil
}

func manifestError(name string, err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &fault.Error{Code: fault.CodeOf(err), Op: "read manifest", Input: name, Err: err}
}

// resolver builds what manifests refer to.
type resolver struct {
	manifests []*resolve.Manifest
	request   image.Request
	options   image.Options
}

func (r *resolver) run(a *app, cmd *cobra.Command, m *maker) error {
	paths, err := r.importPaths(cmd.Context())
	if err != nil {
		return err
	}
	images := map[string]string{}
	if len(paths) > 0 {
		for _, path := range paths {
			if !slices.Contains(r.request.Packages, path) {
				r.request.Packages = append(r.request.Packages, path)
			}
		}
		slices.Sort(r.request.Packages)
		made, err := m.make(a, cmd, r.request, r.options)
		if err != nil {
			return err
		}
		if made.err != nil {
			return made.incomplete()
		}
		for name, path := range paths {
			images[name] = made.ref(path)
		}
	}
	return r.print(a.stdout, images)
}

// importPaths finds the packages that the manifests name, and returns their
// import paths by these names.
func (r *resolver) importPaths(ctx context.Context) (map[string]string, error) {
	paths := map[string]string{}
	opt := compile.Options{Dir: r.request.Dir, Env: r.options.Env, Matrix: r.options.Matrix}
	var problems []error
	for _, m := range r.manifests {
		for _, name := range m.Packages() {
			if _, known := paths[name]; known {
				continue
			}
			found, err := compile.Load(ctx, []string{name}, opt)
			if err != nil {
				problems = append(problems, m.Blame(name, err))
				continue
			}
			paths[name] = found[0].ImportPath
		}
	}
	return paths, errors.Join(problems...)
}

// print writes the manifests with images in the place of packages.
func (r *resolver) print(w io.Writer, images map[string]string) error {
	var texts [][]byte
	for _, m := range r.manifests {
		text, err := m.Replace(images)
		if err != nil {
			return err
		}
		texts = append(texts, text)
	}
	_, err := w.Write(resolve.Join(texts))
	return err
}

// ref returns the first reference of the image of the package.
func (m made) ref(importPath string) string {
	i := slices.IndexFunc(m.list.Items, func(b api.Build) bool { return b.Package == importPath })
	if i < 0 || len(m.list.Items[i].Refs) == 0 {
		return ""
	}
	return m.list.Items[i].Refs[0]
}

// incomplete is the outcome of a command that needs every package: what is
// partly done is failed.
func (m made) incomplete() error {
	if errors.Is(m.err, outcome(exitPartial)) {
		return outcome(exitFailed)
	}
	return m.err
}
