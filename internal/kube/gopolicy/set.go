package gopolicy

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
)

// Set holds the policies that are in force. The zero Set is empty and ready for
// use. It is safe for concurrent use, and readers never wait for a compilation.
type Set struct {
	mu      sync.Mutex // held while entries change, and compile
	entries map[key]*entry
	view    atomic.Pointer[view]
	ready   atomic.Bool
}

// view is what readers see: an immutable index of all policies in force, each
// list sorted by name.
type view struct {
	cluster   []*Policy
	namespace map[string][]*Policy
	// mutating is true when one of them wants something filled in.
	mutating bool
}

// entry is what is known of an object.
type entry struct {
	uid     types.UID
	outcome Outcome
	// restored is the generation of status.inForce that was tried last.
	restored int64
}

// Outcome is what has become of an object.
type Outcome struct {
	// Generation is that of the spec which was compiled.
	Generation int64
	// Problems say why it is not in force; there are none when it is.
	Problems []policy.Problem
	// InForce is what is in force: that generation, or an older one when it does
	// not compile. nil means that nothing is.
	InForce *Policy
}

// Apply compiles the object and puts it in force. When it does not compile, what
// was in force stays: the newer of what the set remembers and status.inForce.
// Applying a generation again costs nothing.
func (s *Set) Apply(o Object) Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := keyOf(o)
	e := s.entries[k]
	if e == nil || e.uid != o.GetUID() {
		e = &entry{uid: o.GetUID()}
	}
	before := e.outcome.InForce
	s.advance(k, e, o)
	if _, had := s.entries[k]; had && before == e.outcome.InForce && s.entries[k] == e {
		return e.outcome
	}
	if s.entries == nil {
		s.entries = map[key]*entry{}
	}
	s.entries[k] = e
	s.publish()
	return e.outcome
}

// advance brings an entry to the state of its object.
func (s *Set) advance(k key, e *entry, o Object) {
	generation := o.GetGeneration()
	if generation < e.outcome.Generation {
		return // older than what is known already
	}
	if generation == 0 || generation != e.outcome.Generation {
		p, problems := compile(k, o.PolicySpec(), s.compiled)
		e.outcome.Generation, e.outcome.Problems = generation, problems
		if p != nil {
			p.Generation = generation
			e.outcome.InForce = p
		}
	}
	if len(e.outcome.Problems) > 0 {
		s.restore(k, e, o.PolicyStatus().InForce)
	}
}

// restore puts in force what the status says was, if it is newer than what is.
func (s *Set) restore(k key, e *entry, kept *v1alpha1.InForce) {
	if kept == nil || kept.Generation <= e.restored || kept.Generation >= e.outcome.Generation {
		return
	}
	if p := e.outcome.InForce; p != nil && p.Generation >= kept.Generation {
		return
	}
	e.restored = kept.Generation
	if p, problems := compile(k, &kept.Spec, s.compiled); len(problems) == 0 {
		p.Generation = kept.Generation
		e.outcome.InForce = p
	}
}

// compiled finds rules that were compiled from the same text: the same policy in
// a thousand namespaces is kept once.
func (s *Set) compiled(sum [32]byte) *policy.Policy {
	for _, e := range s.entries {
		if p := e.outcome.InForce; p != nil && p.sum == sum {
			return p.Compiled
		}
	}
	return nil
}

// Remove takes the object out of force. An object of the same name that was made
// after it stays.
func (s *Set) Remove(o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := keyOf(o)
	if e := s.entries[k]; e == nil || e.uid != o.GetUID() {
		return
	}
	delete(s.entries, k)
	s.publish()
}

// publish makes what is in force visible to readers.
func (s *Set) publish() {
	v := &view{namespace: map[string][]*Policy{}}
	for _, e := range s.entries {
		p := e.outcome.InForce
		v.mutating = v.mutating || p != nil && p.Spec.Mutate != nil
		switch {
		case p == nil:
		case p.Namespace == "":
			v.cluster = append(v.cluster, p)
		default:
			v.namespace[p.Namespace] = append(v.namespace[p.Namespace], p)
		}
	}
	slices.SortFunc(v.cluster, byName)
	for _, list := range v.namespace {
		slices.SortFunc(list, byName)
	}
	s.view.Store(v)
}

func byName(a, b *Policy) int { return strings.Compare(a.Name, b.Name) }

// Outcome returns what has become of the object as it is; ok is false when the
// set has not seen this generation of it.
func (s *Set) Outcome(o Object) (outcome Outcome, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[keyOf(o)]
	if e == nil || e.uid != o.GetUID() || e.outcome.Generation != o.GetGeneration() {
		return Outcome{}, false
	}
	return e.outcome, true
}

// Match returns the policies that are about an object, sorted by name: the
// namespaced ones of its namespace and the cluster's. kind is that of the object,
// for example "Deployment".
func (s *Set) Match(namespace string, namespaceLabels, objectLabels map[string]string, kind string) []*Policy {
	v := s.view.Load()
	if v == nil {
		return nil
	}
	var out []*Policy
	for _, list := range [][]*Policy{v.cluster, v.namespace[namespace]} {
		for _, p := range list {
			if p.matches(namespaceLabels, objectLabels, kind) {
				out = append(out, p)
			}
		}
	}
	return out
}

func (p *Policy) matches(namespaceLabels, objectLabels map[string]string, kind string) bool {
	return (len(p.Spec.Match.Kinds) == 0 || slices.Contains(p.Spec.Match.Kinds, kind)) &&
		(p.namespaces == nil || p.namespaces.Matches(labels.Set(namespaceLabels))) &&
		(p.objects == nil || p.objects.Matches(labels.Set(objectLabels)))
}

// Mutating reports whether any policy in force wants something filled in, wherever
// it applies.
func (s *Set) Mutating() bool {
	v := s.view.Load()
	return v != nil && v.mutating
}

// All returns all policies in force, sorted by name.
func (s *Set) All() []*Policy {
	v := s.view.Load()
	if v == nil {
		return nil
	}
	all := slices.Concat(append([][]*Policy{v.cluster}, slices.Collect(maps.Values(v.namespace))...)...)
	slices.SortFunc(all, byName)
	return all
}

// Ready says whether all policies that there were at the start have been
// compiled: before that, Match knows only some.
func (s *Set) Ready() bool { return s.ready.Load() }

// SetReady says that they have been.
func (s *Set) SetReady() { s.ready.Store(true) }
