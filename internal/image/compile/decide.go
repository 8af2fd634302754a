package compile

import (
	"context"
	"encoding/json"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Decision is how a package would be compiled.
type Decision struct {
	CGO api.CGODecision
	// Go is the toolchain's release, for example "go1.26.8".
	Go string
	// Flags are the arguments of go build in their order. A static
	// position-independent executable has those of the C linker.
	Flags []string
	// StaticPIE says that the C linker has to make such an executable, with cgo on.
	StaticPIE bool
	// GoMod and GoWork are the files that the go command takes modules from, by
	// their paths on this machine; GoWork is empty without a workspace.
	GoMod, GoWork string
	// Private are patterns of modules that are not public (GOPRIVATE).
	Private string
}

// Decide decides about cgo as Compile does, without compiling and without
// looking for a C compiler.
func Decide(ctx context.Context, p Package, platform api.Platform, cfg api.PackageConfig, opt Options) (*Decision, error) {
	b, err := newBuild(ctx, p, platform, cfg, opt)
	if err != nil {
		return nil, err
	}
	found, err := b.survey(ctx)
	if err != nil {
		return nil, err
	}
	d := &Decision{Go: releaseOf(b.tool.settings["GOVERSION"])}
	if d.CGO, err = b.decide(found.Packages); err != nil {
		return nil, err
	}
	var tags, ldflags []string
	if d.StaticPIE = b.wants(cfg.PIE) && !d.CGO.Enabled; d.StaticPIE {
		tags, ldflags = b.staticPIEFlags()
	}
	flags, err := b.flags.close(tags, ldflags)
	if err != nil {
		return nil, err
	}
	d.Flags = flags.recorded
	out, err := b.tool.run(ctx, nil, "env", "-json", "GOMOD", "GOWORK", "GOPRIVATE")
	if err != nil {
		return nil, b.explain(ctx, err)
	}
	var env struct{ GOMOD, GOWORK, GOPRIVATE string }
	if err := json.Unmarshal(out, &env); err != nil {
		return nil, &fault.Error{Code: fault.Internal, Op: "read", Input: "go env", Err: err}
	}
	d.GoMod, d.Private = env.GOMOD, env.GOPRIVATE
	if env.GOWORK != "off" {
		d.GoWork = env.GOWORK
	}
	return d, nil
}
