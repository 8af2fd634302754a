package compile

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// pureWithoutCgo are the packages of the standard library that have cgo code and
// do the same in Go when cgo is off. The others, such as plugin, need it.
var pureWithoutCgo = []string{"net", "os/user", "runtime/cgo"}

// The linker's flags that leave the linking to the C linker, and have that make
// a program which needs no interpreter.
const (
	externalFlag  = "-linkmode=external"
	staticPIEFlag = "-extldflags=-static-pie"
)

// pureTags make net and os/user pure Go while cgo is on.
var pureTags = []string{"netgo", "osusergo"}

// recipe is a call of go build, with what was decided about cgo.
type recipe struct {
	flags    flags
	env      []string
	decision api.CGODecision
}

// linkedPackage is what go list says of a package that is linked.
type linkedPackage struct {
	ImportPath string
	Dir        string
	Standard   bool
	CgoFiles   []string
	Module     *struct{ GoMod string }
}

// survey lists the packages that the program would link with cgo on. Packages
// that cannot be loaded are left for the compiler to complain about.
func (b *build) survey(ctx context.Context) (memory, error) {
	args := []string{"list", "-deps", "-e", "-json=ImportPath,Dir,Standard,CgoFiles,Module"}
	if tags := b.flags.tagsFlag(); tags != "" {
		args = append(args, tags)
	}
	start := time.Now()
	tool := b.tool
	tool.patient = true // it runs beside go build, which takes longer
	out, err := b.runCleanly(ctx, tool, []string{"CGO_ENABLED=1"}, append(args, "--", b.pkg.ImportPath)...)
	if err != nil {
		return memory{}, b.explain(ctx, err)
	}
	linked, err := decode[linkedPackage](out)
	if err != nil {
		return memory{}, err
	}
	return b.learn(linked, start), nil
}

// decode reads the sequence of JSON values that go list prints.
func decode[T any](data []byte) ([]T, error) {
	var all []T
	for dec := json.NewDecoder(bytes.NewReader(data)); ; {
		var value T
		err := dec.Decode(&value)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, &fault.Error{Code: fault.Internal, Op: "read", Input: "go list", Err: err}
		}
		all = append(all, value)
	}
}

// recipe decides about cgo, packages being those that have C code.
func (b *build) recipe(ctx context.Context, packages []string) (*recipe, error) {
	decision, err := b.decide(packages)
	if err != nil {
		return nil, err
	}
	r := &recipe{decision: decision}
	var tags, ldflags []string
	switch {
	case decision.Enabled:
		ldflags, err = b.withC(ctx, r)
	case b.wants(b.cfg.PIE) && b.platform.OS == "linux":
		tags, ldflags, err = b.staticPIE(ctx, packages, r)
	}
	if err != nil {
		return nil, err
	}
	if r.flags, err = b.flags.close(tags, ldflags); err != nil {
		return nil, err
	}
	if !r.decision.Enabled {
		r.env = append(r.env, "CGO_ENABLED=0")
		return r, nil
	}
	// The date is what __DATE__ and __TIME__ say in C.
	r.env = append(r.env, "CGO_ENABLED=1", "SOURCE_DATE_EPOCH="+cmp.Or(b.tool.variable("SOURCE_DATE_EPOCH"), "0"))
	return r, nil
}

// withC has the recipe of a program with C code use the platform's C compiler.
// Go's own linker would name the loader of the machine's C library, so that with
// another one the C linker has to do it.
func (b *build) withC(ctx context.Context, r *recipe) (ldflags []string, err error) {
	c, err := b.findCompiler(ctx)
	if err != nil {
		return nil, err
	}
	r.use(c)
	if strings.Contains(c.Command+" "+c.Target, "musl") && !names(b.cfg.Ldflags, "linkmode") {
		ldflags = []string{externalFlag}
	}
	return ldflags, nil
}

// use has the recipe compile C with c.
func (r *recipe) use(c *compiler) {
	r.decision.Compiler = &c.CCompiler
	r.env = append(r.env, c.env...)
}

// decide says whether cgo is on.
func (b *build) decide(packages []string) (api.CGODecision, error) {
	d := api.CGODecision{Asked: b.cfg.CGO}
	if d.Asked == "" {
		d.Asked = api.CGOAuto
	}
	race := b.wants(b.cfg.Race) && (b.platform.OS != "darwin" || !b.has("race-without-cgo"))
	switch {
	case d.Asked == api.CGOOff && race:
		return d, &fault.Error{Code: fault.Usage, Op: "compile for", Input: b.platform.String(),
			Err: errors.New("the race detector needs cgo, which is off"), Hint: "leave out --race or --cgo off"}
	case d.Asked == api.CGOOff:
		d.Reason = "cgo is off because that was asked for"
		return d, nil
	case d.Asked == api.CGOOn:
		d.Enabled, d.Reason = true, "cgo is on because that was asked for"
	case len(packages) > 0:
		d.Enabled, d.Reason = true, "cgo is on because of the C code of "+enumerate(packages)
	case race:
		d.Enabled, d.Reason = true, "cgo is on because the race detector needs it"
	default:
		d.Reason = "cgo is off because no package that is linked needs C code; net and os/user have pure Go forms"
	}
	d.Packages = packages
	return d, nil
}

// staticPIE has the recipe of a pure Go program link it so that it needs no
// interpreter although it is position-independent: only a C linker can do that.
// Without one, a base that was named may have the interpreter that Go's own
// linker writes into the program.
func (b *build) staticPIE(ctx context.Context, packages []string, r *recipe) (tags, ldflags []string, err error) {
	if len(packages) > 0 {
		return nil, nil, &fault.Error{Code: fault.Usage, Op: "compile for", Input: b.platform.String(),
			Err:  fmt.Errorf("a static position-independent executable is linked with cgo on, and cgo is to be off for %s", enumerate(packages)),
			Hint: "leave out --pie or --cgo off"}
	}
	c, err := b.findCompiler(ctx)
	if err == nil {
		err = b.checkStatic(ctx, c)
	}
	if err != nil {
		if b.cfg.Base != "" && b.cfg.Base != "static" && b.has("pie-internal") {
			return nil, nil, nil
		}
		hint := fault.HintOf(err)
		return nil, nil, &fault.Error{Code: fault.Unsupported, Op: "link a static position-independent executable for", Input: b.platform.String(),
			Err: err, Hint: "leave out --pie, name a base that has the dynamic loader (--base), or " + strings.TrimSuffix(hint, orCGOOff)}
	}
	r.use(c)
	r.decision.Enabled = true
	r.decision.Reason = "cgo is on because only the C linker makes a position-independent executable static; no package that is linked needs C code"
	tags, ldflags = b.staticPIEFlags()
	return tags, ldflags, nil
}

// staticPIEFlags are the tags and linker flags that make a static
// position-independent executable, apart from those that were asked for.
func (b *build) staticPIEFlags() (tags, ldflags []string) {
	if !names(b.cfg.Ldflags, "linkmode") {
		ldflags = append(ldflags, externalFlag)
	}
	if !names(b.cfg.Ldflags, "extldflags") {
		ldflags = append(ldflags, staticPIEFlag)
	}
	return pureTags, ldflags
}

// enumerate names things in a sentence.
func enumerate(all []string) string {
	if len(all) > maxNamed {
		return fmt.Sprintf("%s and %d more packages", strings.Join(all[:maxNamed], ", "), len(all)-maxNamed)
	}
	return strings.Join(all, ", ")
}
