package cli_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gopherwood-dev/gopherwood/internal/cli"
	"github.com/gopherwood-dev/gopherwood/internal/cli/ocitest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"gopherwood": func() {
			os.Exit(cli.Run(context.Background(), os.Args[1:], cli.IO{
				Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Environ: os.Environ(),
			}))
		},
	})
}

// The scripts run the command on programs that they build and on the
// toolchain's own.
func TestScripts(t *testing.T) {
	goEnv := func(name string) string {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	formats, err := filepath.Abs("../../docs/formats")
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"GOROOT": goEnv("GOROOT"), "GOCACHE": goEnv("GOCACHE"), "GOMODCACHE": goEnv("GOMODCACHE"),
		"GOPROXY": "off", "GOWORK": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local",
		"GOOS": "linux", "GOARCH": runtime.GOARCH, "CGO_ENABLED": "0",
		"HOSTOS": runtime.GOOS,
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			for name, value := range env {
				e.Setenv(name, value)
			}
			e.Setenv("GOPHERWOOD_CACHE_DIR", filepath.Join(e.WorkDir, "cache"))
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":        exits,
			"validate":     func(ts *testscript.TestScript, _ bool, args []string) { validate(ts, formats, args) },
			"ocilayout":    ociLayout,
			"registry":     startRegistry,
			"genkeys":      genKeys,
			"upstream":     startUpstream,
			"damage":       damage,
			"measuredrepo": measuredRepo,
		},
	})
}

// exits runs a command and wants an exit code: exits CODE COMMAND ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// validate holds a JSON file against a schema: validate SCHEMA FILE
func validate(ts *testscript.TestScript, formats string, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: validate SCHEMA FILE")
	}
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(formats, args[0]+".schema.json"))
	ts.Check(err)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(ts.ReadFile(args[1])))
	ts.Check(err)
	if err := schema.Validate(doc); err != nil {
		ts.Fatalf("%v", err)
	}
}

// startRegistry starts a registry in this process that lasts as long as the
// script, and puts its host and port into $REGISTRY.
func startRegistry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: registry")
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	ts.Defer(server.Close)
	ts.Setenv("REGISTRY", server.Listener.Addr().String())
}

// genKeys makes an Ed25519 key pair: genkeys NAME writes NAME.key and NAME.pub.
func genKeys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: genkeys NAME")
	}
	public, private, err := ed25519.GenerateKey(nil)
	ts.Check(err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	ts.Check(err)
	writePEM(ts, args[0]+".key", "PRIVATE KEY", der)
	der, err = x509.MarshalPKIXPublicKey(public)
	ts.Check(err)
	writePEM(ts, args[0]+".pub", "PUBLIC KEY", der)
}

func writePEM(ts *testscript.TestScript, name, kind string, der []byte) {
	ts.Check(os.WriteFile(ts.MkAbs(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// ociLayout writes an image of one program: ocilayout DIR TAG USER FILE. The
// program is /app, which is also the entrypoint.
func ociLayout(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: ocilayout DIR TAG USER FILE")
	}
	ts.Check(ocitest.Write(ts.MkAbs(args[0]), args[1], ocitest.Image{
		OS: "linux", Arch: runtime.GOARCH, Entrypoint: []string{"/app"}, User: args[2],
		Files: map[string][]byte{"/app": []byte(ts.ReadFile(args[3]))},
	}))
}
