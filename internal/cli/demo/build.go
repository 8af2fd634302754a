package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// web is a server that answers at the address that it is told.
const web = `package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
	fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[1], nil))
	os.Exit(1)
}
`

// misfit is a Dockerfile whose program cannot start where it is put.
const misfit = `FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=1 go build -trimpath -o /web .

FROM alpine:3.22
COPY --from=build /web /web
USER 65532:65532
ENTRYPOINT ["/web"]
`

// builds makes images of a web server.
func (d *demo) builds() {
	dir := filepath.Join(d.dir, "web")
	d.module(dir, "example.org/web", "", web)
	d.chapter("a web server becomes an image: what was decided, and why; no container runtime, no root")
	d.runIn(dir, nil, 0, "build", "-v", "-o", "oci:../web-image:v1", ".")
	d.runIn(dir, nil, 0, "check", "oci:../web-image:v1")
	d.runIn(dir, nil, 0, "attestations", "oci:../web-image:v1")
	d.coldStart(filepath.Join(d.dir, "web-image"))
	d.chapter("the same sources are the same image, to the last byte, also without any cache")
	d.runIn(dir, nil, 0, "build", "--no-cache", "-o", "oci:../again-image:v1", ".")
	d.runIn(dir, nil, 0, "build", "--verify", "oci:../web-image:v1")
	d.chapter("a program that its base cannot start is put nowhere")
	goBin := filepath.Join(strings.TrimSpace(d.output("go", "env", "GOROOT")), "bin")
	d.runIn(dir, []string{"PATH=" + goBin}, 3, "build", "--pie", "--base", "oci:../static-image:v1", "-o", "oci:../refused-image:v1", ".")
	d.chapter("a Dockerfile with the same fault, and one without")
	d.do(func() error { return os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(misfit), 0o644) })
	d.runIn(dir, nil, 3, "check", "Dockerfile")
	d.runIn(dir, nil, 0, "dockerfile", "-o", "Dockerfile", ".")
	d.runIn(dir, nil, 0, "check", "Dockerfile")
}

// starts is how often the server is started.
const starts = 9

// coldStart starts the program of the image in layout and prints how long it
// takes from the start of the process to the first answer.
func (d *demo) coldStart(layout string) {
	d.chapter("the image's own files, started: from the start of the process to the first HTTP answer")
	d.do(func() error {
		if runtime.GOOS != "linux" {
			fmt.Println("an image for Linux starts on Linux only: not measured here")
			return nil
		}
		root := filepath.Join(d.dir, "root")
		if err := unpack(layout, root); err != nil {
			return err
		}
		var took []time.Duration
		for range starts {
			one, err := start(root, "/usr/local/bin/web")
			if err != nil {
				return err
			}
			took = append(took, one)
		}
		slices.Sort(took)
		fmt.Printf("\ncold start %s: median %.1f ms of %d starts (%.1f to %.1f ms)\n", asWhom(),
			milliseconds(took[starts/2]), starts, milliseconds(took[0]), milliseconds(took[starts-1]))
		return nil
	})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// start starts program, a path within root, and returns how long it took to
// answer.
func start(root, program string) (time.Duration, error) {
	addr, err := freeAddress()
	if err != nil {
		return 0, err
	}
	cmd := command(root, program, addr)
	cmd.Stderr = os.Stderr
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	took, err := untilAnswer("http://"+addr, begin)
	return took, errors.Join(err, stop(cmd))
}

func stop(cmd *exec.Cmd) error {
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// freeAddress returns an address of this machine that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// untilAnswer asks url until it answers, for at most 10 s.
func untilAnswer(url string, begin time.Time) (time.Duration, error) {
	for time.Since(begin) < 10*time.Second {
		resp, err := http.Get(url)
		if err == nil {
			took := time.Since(begin)
			_, err = io.Copy(io.Discard, resp.Body)
			return took, errors.Join(err, resp.Body.Close())
		}
		time.Sleep(200 * time.Microsecond)
	}
	return 0, errors.New("no answer within 10 s")
}

// descriptor is how an OCI layout names what it holds.
type descriptor struct {
	Digest      string
	Annotations map[string]string
}

// tagged reports whether d is what the tag names: what is attached has none.
func (d descriptor) tagged(tag string) bool {
	return d.Annotations["org.opencontainers.image.ref.name"] == tag
}

// unpack writes the layers of the image v1 of an OCI layout below root.
func unpack(layout, root string) error {
	var index struct{ Manifests []descriptor }
	if err := readJSON(filepath.Join(layout, "index.json"), &index); err != nil {
		return err
	}
	i := slices.IndexFunc(index.Manifests, func(d descriptor) bool { return d.tagged("v1") })
	if i < 0 {
		return fmt.Errorf("%s: no image v1", layout)
	}
	var manifest struct{ Layers []descriptor }
	if err := readJSON(blob(layout, index.Manifests[i].Digest), &manifest); err != nil {
		return err
	}
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, l := range manifest.Layers {
		if err := unpackLayer(dir, blob(layout, l.Digest)); err != nil {
			return err
		}
	}
	return nil
}

func blob(layout, digest string) string {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return filepath.Join(layout, "blobs", algorithm, hex)
}

func readJSON(file string, v any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

func unpackLayer(dir *os.Root, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unpackEntry(dir, h, tr); err != nil {
			return err
		}
	}
}

func unpackEntry(dir *os.Root, h *tar.Header, content io.Reader) error {
	name := filepath.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		if err := dir.MkdirAll(name, 0o755); err != nil {
			return err
		}
		return dir.Chmod(name, h.FileInfo().Mode().Perm())
	case tar.TypeReg:
		out, err := dir.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, h.FileInfo().Mode().Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(out, content)
		return errors.Join(err, out.Close())
	}
	return nil // links: the server needs none
}
