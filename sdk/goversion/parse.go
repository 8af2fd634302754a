// Package goversion tells a program which Go it was built with, and refuses to
// let it run when that Go is too old.
//
// It reads every form that runtime.Version has taken: releases (go1.21.3),
// candidates (go1.22rc1), development versions ("devel go1.27-0a1b2c3 Tue …" and
// go1.26-devel_0a1b2c3), vendors' builds (go1.22.5-acme.1) and experiments
// ("go1.19.10 X:boringcrypto"). It uses the standard library only and works with
// Go 1.21 and newer.
package goversion

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Stage is how finished a version is. Stages of one minor are in this order.
type Stage int

// The stages.
const (
	// Language is a minor without a release of it: "1.21" as a go line says it,
	// or a development version on the way to the minor.
	Language Stage = iota
	// Beta is a beta, for example go1.18beta2.
	Beta
	// Candidate is a release candidate, for example go1.22rc1.
	Candidate
	// Release is a release, for example go1.21.3.
	Release
)

// Version is a parsed Go version.
type Version struct {
	Major, Minor int
	Stage        Stage
	// Number is the patch of a release (3 of go1.21.3), or the number of a beta
	// or a candidate (1 of go1.22rc1).
	Number int
	// Devel is true for a build of the development tree.
	Devel bool
	// Suffix is what follows the version proper, with its separator: a vendor's
	// mark, experiments or a commit, for example "-acme.1" or " X:boringcrypto".
	Suffix string
}

// bareReleaseBefore is the first minor whose initial release is written with
// ".0": go1.20 is a release, go1.21 only names the language and go1.21.0 is the
// release (see https://go.dev/doc/toolchain#version).
const bareReleaseBefore = 21

// Parse reads a version with or without its "go" prefix. The error names s and
// says which forms are understood.
func Parse(s string) (Version, error) {
	text, devel := strings.CutPrefix(s, "devel ")
	p := parser{rest: strings.TrimPrefix(text, "go")}
	v := Version{Devel: devel}
	if !p.number(&v.Major) {
		return Version{}, parseError(s)
	}
	if p.literal(".") && !p.number(&v.Minor) {
		return Version{}, parseError(s)
	}
	if !p.stage(&v) || !p.suffix(&v) {
		return Version{}, parseError(s)
	}
	if v.Devel {
		v.Stage, v.Number = Language, 0
	}
	return v, nil
}

func parseError(s string) error {
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return fmt.Errorf("%q is no Go version: want a form such as go1.21.3, go1.22rc1 or 1.21", s)
}

// parser eats a version from its front.
type parser struct{ rest string }

func (p *parser) literal(s string) bool {
	rest, ok := strings.CutPrefix(p.rest, s)
	p.rest = rest
	return ok
}

// number reads a decimal number without leading zeros into n.
func (p *parser) number(n *int) bool {
	end := 0
	for end < len(p.rest) && '0' <= p.rest[end] && p.rest[end] <= '9' {
		end++
	}
	const maxDigits = 6
	if end == 0 || end > maxDigits || end > 1 && p.rest[0] == '0' {
		return false
	}
	*n, _ = strconv.Atoi(p.rest[:end])
	p.rest = p.rest[end:]
	return true
}

// stage reads what follows major.minor: a patch, a beta or a candidate.
func (p *parser) stage(v *Version) bool {
	switch {
	case p.literal("."):
		v.Stage = Release
	case p.literal("beta"):
		v.Stage = Beta
	case p.literal("rc"):
		v.Stage = Candidate
	default:
		if v.Major == 1 && v.Minor < bareReleaseBefore {
			v.Stage = Release
		}
		return true
	}
	return p.number(&v.Number)
}

// suffix takes the rest, which a separator sets off from the version proper.
func (p *parser) suffix(v *Version) bool {
	if p.rest == "" {
		return true
	}
	if !strings.Contains("-+_ ", p.rest[:1]) {
		return false
	}
	v.Suffix = p.rest
	v.Devel = v.Devel || strings.HasPrefix(p.rest, "-devel")
	return true
}

// MinorString returns the minor that the version belongs to, for example "1.21".
func (v Version) MinorString() string {
	return strconv.Itoa(v.Major) + "." + strconv.Itoa(v.Minor)
}

// String returns the version with its "go" prefix and without its suffix, for
// example "go1.22rc1".
func (v Version) String() string {
	s := "go" + v.MinorString()
	switch v.Stage {
	case Beta:
		s += "beta" + strconv.Itoa(v.Number)
	case Candidate:
		s += "rc" + strconv.Itoa(v.Number)
	case Release:
		if v.Number > 0 || v.Major > 1 || v.Minor >= bareReleaseBefore {
			s += "." + strconv.Itoa(v.Number)
		}
	}
	return s
}

// Prerelease reports whether v is a beta, a candidate or a development version.
func (v Version) Prerelease() bool {
	return v.Devel || v.Stage == Beta || v.Stage == Candidate
}

// Compare returns -1, 0 or +1 as v is older than, as old as or newer than w, in
// the order of the go command: 1.21 < 1.21rc1 < 1.21.0 < 1.21.1. Suffixes do not
// count. A development version is where its minor begins, so it is at least
// "1.27" and older than go1.27rc1.
func (v Version) Compare(w Version) int {
	for _, pair := range [...][2]int{
		{v.Major, w.Major},
		{v.Minor, w.Minor},
		{int(v.Stage), int(w.Stage)},
		{v.Number, w.Number},
	} {
		if c := cmp.Compare(pair[0], pair[1]); c != 0 {
			return c
		}
	}
	return 0
}

// Compare parses a and b and returns what [Version.Compare] does. The error is
// [Parse]'s.
func Compare(a, b string) (int, error) {
	va, err := Parse(a)
	if err != nil {
		return 0, err
	}
	vb, err := Parse(b)
	if err != nil {
		return 0, err
	}
	return va.Compare(vb), nil
}
