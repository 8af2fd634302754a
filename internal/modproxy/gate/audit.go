package gate

import (
	"context"
	"sync"
	"time"
)

// The values of Event.Decision.
const (
	// DecisionRefused: the version may not be used.
	DecisionRefused = "refused"
	// DecisionWarned: the version may be used although it breaks a rule.
	DecisionWarned = "warned"
	// DecisionExempted: the version may be used because it is exempt from a rule
	// that it breaks.
	DecisionExempted = "exempted"
)

// Event is a decision that an audit wants to know of.
type Event struct {
	Time          time.Time
	Path, Version string
	// Rule is the id of the rule that the version breaks.
	Rule     string
	Decision string
	// Message says what is wrong, and Reason why the version is exempt.
	Message, Reason string
}

// What audit remembers, so that a version that is asked for all the time makes
// no more than a line an hour.
const (
	auditEvery = time.Hour
	auditSize  = 10_000
)

// audit passes events on, equal ones not more often than once an hour.
type audit struct {
	tellAll func(context.Context, Event)

	mu   sync.Mutex
	told map[auditKey]time.Time
}

// auditKey is what makes events equal. The message is none of it: it counts the
// hours.
type auditKey struct{ path, version, rule, decision, reason string }

func newAudit(f func(context.Context, Event)) *audit {
	return &audit{tellAll: f, told: map[auditKey]time.Time{}}
}

func (a *audit) tell(ctx context.Context, e Event) {
	if a.tellAll != nil && a.isNew(e) {
		a.tellAll(ctx, e)
	}
}

func (a *audit) isNew(e Event) bool {
	key := auditKey{e.Path, e.Version, e.Rule, e.Decision, e.Reason}
	a.mu.Lock()
	defer a.mu.Unlock()
	if last, ok := a.told[key]; ok && e.Time.Sub(last) < auditEvery {
		return false
	}
	if len(a.told) >= auditSize {
		clear(a.told)
	}
	a.told[key] = e.Time
	return true
}
