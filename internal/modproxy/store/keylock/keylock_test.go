package keylock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/store/keylock"
)

func TestLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var locks keylock.Locks
		lock := func(ctx context.Context, key string) func() {
			t.Helper()
			unlock, err := locks.Lock(ctx, key)
			if err != nil {
				t.Fatal(err)
			}
			return unlock
		}
		first := lock(t.Context(), "a")
		lock(t.Context(), "b")() // is another's

		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		gaveUp, entered := make(chan error, 1), make(chan struct{})
		go func() {
			_, err := locks.Lock(ctx, "a")
			gaveUp <- err
		}()
		go func() {
			lock(t.Context(), "a")()
			close(entered)
		}()
		synctest.Wait()
		select {
		case <-entered:
			t.Error("two have the lock")
		case err := <-gaveUp:
			t.Errorf("it did not wait: %v", err)
		default:
		}
		cancel(why)
		if err := <-gaveUp; !errors.Is(err, why) {
			t.Errorf("got %v, want %v", err, why)
		}
		first()
		<-entered
		lock(t.Context(), "a")()
	})
}
