package image

import (
	"errors"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// otherPlatform is the error of an image that the platform filter leaves out.
type otherPlatform struct{ api.Platform }

func (o *otherPlatform) Error() string { return "it is for " + o.Platform.String() }

func configPlatform(c *v1.ConfigFile) api.Platform {
	return Platform(v1.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant})
}

// Platform puts an image's platform in Go's terms. Images write the variant of
// arm as v6 or v7 and that of arm64 as v8, Go as 6, 7 and v8.0.
func Platform(p v1.Platform) api.Platform {
	return api.Platform{OS: p.OS, Arch: p.Architecture, Level: level(p.Architecture, p.Variant)}
}

func level(arch, variant string) string {
	switch {
	case arch == "arm":
		return strings.TrimPrefix(variant, "v")
	case arch == "arm64" && variant == "v8":
		return "v8.0"
	}
	return variant
}

// OCIPlatform puts p in the terms of image configurations and indexes. The
// baseline level of a processor is not named there.
func OCIPlatform(p api.Platform) v1.Platform {
	out := v1.Platform{OS: p.OS, Architecture: p.Arch, Variant: p.Level}
	switch {
	case p.Arch == "arm" && p.Level != "":
		out.Variant = "v" + p.Level
	case p.Arch == "arm64" && p.Level == "v8.0":
		out.Variant = "v8"
	case p.Arch == "amd64" && p.Level == "v1":
		out.Variant = ""
	}
	return out
}

// baseline is the level that an image of arch has when it names none.
func baseline(arch string) string {
	switch arch {
	case "amd64":
		return "v1"
	case "arm":
		return "7"
	case "arm64":
		return "v8.0"
	}
	return ""
}

// wanted reports whether the options ask for images of platform p.
func (o Options) wanted(p api.Platform) bool {
	if len(o.Platforms) == 0 {
		return true
	}
	return slices.ContainsFunc(o.Platforms, func(want api.Platform) bool {
		return want.OS == p.OS && want.Arch == p.Arch &&
			(want.Level == "" || level(want.Arch, want.Level) == or(p.Level, baseline(p.Arch)))
	})
}

// noPlatform is the error of a platform filter that matched nothing.
func (o Options) noPlatform(have []api.Platform) error {
	var wanted, names []string
	for _, p := range o.Platforms {
		wanted = append(wanted, p.String())
	}
	for _, p := range have {
		names = append(names, p.String())
	}
	slices.Sort(names)
	if len(names) == 0 {
		return &fault.Error{Code: fault.NotFound, Err: errors.New("it holds no image")}
	}
	return &fault.Error{
		Code: fault.NotFound,
		Err:  errors.New("there is no image for " + strings.Join(wanted, ", ")),
		Hint: "it has " + strings.Join(slices.Compact(names), ", "),
	}
}
