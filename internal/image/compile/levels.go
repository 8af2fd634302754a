package compile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// levelVariable is the environment variable of an architecture's instruction
// set level.
type levelVariable struct {
	name string
	// feature of the version matrix brought it; empty when every release has it.
	feature string
	// values are the levels, to which options may be added after a comma. The go
	// command takes any for some variables; those it checks have none here.
	values []string
}

var levelVariables = map[string]levelVariable{
	"386":      {name: "GO386", values: []string{"sse2", "softfloat"}},
	"amd64":    {name: "GOAMD64", feature: "goamd64", values: []string{"v1", "v2", "v3", "v4"}},
	"arm":      {name: "GOARM", values: []string{"5", "6", "7"}},
	"arm64":    {name: "GOARM64", feature: "goarm64"},
	"mips":     {name: "GOMIPS", values: []string{"hardfloat", "softfloat"}},
	"mipsle":   {name: "GOMIPS", values: []string{"hardfloat", "softfloat"}},
	"mips64":   {name: "GOMIPS64", values: []string{"hardfloat", "softfloat"}},
	"mips64le": {name: "GOMIPS64", values: []string{"hardfloat", "softfloat"}},
	"ppc64":    {name: "GOPPC64", values: []string{"power8", "power9", "power10"}},
	"ppc64le":  {name: "GOPPC64", values: []string{"power8", "power9", "power10"}},
	"riscv64":  {name: "GORISCV64", feature: "goriscv64", values: []string{"rva20u64", "rva22u64", "rva23u64"}},
}

// buildEnv returns the environment that platform and cfg ask for.
func buildEnv(platform api.Platform, cfg api.PackageConfig) ([]string, error) {
	var env []string
	for key, value := range cfg.Env {
		env = append(env, key+"="+value)
	}
	slices.Sort(env)
	env = append(env, "GOOS="+platform.OS, "GOARCH="+platform.Arch)
	if platform.Level == "" {
		return env, nil
	}
	variable, ok := levelVariables[platform.Arch]
	if !ok {
		return nil, &fault.Error{Code: fault.Usage, Op: "compile for", Input: platform.String(),
			Err: errors.New("Go knows no levels of " + platform.Arch), Hint: "say " + platform.OS + "/" + platform.Arch}
	}
	level, _, _ := strings.Cut(platform.Level, ",")
	if len(variable.values) > 0 && !slices.Contains(variable.values, level) {
		return nil, &fault.Error{Code: fault.Usage, Op: "compile for", Input: platform.String(),
			Err: fmt.Errorf("%s knows no %q", variable.name, platform.Level), Hint: "say one of " + strings.Join(variable.values, ", ")}
	}
	return append(env, variable.name+"="+platform.Level), nil
}
