package command

import "testing"

// Output beyond the limit is cut, not kept.
func TestBounded(t *testing.T) {
	full := 0
	b := &bounded{limit: 3, full: func() { full++ }}
	for _, s := range []string{"ab", "cd", "ef"} {
		if n, err := b.Write([]byte(s)); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if b.String() != "abc" || full != 2 {
		t.Errorf("%q, full %d times", b.String(), full)
	}
}
