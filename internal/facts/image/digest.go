package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func newSHA256() hash.Hash { return sha256.New() }

// sumOf returns the digest that a SHA-256 has reached.
func sumOf(h hash.Hash) v1.Hash { return hashOf("sha256", h) }

func hashOf(algorithm string, h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: algorithm, Hex: hex.EncodeToString(h.Sum(nil))}
}

// digestOf returns the digest of data.
func digestOf(algorithm string, data []byte) (v1.Hash, error) {
	h, err := v1.Hasher(algorithm)
	if err != nil {
		return v1.Hash{}, &fault.Error{Code: fault.Unsupported, Err: err}
	}
	h.Write(data) // hash.Hash never fails
	return hashOf(algorithm, h), nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// buildVersion tells builds of this program apart: its version, and for builds
// from a work tree, which all have the same, also the file's time and size.
func buildVersion() string {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	if strings.HasPrefix(version, "v") && !strings.Contains(version, "+dirty") {
		return version
	}
	file, err := os.Executable()
	if err != nil {
		return version
	}
	info, err := os.Stat(file)
	if err != nil {
		return version
	}
	return fmt.Sprintf("%s %d %d", version, info.ModTime().UnixNano(), info.Size())
}
