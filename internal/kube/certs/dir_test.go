package certs_test

import (
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/kube/certs"
)

func encodePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	var log strings.Builder
	d := certs.NewDir(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if d.Ready(time.Now()) == nil {
		t.Error("ready with an empty directory")
	}
	put := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, second := newWorld(t), newWorld(t)
	for _, w := range []*world{first, second} {
		w.now.Store(time.Now().UnixNano())
		w.sync(w.issuer())
	}
	put("tls.crt", first.secret().Data["tls.crt"])
	d.Load()
	if d.Ready(time.Now()) == nil {
		t.Error("ready without a key")
	}
	put("tls.key", first.secret().Data["tls.key"])
	d.Load()
	if err := d.Ready(time.Now()); err != nil {
		t.Fatal(err)
	}
	served, err := d.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	// In the middle of a change the pair does not fit: the old one is served.
	put("tls.crt", second.secret().Data["tls.crt"])
	logged := log.Len()
	d.Load()
	if now, err := d.GetCertificate(nil); err != nil || now != served {
		t.Errorf("serves %v, %v", now, err)
	}
	once := log.Len()
	d.Load()
	if once == logged || log.Len() != once {
		t.Error("a bad pair must be logged once")
	}
	put("tls.key", second.secret().Data["tls.key"])
	d.Load()
	if now, err := d.GetCertificate(nil); err != nil || now == served {
		t.Errorf("serves the old certificate: %v", err)
	}
}
