package machine

import (
	"os"
	"testing"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// TestExtrapolate reads counters that were there for a part of the time.
func TestExtrapolate(t *testing.T) {
	for _, test := range []struct {
		reading reading
		want    Counted
		ok      bool
	}{
		{reading{900, 10, 10}, Counted{900, 1}, true},
		{reading{900, 40, 10}, Counted{3600, 0.25}, true},
		{reading{0, 10, 10}, Counted{0, 1}, true},
		{reading{0, 10, 0}, Counted{}, false},
		{reading{0, 0, 0}, Counted{}, false},
		{reading{1 << 63, 10, 10}, Counted{1 << 63, 1}, true},
	} {
		if got, ok := test.reading.extrapolate(); got != test.want || ok != test.ok {
			t.Errorf("%+v: %+v, %v", test.reading, got, ok)
		}
	}
}

// TestReadNothing reads a count that is no event.
func TestReadNothing(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	count := &Count{f}
	if got, err := count.Read(); fault.CodeOf(err) == "" || got != (Counted{}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := count.Close(); err != nil {
		t.Error(err)
	}
}
