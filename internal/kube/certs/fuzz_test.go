package certs

import (
	"testing"
	"time"
)

// Whatever the Secret holds, what comes of it can be served.
func FuzzDecode(f *testing.F) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	p := profile{names: Names{DNS: []string{"a"}}, caLife: DefaultCALife, life: DefaultLife, now: now}
	first, _, err := p.plan(material{})
	if err != nil {
		f.Fatal(err)
	}
	data, err := first.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data["tls.crt"], data["tls.key"], data["ca.crt"], data["ca.key"])
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n"), []byte{0}, []byte{}, []byte("x"))
	f.Fuzz(func(t *testing.T, crt, key, ca, caKey []byte) {
		m, _ := decode(map[string][]byte{"tls.crt": crt, "tls.key": key, "ca.crt": ca, "ca.key": caKey})
		next, why, err := p.plan(m)
		if err != nil {
			t.Fatal(err)
		}
		if !next.serves(p.names, now) {
			t.Fatalf("after %q nothing is served", why)
		}
		again, why, err := p.plan(next)
		if err != nil || len(why) > 0 {
			t.Fatalf("not done: %q %v %v", why, err, again.leaf == next.leaf)
		}
	})
}
