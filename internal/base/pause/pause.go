// Package pause waits, for as long as somebody wants to know what comes after.
package pause

import (
	"context"
	"time"
)

// For waits for d, or returns why ctx ended before.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
