//go:build go1.22

package goversion

import (
	"go/version"
	"testing"
)

// The order is the go command's, which package go/version implements.
func TestCompareAgreesWithGoVersion(t *testing.T) {
	names := []string{
		"go1.4", "go1.18beta1", "go1.18beta2", "go1.18rc1", "go1.18", "go1.18.1", "go1.19.10", "go1.20", "go1.20.14",
		"go1.21", "go1.21rc2", "go1.21.0", "go1.21.1", "go1.22rc1", "go1.22.0", "go1.22.5-acme.1", "go1.26.8", "go1.27rc1", "go1.100.2",
	}
	for _, a := range names {
		for _, b := range names {
			got, err := Compare(a, b)
			if err != nil {
				t.Fatal(err)
			}
			if want := version.Compare(a, b); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
}
