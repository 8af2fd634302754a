package image

import (
	"maps"
	"reflect"

	"github.com/gopherwood-dev/gopherwood/api"
)

// overlay returns over with what it leaves open taken from under. Maps are
// merged key by key.
func overlay(under, over api.PackageConfig) api.PackageConfig {
	out := over
	merged, lower := reflect.ValueOf(&out).Elem(), reflect.ValueOf(under)
	for i := range merged.NumField() {
		if merged.Field(i).IsZero() {
			merged.Field(i).Set(lower.Field(i))
		}
	}
	out.Env = union(under.Env, over.Env)
	out.ImageEnv = union(under.ImageEnv, over.ImageEnv)
	return out
}

// union returns both maps in one; over wins.
func union(under, over map[string]string) map[string]string {
	if len(under) == 0 {
		return over
	}
	out := maps.Clone(under)
	maps.Copy(out, over)
	return out
}
