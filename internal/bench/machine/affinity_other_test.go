//go:build !linux

package machine

import (
	"errors"
	"testing"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// TestUnsupported asks for what only Linux has.
func TestUnsupported(t *testing.T) {
	if a, err := Pin("0"); a != nil || !errors.Is(err, errors.ErrUnsupported) || fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("Pin: %v, %v", a, err)
	}
	if c, err := OpenCounters(); c != nil || !errors.Is(err, errors.ErrUnsupported) || fault.CodeOf(err) != fault.Unsupported {
		t.Errorf("OpenCounters: %v, %v", c, err)
	}
}
