package mirror

import (
	"context"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/mirror/memory"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// aging keeps answers that change, such as lists of versions. While an answer is
// fresh nobody is asked; after that, until it is stale, it is still given at once,
// and asked for again meanwhile.
type aging struct {
	answers *memory.Cache[aged]
	flights *flights[aged]
	now     func() time.Time
	// fresh and stale are ages; negative is how long it is remembered that there is
	// no answer, or that the upstream did not give one.
	fresh, stale, negative time.Duration
	// failed hears that an answer could not be renewed.
	failed func(key string, err error)
}

// aged is an answer, or that there is none.
type aged struct {
	data []byte
	err  error
	// at is when it was asked for, and retry when it may be asked for again although
	// that failed lately.
	at, retry time.Time
}

// get returns the answer to key, and how long it is fresh. load is called once
// however many ask.
func (a *aging) get(ctx context.Context, key string, load func(context.Context) ([]byte, error)) (Document, error) {
	now := a.now()
	e, ok := a.answers.Get(key)
	if ok && now.Before(a.freshUntil(e)) {
		return a.document(e, Memory)
	}
	call := func(ctx context.Context) (aged, error) { return a.renew(ctx, key, load) }
	if ok && e.err == nil && now.Before(e.at.Add(a.stale)) {
		if !now.Before(e.retry) {
			a.flights.start(key, call)
		}
		return a.document(e, Stale)
	}
	e, err := a.flights.do(ctx, key, call)
	if err != nil {
		return Document{}, err
	}
	return a.document(e, Upstream)
}

// last returns the last answer to key that is not older than age.
func (a *aging) last(key string, age time.Duration) (Document, bool) {
	e, ok := a.answers.Get(key)
	if !ok || e.err != nil || !a.now().Before(e.at.Add(age)) {
		return Document{}, false
	}
	return Document{Data: e.data, From: Stale}, true
}

func (a *aging) freshUntil(e aged) time.Time {
	if e.err != nil {
		return e.at.Add(a.negative)
	}
	return e.at.Add(a.fresh)
}

func (a *aging) document(e aged, from Level) (Document, error) {
	if e.err != nil {
		return Document{}, e.err
	}
	d := Document{Data: e.data, From: from}
	if from != Stale {
		d.Until = a.freshUntil(e)
	}
	return d, nil
}

// renew asks for the answer to key, and remembers it.
func (a *aging) renew(ctx context.Context, key string, load func(context.Context) ([]byte, error)) (aged, error) {
	e := aged{at: a.now()}
	e.data, e.err = load(ctx)
	switch fault.CodeOf(e.err) {
	case "", fault.NotFound, fault.Denied:
		a.answers.Put(key, e, int64(len(e.data)))
		return e, nil
	}
	a.failed(key, e.err)
	if old, ok := a.answers.Get(key); ok && old.err == nil {
		old.retry = a.now().Add(a.negative)
		a.answers.Put(key, old, int64(len(old.data)))
	}
	return e, e.err
}
