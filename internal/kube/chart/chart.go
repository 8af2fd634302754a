// Package chart renders Gopherwood's own Helm chart without Helm, applies what
// comes out to a cluster, and removes it again.
//
// Render gives the objects that `helm template` gives. It knows only the part of
// Helm's language that the chart uses, and Load refuses a chart that uses more.
package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The release and the namespace that are meant when no other is named.
const (
	DefaultRelease   = "gopherwood"
	DefaultNamespace = "gopherwood-system"
)

// manager is the value of app.kubernetes.io/managed-by, where Helm puts "Helm".
const manager = "gopherwood"

// Chart is a Helm chart that has been read. It is read-only, and safe for
// concurrent use.
type Chart struct {
	meta     metadata
	defaults []byte
	schema   *valueSchema
	// templates has the templates by path below the chart's directory.
	templates map[string]string
	files     files
}

// metadata is what Chart.yaml says that templates may ask for.
type metadata struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	AppVersion  string `json:"appVersion"`
	Description string `json:"description"`
	KubeVersion string `json:"kubeVersion"`
}

// Release is what the chart is rendered for.
type Release struct {
	// Name begins the names of all objects.
	Name string
	// Namespace is where those of them are that are in a namespace.
	Namespace string
	// Service is who manages the objects; "" is Gopherwood itself.
	Service string
}

// Load reads the chart in a directory. Errors have the code fault.Invalid.
func Load(dir fs.FS) (*Chart, error) {
	c := &Chart{templates: map[string]string{}, files: files{}}
	if err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(dir, name)
		if err != nil {
			return err
		}
		return c.add(name, data)
	}); err != nil {
		return nil, invalid("load chart", "", err)
	}
	if c.meta.Name == "" || c.schema == nil || c.defaults == nil {
		return nil, invalid("load chart", "", errors.New("needs Chart.yaml, values.yaml and values.schema.json"))
	}
	_, err := c.parse()
	return c, err
}

// add takes one file of the chart.
func (c *Chart) add(name string, data []byte) error {
	switch {
	case name == "Chart.yaml":
		return yaml.Unmarshal(data, &c.meta)
	case name == "values.yaml":
		c.defaults = data
	case name == "values.schema.json":
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&c.schema); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	case strings.HasPrefix(path.Base(name), "."):
		// .helmignore, and what it names.
	case strings.HasPrefix(name, "templates/"):
		c.templates[name] = string(data)
	default:
		c.files[name] = data
	}
	return nil
}

// Version returns the chart's version.
func (c *Chart) Version() string { return c.meta.Version }

// DefaultValues returns values.yaml, in which every value is explained.
func (c *Chart) DefaultValues() []byte { return slices.Clone(c.defaults) }

// files are the chart's files besides templates, as templates see them.
type files map[string][]byte

// Get returns the file name, "" when there is none.
func (f files) Get(name string) string { return string(f[name]) }

// Glob returns the files whose name matches pattern. A star matches no slash.
func (f files) Glob(pattern string) (files, error) {
	found := files{}
	for name, data := range f {
		switch ok, err := path.Match(pattern, name); {
		case err != nil:
			return nil, fmt.Errorf("%q: %w", pattern, err)
		case ok:
			found[name] = data
		}
	}
	return found, nil
}

func invalid(op, input string, err error) *fault.Error {
	return &fault.Error{Code: fault.Invalid, Op: op, Input: input, Err: err}
}
