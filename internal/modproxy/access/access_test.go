package access_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/crypto/bcrypt"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/access"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const head = "schemaVersion: gopherwood/v1\nkind: ModuleAccess\n"

// open reads a document below the usual head.
func open(t testing.TB, text string) *access.Rules {
	t.Helper()
	r, err := access.Open(write(t, "access.yaml", head+text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func hashOf(t testing.TB, password string, cost int) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func tokenOf(token string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(token))) }

func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

func request(header string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/example.com/m/@v/list", nil)
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	return r
}

// twoUsers has ci with tokens, and anne with a password and a token.
func twoUsers(t testing.TB) string {
	return fmt.Sprintf(`
anonymous: {read: ["*"], except: [corp.example.com]}
users:
- {name: ci, tokens: [%q, %q], read: [corp.example.com], except: [corp.example.com/secret/*]}
- {name: anne, password: %q, tokens: [%q], read: [corp.example.com/secret]}
`, tokenOf("ci-token-1"), tokenOf("ci-token-2"), hashOf(t, "anne's password: 1", bcrypt.MinCost), tokenOf("anne-token"))
}

func TestUsers(t *testing.T) {
	rules := open(t, twoUsers(t))
	for _, test := range []struct {
		header, name string // name "!" for refused
		yes, no      string
	}{
		{"", "", "github.com/a/b golang.org/toolchain", "corp.example.com corp.example.com/lib corp.example.com/secret/x"},
		{"Bearer ci-token-1", "ci", "github.com/a/b corp.example.com/lib corp.example.com/lib/v2 corp.example.com/secret", "corp.example.com/secret/x corp.example.com/secret/x/v2"},
		{"bearer  ci-token-2", "ci", "corp.example.com/lib", ""},
		{basic("ci", "ci-token-1"), "ci", "corp.example.com/lib", ""},
		{strings.Replace(basic("ci", "ci-token-1"), "Basic", "basic", 1), "ci", "corp.example.com/lib", ""},
		{basic("anne", "anne's password: 1"), "anne", "github.com/a/b corp.example.com/secret corp.example.com/secret/x", "corp.example.com/lib corp.example.com/secrets"},
		{basic("anne", "anne-token"), "anne", "corp.example.com/secret", ""},
		{"Bearer anne-token", "anne", "corp.example.com/secret", ""},
		{basic("anne", "anne's password: 2"), "!", "", ""},
		{basic("anne", ""), "!", "", ""},
		{basic("anne", "ci-token-1"), "!", "", ""},
		{basic("ci", "anne's password: 1"), "!", "", ""},
		{basic("bob", "anne's password: 1"), "!", "", ""},
		{basic("", "ci-token-1"), "!", "", ""},
		{basic("ci", tokenOf("ci-token-1")), "!", "", ""},
		{"Bearer ci-token-3", "!", "", ""},
		{"Bearer anne's password: 1", "!", "", ""},
		{"Bearer", "!", "", ""},
		{"Bearer ", "!", "", ""},
		{"Basic", "!", "", ""},
		{"Basic !!!", "!", "", ""},
		{"Basic " + base64.StdEncoding.EncodeToString([]byte("ci")), "!", "", ""},
		{"Digest username=ci", "!", "", ""},
		{"Bearer " + strings.Repeat("x", 9<<10), "!", "", ""},
	} {
		for range 2 { // the second time it is remembered
			id, err := rules.Identify(request(test.header))
			if test.name == "!" {
				if fault.CodeOf(err) != fault.Denied || id.MayRead("github.com/a/b") {
					t.Errorf("%.60s: got %v, %v", test.header, id, err)
				}
				continue
			}
			if err != nil || id.Name != test.name {
				t.Errorf("%s: got %q, %v", test.header, id.Name, err)
			}
			for _, path := range strings.Fields(test.yes) {
				if !id.MayRead(path) {
					t.Errorf("%s may not read %s", test.header, path)
				}
			}
			for _, path := range strings.Fields(test.no) {
				if id.MayRead(path) {
					t.Errorf("%s may read %s", test.header, path)
				}
			}
		}
	}
	if (access.Identity{}).MayRead("example.com/m") {
		t.Error("nobody may read something")
	}
}

// What a refusal says names no secret, nor which part of the credentials is wrong.
func TestRefusalText(t *testing.T) {
	rules := open(t, twoUsers(t))
	var texts []string
	for _, header := range []string{basic("anne", "hunter2"), basic("bob", "hunter2"), "Bearer hunter2", basic("ci", "hunter2")} {
		_, err := rules.Identify(request(header))
		texts = append(texts, err.Error()+fault.HintOf(err))
	}
	for _, text := range texts {
		if text != texts[0] || strings.Contains(text, "hunter2") {
			t.Errorf("%q", texts)
		}
	}
}

// Guesses are many and different: they take no memory for ever, and do not push
// out those who have signed in.
func TestGuesses(t *testing.T) {
	rules := open(t, fmt.Sprintf("users: [{name: ci, tokens: [%q], read: ['*']}]", tokenOf("t")))
	size := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := size()
	for i := range 20_000 {
		if _, err := rules.Identify(request(fmt.Sprintf("Bearer guess-%d", i))); err == nil {
			t.Fatal("a guess is good")
		}
	}
	if after := size(); after > before+2<<20 {
		t.Errorf("the heap grew by %d bytes", after-before)
	}
	if _, err := rules.Identify(request("Bearer t")); err != nil {
		t.Error(err)
	}
}

func TestCancelledSignIn(t *testing.T) {
	rules := open(t, fmt.Sprintf("users: [{name: anne, password: %q, read: ['*']}]", hashOf(t, "right", 9)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rules.Identify(request(basic("anne", "right")).WithContext(ctx)); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("got %v", err)
	}
	if id, err := rules.Identify(request(basic("anne", "right"))); err != nil || id.Name != "anne" {
		t.Errorf("afterwards: %v, %v", id, err)
	}
}

// clientCertificate makes an authority and a certificate that it signed.
func clientCertificate(t *testing.T, name string, change func(*x509.Certificate)) (*x509.CertPool, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{"build", "ci"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return pool, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestCertificates(t *testing.T) {
	rules := open(t, fmt.Sprintf(`
anonymous: {read: [example.com/open]}
users: [{name: ci, tokens: [%q], read: [example.com/user]}]
certificates:
- {name: by-name, commonName: runner-*, read: [example.com/cn]}
- {name: by-unit, unit: ci, read: [example.com/unit]}
- {name: by-dns, dns: "*.corp.example.com", read: [example.com/dns]}
- {name: by-uri, uri: "spiffe://corp.example.com/ns/*/sa/build", read: [example.com/uri]}
- {name: by-mail, email: build@example.com, read: [example.com/mail]}
- {name: by-both, commonName: runner-*, dns: nowhere.example.com, read: [example.com/both]}
`, tokenOf("t")))
	full := func(c *x509.Certificate) {
		u, err := url.Parse("spiffe://corp.example.com/ns/team/sa/build")
		if err != nil {
			t.Fatal(err)
		}
		c.DNSNames, c.URIs, c.EmailAddresses = []string{"x.example.com", "r1.corp.example.com"}, []*url.URL{u}, []string{"build@example.com"}
	}
	for _, test := range []struct {
		name, cn, header string
		change           func(*x509.Certificate)
		verify           tls.ClientAuthType
		want             string // name: modules
	}{
		{"all", "runner-7", "", full, tls.RequireAndVerifyClientCert, "by-name: open cn unit dns uri mail"},
		{"with a token", "runner-7", "Bearer t", full, tls.RequireAndVerifyClientCert, "ci: open user cn unit dns uri mail"},
		{"with a wrong token", "runner-7", "Bearer x", full, tls.RequireAndVerifyClientCert, "refused"},
		{"the unit only", "laptop", "", nil, tls.RequireAndVerifyClientCert, "by-unit: open unit"},
		{"nothing", "laptop", "", func(c *x509.Certificate) { c.Subject.OrganizationalUnit = nil }, tls.RequireAndVerifyClientCert, ": open"},
		{"not verified", "runner-7", "", full, tls.RequireAnyClientCert, ": open"},
	} {
		t.Run(test.name, func(t *testing.T) {
			pool, cert := clientCertificate(t, test.cn, test.change)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				id, err := rules.Identify(r)
				if err != nil {
					fmt.Fprint(w, "refused")
					return
				}
				fmt.Fprint(w, id.Name, ":")
				for _, m := range []string{"open", "user", "cn", "unit", "dns", "uri", "mail", "both"} {
					if id.MayRead("example.com/" + m) {
						fmt.Fprint(w, " ", m)
					}
				}
			}))
			server.TLS = &tls.Config{ClientAuth: test.verify, ClientCAs: pool}
			server.StartTLS()
			defer server.Close()
			client := server.Client()
			client.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{cert}
			req := request(test.header)
			req.RequestURI = ""
			var err error
			if req.URL, err = url.Parse(server.URL); err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestReload(t *testing.T) {
	file := write(t, "access.yaml", head+fmt.Sprintf("users: [{name: ci, tokens: [%q], read: ['*']}]", tokenOf("old")))
	rules, err := access.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	good := func(token string) bool {
		_, err := rules.Identify(request("Bearer " + token))
		return err == nil
	}
	if !good("old") || good("new") {
		t.Error("at first")
	}
	if err := os.WriteFile(file, []byte("users: [}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rules.Reload(); fault.CodeOf(err) != fault.Invalid || !good("old") {
		t.Errorf("a broken file: %v", err)
	}
	if err := os.WriteFile(file, []byte(head+fmt.Sprintf("users: [{name: cd, tokens: [%q], read: ['*']}]", tokenOf("new"))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rules.Reload(); err != nil || good("old") || !good("new") {
		t.Errorf("a new token: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := rules.Reload(); fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), file) || !good("new") {
		t.Errorf("a file that is gone: %v", err)
	}
}

// testdata/errors.txtar holds, for each NAME, a document NAME.yaml (below the
// usual head of two lines) and the error it gives, NAME.want.
func TestErrors(t *testing.T) {
	const golden = "testdata/errors.txtar"
	archive, err := txtar.ParseFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	out := &txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		want[f.Name] = string(f.Data)
	}
	for _, f := range archive.Files {
		name, ok := strings.CutSuffix(f.Name, ".yaml")
		if !ok {
			continue
		}
		file := write(t, f.Name, head+string(f.Data))
		_, err := access.Open(file)
		if fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := strings.ReplaceAll(err.Error(), "load module access "+file+":", "") + "\n"
		if diff := cmp.Diff(want[name+".want"], got); diff != "" && !*update {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if strings.Contains(got, "hunter2") {
			t.Errorf("%s: the error shows a secret", name)
		}
		out.Files = append(out.Files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
	}
	if *update {
		if err := os.WriteFile(golden, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The examples in docs/formats/moduleaccess.md are documents.
func TestDocumentedExamples(t *testing.T) {
	page, err := os.ReadFile("../../../docs/formats/moduleaccess.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("no example")
	}
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		rules, err := access.Open(write(t, "doc.yaml", text))
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		for header, name := range map[string]string{basic("anne", "correct horse"): "anne", "Bearer an example only": "ci"} {
			if id, err := rules.Identify(request(header)); err != nil || id.Name != name {
				t.Errorf("%s: %q, %v", header, id.Name, err)
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	archive, err := txtar.ParseFile("testdata/errors.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		if strings.HasSuffix(file.Name, ".yaml") {
			f.Add([]byte(head + string(file.Data)))
		}
	}
	f.Add([]byte(head + twoUsers(f)))
	name := write(f, "fuzz.yaml", "")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		rules, err := access.Open(name)
		if err != nil {
			if code := fault.CodeOf(err); code != fault.Invalid && code != fault.Limit {
				t.Fatalf("error with code %q: %v", code, err)
			}
			return
		}
		id, err := rules.Identify(request(""))
		if err != nil {
			t.Fatal(err)
		}
		id.MayRead("example.com/m")
	})
}

func FuzzIdentify(f *testing.F) {
	rules := open(f, twoUsers(f))
	for _, s := range []string{"Bearer x", "Basic", basic("ci", "x"), "Basic Og==", "bearer ci-token-1", "Negotiate x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		id, err := rules.Identify(request(header))
		switch {
		case err != nil && fault.CodeOf(err) != fault.Denied:
			t.Fatal(err)
		case err != nil && id.MayRead("github.com/a/b"):
			t.Fatal("who is refused may read")
		case err == nil && id.Name != "" && !strings.Contains(header, "-token-") && !strings.HasPrefix(strings.ToLower(header), "basic "):
			t.Fatalf("%q signs in as %s", header, id.Name)
		}
	})
}

func BenchmarkIdentify(b *testing.B) {
	rules := open(b, twoUsers(b))
	for name, header := range map[string]string{"anonymous": "", "bearer": "Bearer ci-token-1", "password": basic("anne", "anne's password: 1")} {
		b.Run(name, func(b *testing.B) {
			r := request(header)
			b.ReportAllocs()
			for b.Loop() {
				id, err := rules.Identify(r)
				if err != nil || !id.MayRead("github.com/a/b") {
					b.Fatal(err)
				}
			}
		})
	}
}
