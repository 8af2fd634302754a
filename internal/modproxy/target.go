package modproxy

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/module"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// kind is what is asked for.
type kind uint8

const (
	kindOther kind = iota // what is nothing of the protocol
	kindList
	kindLatest
	kindInfo
	kindMod
	kindZip
	kindSumdb
	kinds // how many there are
)

var kindNames = [kinds]string{"other", "list", "latest", "info", "mod", "zip", "sumdb"}

func (k kind) String() string { return kindNames[k] }

// target is what the path of a URL names. Version is empty for kindList and
// kindLatest, and may be a query for kindInfo.
type target struct {
	kind kind
	module.Version
}

// maxPath is how long the path of a URL may be; module paths and versions that
// long exist nowhere.
const maxPath = 4 << 10

// parse reads the path of a URL of the GOPROXY protocol, without escapes of URLs
// but with those of the protocol.
func parse(path string) (target, error) {
	if len(path) > maxPath {
		return target{}, notHere("path", fmt.Errorf("it is longer than %d bytes", maxPath))
	}
	path = strings.TrimPrefix(path, "/")
	if name, ok := strings.CutSuffix(path, "/@latest"); ok {
		return parseModule(name, target{kind: kindLatest})
	}
	name, file, ok := strings.Cut(path, "/@v/")
	switch {
	case !ok:
		return target{}, notHere(path, errors.New("this is a Go module proxy, and that is nothing of its protocol"))
	case file == "list":
		return parseModule(name, target{kind: kindList})
	}
	t, err := parseModule(name, target{})
	if err != nil {
		return t, err
	}
	for _, k := range []kind{kindInfo, kindMod, kindZip} {
		if version, ok := strings.CutSuffix(file, "."+k.String()); ok {
			t.kind = k
			return parseVersion(version, t)
		}
	}
	return t, notHere(path, errors.New("versions have .info, .mod and .zip"))
}

func parseModule(escaped string, t target) (target, error) {
	path, err := module.UnescapePath(escaped)
	if err != nil {
		return t, notHere(escaped, err)
	}
	t.Path = path
	return t, nil
}

func parseVersion(escaped string, t target) (target, error) {
	version, err := module.UnescapeVersion(escaped)
	if err != nil {
		return t, notHere(escaped, err)
	}
	if t.kind != kindInfo && !mirror.Exact(t.Path, version) {
		return t, notHere(t.Path+"@"+version, errors.New("it is no canonical version of this module"))
	}
	t.Version.Version = version
	return t, nil
}

// notHere returns the error of what no module proxy has. It lets the go command
// ask the next one.
func notHere(input string, err error) error {
	return &fault.Error{Code: fault.NotFound, Op: "find", Input: fmt.Sprintf("%.200q", input), Err: err}
}
