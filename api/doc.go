// Package api holds the documents that Gopherwood's users read and write: what
// `-o json` prints and what a policy file may say.
//
// Every document is an envelope that carries schemaVersion and kind. Fields are
// only ever added within one schemaVersion; a field that changes its meaning
// needs a new one. The formats are described under docs/formats, and their JSON
// Schemas are generated from the types here.
package api

import (
	"fmt"
	"slices"
	"strings"
)

// SchemaVersion is the version of every document of this package.
const SchemaVersion = "gopherwood/v1"

// The kinds of documents.
const (
	KindFactsList     = "FactsList"
	KindVerdictList   = "VerdictList"
	KindPolicy        = "Policy"
	KindVersionMatrix = "VersionMatrix"
	KindError         = "Error"
)

// Error is how a failure looks in JSON: on standard error when a command fails,
// and in the errors of a list when some of its items could not be read.
type Error struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	// Code is the stable name of what went wrong, for example "not-found".
	Code string `json:"code"`
	// Input names what could not be handled: a file, a reference, a flag.
	Input string `json:"input,omitempty"`
	// Message is the whole error in one sentence.
	Message string `json:"message"`
	// Hint says what to do about it.
	Hint string `json:"hint,omitempty"`
}

// Platform says what a program was built for, in Go's own terms.
type Platform struct {
	// OS is a GOOS, for example "linux".
	OS string `json:"os"`
	// Arch is a GOARCH, for example "amd64".
	Arch string `json:"arch"`
	// Level is the instruction set level within the architecture, for example
	// "v3" of GOAMD64=v3 or "7" of GOARM=7; empty when nothing records it.
	Level string `json:"level,omitempty"`
}

// String returns os/arch or os/arch/level, the form that --platform takes.
func (p Platform) String() string {
	s := p.OS + "/" + p.Arch
	if p.Level != "" {
		s += "/" + p.Level
	}
	return s
}

// ParsePlatform reads os/arch[/level], the form of String.
func ParsePlatform(s string) (Platform, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return Platform{}, fmt.Errorf("%q is no platform: write os/arch, for example linux/arm64", s)
	}
	p := Platform{OS: parts[0], Arch: parts[1]}
	if len(parts) == 3 {
		p.Level = parts[2]
	}
	return p, nil
}
