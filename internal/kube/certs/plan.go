package certs

import (
	"crypto/x509"
	"slices"
	"time"
)

// profile is what is issued.
type profile struct {
	names        Names
	caLife, life time.Duration
	settled      func(*x509.Certificate) bool // callers have had the time to learn of the authority
	now          time.Time
}

// plan returns what the Secret should hold instead of m, and why; no reason means
// that m is as it should be.
func (p profile) plan(m material) (material, []string, error) {
	next := material{leaf: m.leaf, key: m.key}
	var why []string
	for _, a := range m.authorities {
		switch {
		case p.now.After(a.cert.NotAfter):
			why = append(why, "an authority has expired")
		case p.now.Before(a.cert.NotBefore):
			why = append(why, "an authority begins in the future")
		default:
			next.authorities = append(next.authorities, a)
		}
	}
	slices.SortStableFunc(next.authorities, func(a, b authority) int { return b.cert.NotBefore.Compare(a.cert.NotBefore) })
	if reason := p.renewAuthority(next); reason != "" {
		a, err := newAuthority(p.now, p.caLife)
		if err != nil {
			return m, nil, err
		}
		next.authorities = slices.Insert(next.authorities, 0, a)
		why = append(why, reason)
	}
	if len(next.authorities) > maxAuthorities {
		next.authorities = next.authorities[:maxAuthorities]
	}
	signer := p.signer(next.authorities)
	if p.retire(next.authorities, signer) {
		why = append(why, "an authority no longer signs")
	}
	names, reason := p.renewLeaf(next)
	if reason == "" {
		return next, why, nil
	}
	var err error
	next.leaf, next.key, err = newLeaf(p.now, p.life, names, next.authorities[signer])
	return next, append(why, reason), err
}

// renewAuthority says why there must be a new authority, "" for no reason.
func (p profile) renewAuthority(m material) string {
	switch {
	case len(m.authorities) == 0:
		return "there is no valid authority"
	case m.authorities[0].key == nil:
		return "the authority's key is missing"
	case !p.now.Before(renewal(m.authorities[0].cert)):
		return "the authority is to be renewed"
	}
	return ""
}

// signer returns which of the authorities signs: the newest that callers know, or
// else the oldest, which they are most likely to know.
func (p profile) signer(all []authority) int {
	oldest := 0
	for i, a := range all {
		if a.key == nil {
			continue
		}
		if p.settled != nil && p.settled(a.cert) {
			return i
		}
		oldest = i
	}
	return oldest
}

// retire takes the keys from the authorities that are older than the one that
// signs, and says whether there were any.
func (p profile) retire(all []authority, signer int) bool {
	any := false
	for i := signer + 1; i < len(all); i++ {
		any = any || all[i].key != nil
		all[i].key = nil
	}
	return any
}

// renewLeaf says why there must be a new serving certificate, and for which
// names; "" for no reason.
func (p profile) renewLeaf(m material) (Names, string) {
	switch {
	case m.leaf == nil:
		return p.names, "there is no serving certificate"
	case !m.serves(Names{}, p.now):
		return p.names, "the serving certificate is not valid"
	case !p.names.in(m.leaf):
		return p.names.with(m.leaf), "the serving certificate lacks a name"
	case !p.now.Before(renewal(m.leaf)):
		return p.names, "the serving certificate is to be renewed"
	}
	return Names{}, ""
}

// due returns when m is to be looked at again.
func due(m material) time.Time {
	at := renewal(m.leaf)
	for i, a := range m.authorities {
		if i == 0 {
			at = earlier(at, renewal(a.cert))
		}
		at = earlier(at, a.cert.NotAfter)
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
