//go:build e2e && linux

package cluster_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

// serveImage serves the docker archive file as the image app:1 of a registry on
// address.
func serveImage(t *testing.T, file, address string) string {
	t.Helper()
	content := map[string][]byte{}
	put := func(data []byte) map[string]any {
		sum := sha256.Sum256(data)
		digest := "sha256:" + hex.EncodeToString(sum[:])
		content["/v2/app/blobs/"+digest] = data
		return map[string]any{"digest": digest, "size": len(data)}
	}
	entry := func(kind string, data []byte) map[string]any {
		d := put(data)
		d["mediaType"] = "application/vnd.oci.image." + kind
		return d
	}
	files := untar(t, file)
	var config, layer []byte
	for name, data := range files {
		switch {
		case name == "layer.tar":
			layer = data
		case name != "manifest.json":
			config = data
		}
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(layer); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": entry("config.v1+json", config),
		"layers": []any{entry("layer.v1.tar+gzip", zipped.Bytes())},
	})
	if err != nil {
		t.Fatal(err)
	}
	digest := put(manifest)["digest"].(string)
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data := content[r.URL.Path]
		if strings.HasPrefix(r.URL.Path, "/v2/app/manifests/") {
			w.Header().Set("Content-Type", manifestType)
			w.Header().Set("Docker-Content-Digest", digest)
			data = manifest
		}
		if data == nil && r.URL.Path != "/v2/" {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})}}
	server.Start()
	t.Cleanup(server.Close)
	return l.Addr().String()
}

func untar(t *testing.T, file string) map[string][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	files := map[string][]byte{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// Nodes pull from registries on this machine: on the bridge, and on a loopback
// address.
func TestRegistries(t *testing.T) {
	c := start(t, cluster.Config{Nodes: 1, Kubectl: true})
	image := appImage(t)
	for _, address := range []string{c.HostAddress(), "127.0.0.1"} {
		host := serveImage(t, image, address)
		if err := c.AddRegistry(cluster.Registry{Host: host, URL: "http://" + host}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		kubectlWith(t, c, fmt.Sprintf(helloPod, host+"/app:1", "Always"), "apply", "-f", "-")
		kubectl(t, c, "wait", "--for=condition=Ready", "pod/hello", "--timeout=30s")
		took(t, began, "pulled from "+address+", pod Ready")
		kubectl(t, c, "delete", "pod", "hello")
	}
}
