package rebuild

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
)

// The values of api.Difference.Kind.
const (
	kindSetting   = "setting"
	kindConfig    = "config"
	kindLayer     = "layer"
	kindFile      = "file"
	kindSection   = "section"
	kindBuildInfo = "buildinfo"
)

// settings compares what two builds were made with.
func settings(was, is api.BuildFacts) []api.Difference {
	return differences(kindSetting, settingsOf(was), settingsOf(is))
}

func settingsOf(f api.BuildFacts) map[string]string {
	s := map[string]string{
		"go version":         f.Go,
		"cgo":                strconv.FormatBool(f.CGO.Enabled),
		"go build flags":     strings.Join(f.Flags, " "),
		"module graph":       f.ModuleGraph,
		"profile":            f.Profile,
		"base digest":        f.Base.Digest,
		"compression":        f.Compression,
		"program in image":   f.Program,
		"directory":          f.Dir,
		"module":             f.Module.Path,
		"module version":     f.Module.Version,
		"SOURCE_DATE_EPOCH":  f.Created,
		"C compiler":         "",
		"source revision":    "",
		"uncommitted change": "",
	}
	if c := f.CGO.Compiler; c != nil {
		s["C compiler"] = c.Version + " for " + c.Target
	}
	if v := f.Source; v != nil {
		s["source revision"] = v.Revision
		s["uncommitted change"] = strconv.FormatBool(v.Modified)
	}
	for key, value := range f.Env {
		s["environment "+key] = value
	}
	return s
}

// differences lists the keys whose values differ, sorted.
func differences(kind string, was, is map[string]string) []api.Difference {
	keys := map[string]bool{}
	for key := range was {
		keys[key] = true
	}
	for key := range is {
		keys[key] = true
	}
	var out []api.Difference
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if was[key] != is[key] {
			out = append(out, api.Difference{Kind: kind, Name: key, Recorded: was[key], Rebuilt: is[key]})
		}
	}
	return out
}

// configOf is an image's configuration and its annotations, value by value.
func configOf(img v1.Image) (map[string]string, error) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	out := map[string]string{
		"platform": cfg.OS + "/" + cfg.Architecture + "/" + cfg.Variant,
		"created":  cfg.Created.UTC().String(),
	}
	// A struct of plain values always has a JSON form, and that form is an object.
	data, _ := json.Marshal(cfg.Config)
	var values map[string]json.RawMessage
	_ = json.Unmarshal(data, &values)
	for key, value := range values {
		out[key] = string(value)
	}
	for key, value := range m.Annotations {
		out["annotation "+key] = value
	}
	return out, nil
}
