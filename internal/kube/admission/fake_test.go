package admission_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/internal/kube/admission"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/nodes"
	"github.com/gopherwood-dev/gopherwood/internal/kube/verdict"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// cluster is what the handlers ask, in memory.
type cluster struct {
	t        testing.TB
	policies gopolicy.Set
	unready  bool
	images   map[string]*images.Image
	errs     map[string]error
	// slow are the images that are never read in time.
	slow map[string]bool
	// delay is how long every image takes.
	delay    time.Duration
	secrets  error
	nsLabels map[string]string
	nsError  error
	nodes    nodes.Watch
	// today is the day of the verdicts.
	today time.Time

	mu    sync.Mutex
	asked []images.Request
	heard []string
}

func (c *cluster) Get(ctx context.Context, r images.Request) (*images.Image, error) {
	c.mu.Lock()
	c.asked = append(c.asked, r)
	c.mu.Unlock()
	time.Sleep(c.delay)
	if c.slow[r.Image] {
		<-ctx.Done()
		return nil, &fault.Error{Code: fault.Unavailable, Op: "read image", Input: r.Image, Err: images.ErrNotReady}
	}
	if err := c.errs[r.Image]; err != nil {
		return nil, err
	}
	img, ok := c.images[r.Image]
	if !ok {
		return nil, &fault.Error{Code: fault.NotFound, Op: "read image", Input: r.Image, Err: errors.New("MANIFEST_UNKNOWN: no such image")}
	}
	wanted := *img
	wanted.Subjects = nil
	for _, s := range img.Subjects {
		want := len(r.Platforms) == 0
		for _, p := range r.Platforms {
			want = want || p.OS == s.Platform.OS && p.Arch == s.Platform.Arch
		}
		if want {
			wanted.Subjects = append(wanted.Subjects, s)
		}
	}
	return &wanted, nil
}

func (c *cluster) Keychain(context.Context, string, string, []corev1.LocalObjectReference) (facts.Keychain, error) {
	return nil, c.secrets
}

func (c *cluster) Labels(context.Context, string) (map[string]string, error) {
	return c.nsLabels, c.nsError
}

func (c *cluster) Match(ns string, nsLabels, labels map[string]string, kind string) []*gopolicy.Policy {
	return c.policies.Match(ns, nsLabels, labels, kind)
}

func (c *cluster) Ready() bool { return !c.unready }

func (c *cluster) Mutating() bool { return c.policies.Mutating() }

func (c *cluster) Phase(ctx context.Context, handler, phase string) (context.Context, func()) {
	return ctx, func() {}
}

func (c *cluster) Answered(_ context.Context, handler, outcome string, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, handler+" "+outcome)
}

// policy puts a ClusterGoPolicy in force.
func (c *cluster) policy(name string, spec v1alpha1.GoPolicySpec) {
	c.t.Helper()
	spec.SetDefaults()
	o := c.policies.Apply(&v1alpha1.ClusterGoPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u", Generation: 1}, Spec: spec})
	if len(o.Problems) > 0 {
		c.t.Fatal(o.Problems)
	}
}

// node adds a node.
func (c *cluster) node(name, arch string, labels map[string]string) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	n.Status.NodeInfo = corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: arch}
	c.nodes.OnAdd(n, false)
}

// kernelNode is a node that says which kernel it has.
func (c *cluster) kernelNode(name, kernel string) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.NodeInfo = corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: "amd64", KernelVersion: kernel}
	c.nodes.OnAdd(n, false)
}

func newCluster(t testing.TB) *cluster {
	return &cluster{t: t, images: map[string]*images.Image{}, errs: map[string]error{}, slow: map[string]bool{},
		today: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)}
}

func (c *cluster) handler() *admission.Handler {
	return admission.New(admission.Options{
		Images: c, Policies: c, Keychains: c, Namespaces: c, Nodes: &c.nodes, Observe: c,
		Judge: &verdict.Judge{Matrix: matrix.Embedded(false), Now: func() time.Time { return c.today }},
	})
}

// madeDir is the directory of program, which TestMain removes.
var madeDir string

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if madeDir != "" {
		os.RemoveAll(madeDir)
	}
	os.Exit(code)
}

// program is a real Go program in a real directory, measured once.
var program = sync.OnceValues(func() (*rootfs.Dir, error) {
	dir, err := os.MkdirTemp("", "admission")
	if err != nil {
		return nil, err
	}
	madeDir = dir
	if err := os.Chmod(dir, 0o755); err != nil { // the image's user looks in it
		return nil, err
	}
	for name, text := range map[string]string{
		"go.mod":  "module example.test/prog\n\ngo 1.21\n",
		"main.go": "package main\n\nfunc main() { println(\"hello\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", "app")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(out))
	}
	root, err := rootfs.OpenDir(dir, 1<<30)
	if err != nil {
		return nil, err
	}
	_, err = root.File("/app") // measured now, and remembered
	return root, err
})

// subject is an image for amd64 that starts the program. change may change its
// facts.
func subject(t testing.TB, change func(*facts.Subject)) *facts.Subject {
	t.Helper()
	root, err := program()
	if err != nil {
		t.Fatal(err)
	}
	file, err := root.File("/app")
	if err != nil {
		t.Fatal(err)
	}
	f := file.Object.Facts
	goFacts := *f.Go
	f.Path, f.Entrypoint, f.Go = "/app", true, &goFacts
	s := &facts.Subject{
		Platform: api.Platform{OS: "linux", Arch: "amd64"}, Root: root, Files: []api.Facts{f},
		Image: &api.Image{Digest: "sha256:" + strings.Repeat("a", 64), Entrypoint: []string{"/app"}, User: "65532"},
	}
	if change != nil {
		change(s)
	}
	return s
}

// image keeps an image under a name.
func (c *cluster) image(name string, subjects ...*facts.Subject) {
	img := &images.Image{Ref: name, Digest: "sha256:" + strings.Repeat("a", 64), Subjects: subjects}
	for _, s := range subjects {
		img.Available = append(img.Available, s.Platform)
	}
	c.images[name] = img
}

// version makes the program one of another Go.
func version(v string) func(*facts.Subject) {
	return func(s *facts.Subject) { s.Files[0].Go.Version = v }
}

// forPlatform makes the image one of another processor, as far as its name goes.
func forPlatform(arch string) func(*facts.Subject) {
	return func(s *facts.Subject) { s.Platform.Arch = arch }
}

// pod is a Pod with one container for each image, named a, b, c…
func pod(imgs ...string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"app": "web"}}}
	for i, img := range imgs {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: string(rune('a' + i)), Image: img})
	}
	return p
}

// request is the creation of an object in namespace team, or its update.
func request(t testing.TB, object, old any) *admissionv1.AdmissionRequest {
	t.Helper()
	req := &admissionv1.AdmissionRequest{UID: "uid-1", Namespace: "team", Operation: admissionv1.Create,
		Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Object: runtime.RawExtension{Raw: encode(t, object)}}
	if old != nil {
		req.Operation, req.OldObject.Raw = admissionv1.Update, encode(t, old)
	}
	return req
}

func encode(t testing.TB, o any) []byte {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// post sends a review and returns the HTTP answer.
func post(t testing.TB, h http.Handler, target string, req *admissionv1.AdmissionRequest) *httptest.ResponseRecorder {
	t.Helper()
	body := encode(t, admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: req})
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// ask posts a request and returns the response to it.
func ask(t testing.TB, h http.Handler, target string, req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	t.Helper()
	rec := post(t, h, target, req)
	if rec.Code != http.StatusOK {
		t.Fatalf("HTTP %d: %s", rec.Code, rec.Body)
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(rec.Body.Bytes(), &review); err != nil {
		t.Fatal(err)
	}
	if review.Kind != "AdmissionReview" || review.APIVersion != "admission.k8s.io/v1" || review.Response == nil || review.Response.UID != req.UID {
		t.Fatalf("no answer to the request: %s", rec.Body)
	}
	return review.Response
}
