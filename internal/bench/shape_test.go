package bench

import (
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/bench/execute"
)

func TestShapeOf(t *testing.T) {
	const slice, ms = 30 * time.Millisecond, time.Millisecond
	for name, tc := range map[string]struct {
		sizing execute.Sizing
		n      int64
		count  int
	}{
		"usual":                      {execute.Sizing{N: 3000, NsPerOp: 1000, Startup: 5 * ms}, 3000, 10},
		"allocates a little":         {execute.Sizing{N: 3000, NsPerOp: 1000, BytesPerOp: 64, Startup: 5 * ms}, 3000, 10},
		"allocates":                  {execute.Sizing{N: 3000, NsPerOp: 1000, BytesPerOp: 1 << 10, Startup: 5 * ms}, 32 << 10, 1},
		"allocates, but takes long":  {execute.Sizing{N: 300, NsPerOp: 10_000, BytesPerOp: 1 << 10, Startup: 5 * ms}, 24_000, 1},
		"slow":                       {execute.Sizing{N: 1, NsPerOp: 2e9, Startup: 5 * ms}, 1, 1},
		"half a slice":               {execute.Sizing{N: 1, NsPerOp: 15e6, Startup: 5 * ms}, 1, 4},
		"prepares itself for a long": {execute.Sizing{N: 3000, NsPerOp: 1000, Startup: 115 * ms}, 3000, 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := shapeOf(tc.sizing, slice)
			if got.N != tc.n || got.Count != tc.count || got.Slice < tc.sizing.Startup {
				t.Errorf("%+v", got)
			}
		})
	}
}
