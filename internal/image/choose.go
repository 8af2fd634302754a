package image

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/image/base"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
)

// chooseBase chooses by the program's facts what it is put on, and opens that.
// Whether it then starts there is not asked here: the finished image is checked.
func (b *builder) chooseBase(ctx context.Context, c *composition, program *api.Facts, goroot string) (api.BaseChoice, error) {
	choice := choose(b.config.Bases, c.config.Base, program)
	opened, err := b.bases.get(ctx, choice.Ref, goroot, c.platform)
	if err != nil {
		return choice, err
	}
	c.base = opened
	choice.Digest = opened.Digest.String()
	return choice, nil
}

// choose returns the reference of the base, and why it is that one.
func choose(bases api.Bases, asked string, program *api.Facts) api.BaseChoice {
	linkage, key, configured := "the program is static", "", cmp.Or(bases.Static, base.StaticRef)
	if l := program.Link; l.Mode == api.LinkDynamic {
		linkage = "the program needs " + needs(l)
		key, configured = "glibc", bases.Glibc
		if l.Libc == api.LibcMusl {
			key, configured = "musl", bases.Musl
		}
	}
	switch {
	case asked != "":
		return api.BaseChoice{Ref: asked, Reason: "it was asked for; " + linkage}
	case configured == "":
		return api.BaseChoice{Ref: base.StaticRef, Reason: fmt.Sprintf("%s, and no base for that is configured (build.bases.%s)", linkage, key)}
	}
	return api.BaseChoice{Ref: configured, Reason: linkage}
}

// needs names what a dynamic program asks of its base.
func needs(l api.Link) string {
	parts := []string{cmp.Or(l.Libc, "a C library")}
	if l.Floor != "" {
		parts = append(parts, "at least "+l.Floor)
	}
	s := strings.Join(parts, ", ")
	if len(l.Needed) > 0 {
		s += " (" + strings.Join(l.Needed, ", ") + ")"
	}
	return s
}

// misfits are the findings that say that program and base do not fit.
var misfits = []string{
	start.InterpreterMissing, start.InterpreterInvalid, start.LibraryMissing, start.LibraryInvalid,
	start.SymbolVersion, start.SymbolMissing,
}

// waysOut gives the findings about a misfit the ways out that a build has.
func waysOut(img *api.BuiltImage) {
	for i, f := range img.Verdict.Findings {
		if slices.Contains(misfits, f.Rule) {
			img.Verdict.Findings[i].Hint = misfitHint(img)
		}
	}
}

func misfitHint(img *api.BuiltImage) string {
	static := "1. link it statically: --tags netgo,osusergo --ldflags '-linkmode=external -extldflags=-static'"
	switch cgo := img.Build.CGO; {
	case !cgo.Enabled && img.Facts.Hardening.PIE:
		static = "1. leave out --pie, which made it ask for a loader"
	case cgo.Enabled && len(cgo.Packages) == 0:
		static = "1. build without cgo, which nothing in it needs: --cgo off"
	}
	family, option := "glibc", "build.bases.glibc"
	if img.Facts.Link.Libc == api.LibcMusl {
		family, option = "musl", "build.bases.musl"
	}
	atLeast := ""
	if floor := img.Facts.Link.Floor; floor != "" {
		atLeast = " of at least " + floor
	}
	return fmt.Sprintf("%s; 2. choose a base with %s%s and the libraries: --base REF, or %s in .gopherwood.yaml; "+
		"3. compile where the C library is as old as the base's", static, family, atLeast, option)
}
