package verdict

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/workload"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
)

// build makes a static Go program for amd64.
func build(t testing.TB, file string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.test/prog\n\ngo 1.21\n",
		"main.go": "package main\n\nfunc main() { println(\"hello\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", file)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v3", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// subject is an image with a Go program at /app, a script at /run.sh and an
// account file.
func subject(t testing.TB) *facts.Subject {
	t.Helper()
	dir := t.TempDir()
	build(t, filepath.Join(dir, "app"))
	for name, text := range map[string]string{"run.sh": "#!/bin/sh\n", "etc/passwd": "app:x:7:8::/:/app\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root, err := rootfs.OpenDir(dir, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	app, err := root.File("/app")
	if err != nil {
		t.Fatal(err)
	}
	img := &api.Image{Digest: "sha256:01", Entrypoint: []string{"/app"}, Cmd: []string{"-v"}, User: "65532", Env: []string{"PATH=/bin", "A=image"}, WorkingDir: "/"}
	f := app.Object.Facts
	f.Ref, f.Path, f.Entrypoint, f.Image = "other.example/name:v1", "/app", true, img
	return &facts.Subject{
		Ref: "other.example/name:v1", Platform: api.Platform{OS: "linux", Arch: "amd64"}, Image: img, Root: root,
		Process: &facts.Process{Args: []string{"/app", "-v"}}, Files: []api.Facts{f},
	}
}

func defaultPolicy() *gopolicy.Policy {
	return &gopolicy.Policy{Name: "ClusterGoPolicy base", Compiled: policy.Default()}
}

func newJudge() *Judge {
	return &Judge{Matrix: matrix.Embedded(false), Now: func() time.Time { return time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC) }}
}

// rules judges a container by the built-in policy and returns the rules of the
// findings.
func rules(t testing.TB, j *Judge, p *gopolicy.Policy, s *facts.Subject, w *workload.Workload, c workload.Container, level int) []string {
	t.Helper()
	img := &images.Image{Digest: "sha256:01", Subjects: []*facts.Subject{s}}
	verdicts, err := j.Container(t.Context(), p, img, w, c, level)
	if err != nil {
		t.Fatal(err)
	}
	if len(verdicts) != 1 || verdicts[0].Ref != c.Image || verdicts[0].Digest != "sha256:01" {
		t.Fatalf("verdicts %+v", verdicts)
	}
	var out []string
	for _, f := range verdicts[0].Findings {
		out = append(out, f.Rule)
	}
	return out
}

func TestContainer(t *testing.T) {
	s := subject(t)
	root := int64(0)
	fromSecret := func(name string) []corev1.EnvVar {
		return []corev1.EnvVar{{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}}}}
	}
	tests := map[string]struct {
		c     workload.Container
		level int
		spec  v1alpha1.GoPolicySpec
		want  []string
	}{
		"as the image says":              {workload.Container{}, 0, v1alpha1.GoPolicySpec{}, nil},
		"another command":                {workload.Container{Command: []string{"/nothing"}}, 0, v1alpha1.GoPolicySpec{}, []string{start.EntrypointMissing}},
		"other arguments":                {workload.Container{Args: []string{"-q"}}, 0, v1alpha1.GoPolicySpec{}, nil},
		"a script without interpreter":   {workload.Container{Command: []string{"/run.sh"}}, 0, v1alpha1.GoPolicySpec{}, []string{start.ScriptInterpreterMissing}},
		"relative, elsewhere":            {workload.Container{Command: []string{"./app"}, WorkingDir: "/etc"}, 0, v1alpha1.GoPolicySpec{}, []string{start.EntrypointMissing}},
		"relative, there":                {workload.Container{Command: []string{"./app"}, WorkingDir: "/"}, 0, v1alpha1.GoPolicySpec{}, nil},
		"PATH of the image":              {workload.Container{Command: []string{"app"}}, 0, v1alpha1.GoPolicySpec{}, []string{start.EntrypointMissing}},
		"PATH of the pod":                {workload.Container{Command: []string{"app"}, Env: []corev1.EnvVar{{Name: "PATH", Value: "/bin:/"}}}, 0, v1alpha1.GoPolicySpec{}, nil},
		"PATH of a Secret":               {workload.Container{Command: []string{"app"}, Env: fromSecret("PATH")}, 0, v1alpha1.GoPolicySpec{}, []string{start.Unmeasured}},
		"a command of a Secret":          {workload.Container{Command: []string{"$(PROG)"}, Env: fromSecret("PROG")}, 0, v1alpha1.GoPolicySpec{}, []string{start.Unmeasured}},
		"a command of a ConfigMap":       {workload.Container{Command: []string{"$(PROG)"}, EnvFrom: []corev1.EnvFromSource{{}}}, 0, v1alpha1.GoPolicySpec{}, []string{start.Unmeasured}},
		"a command of a variable":        {workload.Container{Command: []string{"$(DIR)app"}, Env: []corev1.EnvVar{{Name: "DIR", Value: "/"}}}, 0, v1alpha1.GoPolicySpec{}, nil},
		"root":                           {workload.Container{SecurityContext: &corev1.SecurityContext{RunAsUser: &root}}, 0, v1alpha1.GoPolicySpec{}, []string{"image/root-user"}},
		"an old CPU":                     {workload.Container{}, 2, v1alpha1.GoPolicySpec{}, []string{start.CPULevel}},
		"a CPU that is enough":           {workload.Container{}, 3, v1alpha1.GoPolicySpec{}, nil},
		"the policy's level comes first": {workload.Container{}, 2, v1alpha1.GoPolicySpec{CPULevel: "v3"}, nil},
		"a volume over the program":      {workload.Container{VolumeMounts: []corev1.VolumeMount{{MountPath: "/app", SubPath: "x"}}}, 0, v1alpha1.GoPolicySpec{}, []string{start.Unmeasured}},
		"a program on a volume":          {workload.Container{Command: []string{"/tools/run"}, VolumeMounts: []corev1.VolumeMount{{MountPath: "/tools"}}}, 0, v1alpha1.GoPolicySpec{}, []string{start.Unmeasured}},
		"a deep volume":                  {workload.Container{Command: []string{"/opt/x/tools/run"}, VolumeMounts: []corev1.VolumeMount{{MountPath: "/opt/x/tools/"}}}, 0, v1alpha1.GoPolicySpec{}, []string{start.Unmeasured}},
		"beside a volume":                {workload.Container{Command: []string{"/tools2/run"}, VolumeMounts: []corev1.VolumeMount{{MountPath: "/tools"}}}, 0, v1alpha1.GoPolicySpec{}, []string{start.EntrypointMissing}},
		"a volume elsewhere":             {workload.Container{VolumeMounts: []corev1.VolumeMount{{MountPath: "/data"}, {MountPath: tokens + "/serviceaccount"}}}, 0, v1alpha1.GoPolicySpec{}, nil},
	}
	j := newJudge()
	for range 2 { // the second time from memory
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				p := defaultPolicy()
				p.Spec = test.spec
				test.c.Image = "mine.example/app:v2"
				if diff := cmp.Diff(test.want, rules(t, j, p, s, &workload.Workload{}, test.c, test.level)); diff != "" {
					t.Errorf("rules (-want +got):\n%s", diff)
				}
			})
		}
	}
	if s.Ref != "other.example/name:v1" || s.Image.User != "65532" || s.Files[0].Image != s.Image || s.Files[0].Ref != s.Ref || len(s.Process.Args) != 2 {
		t.Errorf("the shared subject was changed: %+v", s)
	}
}

// What rules see as image is what will run.
func TestRulesSeeThePod(t *testing.T) {
	p, problems := policy.Compile("p", api.Policy{Rules: []api.PolicyRule{
		{ID: "a/env", Severity: api.Warn, Scope: api.ScopeImage, Require: "false", Message: "{image.env} {image.entrypoint} {image.cmd} {image.user} {image.workingDir}"},
		{ID: "a/file", Severity: api.Warn, Require: "file.image.user == '7:9'", Message: "user {file.image.user}"},
	}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	uid, gid := int64(7), int64(9)
	w := &workload.Workload{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{RunAsUser: &uid, RunAsGroup: &gid}}}}
	c := workload.Container{Args: []string{"$(A)", "$$(A)", "$(NONE)"}, WorkingDir: "/w", Env: []corev1.EnvVar{
		{Name: "A", Value: "pod"}, {Name: "B", Value: "$(A)-$(C)"}, {Name: "H", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.hostIP"}}}, {Name: "U", Value: "http://$(H)/"}}}
	img := &images.Image{Subjects: []*facts.Subject{subject(t)}}
	got, err := newJudge().Container(t.Context(), &gopolicy.Policy{Compiled: p}, img, w, c, 0)
	if err != nil {
		t.Fatal(err)
	}
	const want = "PATH=/bin, A=image, A=pod, B=pod-$(C) /app pod, $(A), $(NONE) 7:9 /w"
	if len(got) != 1 || len(got[0].Findings) != 1 || got[0].Findings[0].Message != want {
		t.Errorf("got %+v, want the message %q", got, want)
	}
}

func TestAttachedFactsAlone(t *testing.T) {
	s := subject(t)
	attached := &facts.Subject{Ref: s.Ref, Platform: s.Platform, Files: s.Files[:1:1]}
	attached.Files[0].Image = nil
	got, err := newJudge().Container(t.Context(), defaultPolicy(), &images.Image{Subjects: []*facts.Subject{attached}}, &workload.Workload{}, workload.Container{Image: "x"}, 2)
	if err != nil || len(got) != 1 || got[0].Verdict != api.Deny || got[0].Findings[0].Rule != start.CPULevel {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestProgram(t *testing.T) {
	s := subject(t)
	for name, test := range map[string]struct {
		c    workload.Container
		want bool
	}{
		"the entrypoint": {workload.Container{}, true},
		"by PATH":        {workload.Container{Command: []string{"app"}, Env: []corev1.EnvVar{{Name: "PATH", Value: "/"}}}, true},
		"a script":       {workload.Container{Command: []string{"/run.sh"}}, false},
		"nothing":        {workload.Container{Command: []string{"/nothing"}}, false},
		"on a volume":    {workload.Container{VolumeMounts: []corev1.VolumeMount{{MountPath: "/"}}}, false},
	} {
		f, ok := newJudge().Program(s, &workload.Workload{}, &test.c)
		if ok != test.want || ok && f.Path != "/app" {
			t.Errorf("%s: %v, %v", name, f, ok)
		}
	}
}

func TestExpand(t *testing.T) {
	values := map[string]string{"A": "1", "B": "$(A)"}
	for text, want := range map[string]string{
		"plain": "plain", "$(A)": "1", "$(B)": "$(A)", "$$(A)": "$(A)", "$$$(A)": "$1", "$(C)": "$(C)", "$(A": "$(A",
		"$": "$", "a$": "a$", "$A": "$A", "x$(A)y$(A)z": "x1y1z", "$()": "$()", "$$$$": "$$", "$($(A)": "$($(A)",
	} {
		if got := expand(text, values); got != want {
			t.Errorf("expand(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("a$(A)b$$c$(")
	f.Fuzz(func(t *testing.T, text string) {
		if got := expand(text, nil); got != strings.ReplaceAll(text, "$$", "$") && !strings.Contains(text, "$(") {
			t.Errorf("expand(%q) = %q", text, got)
		}
		references(text, func(string) {})
	})
}

func TestMemoIsBounded(t *testing.T) {
	var m memo
	key := func(i int) (k memoKey) {
		k[0], k[1] = byte(i), byte(i>>8)
		return k
	}
	for i := range memoEntries + 10 {
		m.put(key(i), []api.Finding{{Line: i}})
		m.get(key(0)) // stays, being used
	}
	if m.recent.Len() != memoEntries || len(m.byKey) != memoEntries {
		t.Errorf("%d entries, %d keys", m.recent.Len(), len(m.byKey))
	}
	if _, ok := m.get(key(0)); !ok {
		t.Error("the entry in use is gone")
	}
	if _, ok := m.get(key(1)); ok {
		t.Error("the oldest entry is still there")
	}
	m.put(key(60000), make([]api.Finding, memoFindings+1))
	if _, ok := m.get(key(60000)); ok {
		t.Error("a long list was kept")
	}
}

func TestKeysDiffer(t *testing.T) {
	seen := map[memoKey]string{}
	base := func() *facts.Subject {
		return &facts.Subject{Image: &api.Image{Digest: "sha256:01"}, Process: &facts.Process{Args: []string{"a", "b"}, Env: []string{"c"}}}
	}
	add := func(name string, s *facts.Subject, mounts []mount, level int) {
		key := keyOf(s, mounts, level)
		if other, ok := seen[key]; ok {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[key] = name
	}
	add("base", base(), nil, 0)
	add("level", base(), nil, 1)
	add("mount", base(), []mount{{"/a", false}}, 0)
	add("file mount", base(), []mount{{"/a", true}}, 0)
	for name, change := range map[string]func(*facts.Subject){
		"digest":   func(s *facts.Subject) { s.Image.Digest = "sha256:02" },
		"platform": func(s *facts.Subject) { s.Platform.Arch = "arm64" },
		"joined":   func(s *facts.Subject) { s.Process.Args = []string{"ab"} },
		"moved":    func(s *facts.Subject) { s.Process.Args, s.Process.Env = []string{"a"}, []string{"b", "c"} },
		"user":     func(s *facts.Subject) { s.Process.User = "1" },
		"dir":      func(s *facts.Subject) { s.Process.WorkingDir = "1" },
	} {
		s := base()
		change(s)
		add(name, s, nil, 0)
	}
}

func BenchmarkContainer(b *testing.B) {
	s := subject(b)
	img := &images.Image{Subjects: []*facts.Subject{s}}
	j, p, w := newJudge(), defaultPolicy(), &workload.Workload{}
	c := workload.Container{Image: "mine.example/app:v2", Env: []corev1.EnvVar{{Name: "A", Value: "b"}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Container(b.Context(), p, img, w, c, 0); err != nil {
			b.Fatal(err)
		}
	}
}
