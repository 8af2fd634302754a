package spelling

import "testing"

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"webhook", "webhook", 0}, {"webook", "webhook", 1},
		{"kitten", "sitting", 3}, {"ab", "ba", 2},
	} {
		for _, pair := range [][2]string{{tc.a, tc.b}, {tc.b, tc.a}} {
			if got := Distance(pair[0], pair[1]); got != tc.want {
				t.Errorf("%q: %d, want %d", pair, got, tc.want)
			}
		}
	}
}
