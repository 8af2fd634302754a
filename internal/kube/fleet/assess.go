package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/workload"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Images gives the facts of images.
type Images interface {
	Get(ctx context.Context, r images.Request) (*images.Image, error)
}

// Keychains gives the credentials with which a pod's images are pulled.
type Keychains interface {
	Keychain(ctx context.Context, namespace, serviceAccount string, secrets []corev1.LocalObjectReference) (facts.Keychain, error)
}

// Policy is one policy that is about a workload.
type Policy interface {
	// Name is as FleetVerdict.Policy has it.
	Name() string
	// Action is enforce, warn, audit, or empty where nothing is admitted.
	Action() string
	// Judge returns the verdicts on a container of w, one for each of the image's
	// subjects.
	Judge(ctx context.Context, img *images.Image, w *workload.Workload, c workload.Container, cpuLevel int) ([]api.Verdict, error)
}

// Policies finds the policies that are about an object of a kind.
type Policies interface {
	Match(namespace string, namespaceLabels, objectLabels map[string]string, kind string) []Policy
}

// Assessor says what the facts and the verdicts of containers are. Its fields
// must not change while it is in use.
type Assessor struct {
	Images Images
	// Keychains may be nil: images are then read with docker login's credentials.
	Keychains Keychains
	// OwnLogin also tries docker login's credentials, the user's own, where the
	// pod's cannot be read or are refused. It is not for who serves many tenants.
	OwnLogin bool
	Policies Policies
	// NamespaceLabels returns the labels of a namespace; nil where they are not known.
	NamespaceLabels func(namespace string) map[string]string
	Matrix          *matrix.Matrix
	// Now says which day it is.
	Now func() time.Time
	// Full keeps all facts of all programs.
	Full bool
}

// Assessment is what is known of a container's image, and what the policies say.
type Assessment struct {
	Digest, Manifest string
	Facts            *api.FleetFacts
	// GoMinors are the minors of all Go programs in the image, once each.
	GoMinors []string
	Files    []api.Facts
	// Verdict is pass, warn, deny or unknown.
	Verdict  string
	Verdicts []api.FleetVerdict
	// Err says why the verdict is unknown.
	Err error
	// Problems are programs of the image that could not be measured.
	Problems []error
}

// Container assesses a container of g. The error of ctx is in the result's Err.
func (a *Assessor) Container(ctx context.Context, g *Group, c Container) *Assessment {
	img, err := a.image(ctx, g, c)
	if err != nil {
		return &Assessment{Digest: c.Digest, Verdict: api.Unknown, Err: err}
	}
	out := &Assessment{Digest: cmp.Or(c.Digest, img.Digest), Problems: img.Problems}
	w := g.workload()
	wc, ok := c.of(w)
	if !ok {
		return unknown(out, &fault.Error{Code: fault.Internal, Op: "find container", Input: c.Name})
	}
	a.measured(out, img, w, &wc)
	if len(img.Subjects) == 0 {
		return unknown(out, &fault.Error{Code: fault.NotFound, Op: "read image", Input: c.Image,
			Err: fmt.Errorf("it has no image for %s", g.Node.Platform)})
	}
	return a.judge(ctx, out, g, img, w, wc)
}

func unknown(a *Assessment, err error) *Assessment {
	a.Verdict, a.Err = api.Unknown, err
	return a
}

// image opens what runs. A digest that is not in the repository that the pod
// names may be in the one that the node names.
func (a *Assessor) image(ctx context.Context, g *Group, c Container) (*images.Image, error) {
	req := images.Request{Image: c.Ref}
	if g.Node.Platform != (api.Platform{}) {
		req.Platforms = []api.Platform{g.Node.Platform}
	}
	if a.Keychains != nil {
		spec := &g.Pod.Spec
		keys, err := a.Keychains.Keychain(ctx, g.Pod.Namespace, spec.ServiceAccountName, spec.ImagePullSecrets)
		if err != nil && (!a.OwnLogin || ctx.Err() != nil) {
			return nil, err
		}
		if err == nil {
			req.Keychain = keys
		}
	}
	img, err := a.either(ctx, req, c)
	if err != nil && a.OwnLogin && req.Keychain != nil && refused(err) {
		req.Keychain = nil
		if own, ownErr := a.either(ctx, req, c); ownErr == nil {
			return own, nil
		}
	}
	return img, err
}

func (a *Assessor) either(ctx context.Context, req images.Request, c Container) (*images.Image, error) {
	img, err := a.Images.Get(ctx, req)
	if err == nil || c.Other == "" || !refused(err) {
		return img, err
	}
	req.Image = c.Other
	if other, otherErr := a.Images.Get(ctx, req); otherErr == nil {
		return other, nil
	}
	return nil, err
}

// refused reports whether another repository or other credentials may help.
func refused(err error) bool {
	code := fault.CodeOf(err)
	return code == fault.NotFound || code == fault.Denied
}

// judge asks every policy about the container.
func (a *Assessor) judge(ctx context.Context, out *Assessment, g *Group, img *images.Image, w *workload.Workload, c workload.Container) *Assessment {
	out.Verdict = api.Pass
	for _, p := range a.policies(g) {
		verdicts, err := p.Judge(ctx, img, w, c, g.Node.CPULevel)
		if err != nil {
			return unknown(out, err)
		}
		v := api.FleetVerdict{Policy: p.Name(), Action: p.Action(), Verdict: api.Pass, Findings: []api.Finding{}}
		for _, one := range verdicts {
			v.Verdict = Graver(v.Verdict, one.Verdict)
			v.Findings = append(v.Findings, one.Findings...)
		}
		v.Findings = compactFindings(v.Findings)
		out.Verdict = Graver(out.Verdict, v.Verdict)
		out.Verdicts = append(out.Verdicts, v)
	}
	return out
}

// policies returns the policies about the pods, and those about the workload that
// makes them, once each and by name.
func (a *Assessor) policies(g *Group) []Policy {
	var namespace map[string]string
	if a.NamespaceLabels != nil {
		namespace = a.NamespaceLabels(g.Workload.Namespace)
	}
	all := a.Policies.Match(g.Workload.Namespace, namespace, g.Pod.Labels, "Pod")
	if g.Workload.Kind != "Pod" {
		all = append(slices.Clone(all), a.Policies.Match(g.Workload.Namespace, namespace, g.Labels, g.Workload.Kind)...)
	}
	slices.SortStableFunc(all, func(x, y Policy) int { return cmp.Compare(x.Name(), y.Name()) })
	return slices.CompactFunc(all, func(x, y Policy) bool { return x.Name() == y.Name() })
}

// compactFindings drops what is said of several platforms in the same words.
func compactFindings(all []api.Finding) []api.Finding {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(f api.Finding) bool {
		key := strings.Join([]string{f.Rule, f.Severity, f.Path, f.Message}, "\x00")
		had := seen[key]
		seen[key] = true
		return had
	})
}

// Graver returns the graver of two verdicts: deny, unknown, warn, pass.
func Graver(a, b string) string {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func rank(verdict string) int {
	return slices.Index([]string{api.Pass, api.Warn, api.Unknown, api.Deny}, verdict)
}

// measured fills in the facts of the first subject, and the Go versions of all.
func (a *Assessor) measured(out *Assessment, img *images.Image, w *workload.Workload, c *workload.Container) {
	for _, s := range img.Subjects {
		for i := range s.Files {
			if f := &s.Files[i]; f.Go != nil {
				out.GoMinors = append(out.GoMinors, a.Matrix.Support(f.Go.Version, a.Now()).Minor)
			}
		}
		if a.Full {
			out.Files = append(out.Files, s.Files...)
		}
	}
	slices.Sort(out.GoMinors)
	out.GoMinors = slices.Compact(out.GoMinors)
	if len(img.Subjects) == 0 {
		return
	}
	s := img.Subjects[0]
	user := ""
	if s.Image != nil {
		out.Manifest, user = s.Image.Digest, s.Image.User
	}
	f := program(s, c)
	if f == nil {
		return
	}
	out.Facts = a.short(f)
	out.Facts.Programs = len(s.Files)
	out.Facts.User = runsAs(w.User(c), user)
	out.Facts.Root = isRoot(out.Facts.User) && !nonRoot(w, c)
}

// program returns what the container starts, else a Go program of the image, else
// any; nil when nothing was measured.
func program(s *facts.Subject, c *workload.Container) *api.Facts {
	pick := func(ok func(f *api.Facts) bool) *api.Facts {
		for i := range s.Files {
			if ok(&s.Files[i]) {
				return &s.Files[i]
			}
		}
		return nil
	}
	if len(c.Command) > 0 {
		if f := pick(func(f *api.Facts) bool { return names(c.Command[0], f.Path) }); f != nil {
			return f
		}
	}
	if f := pick(func(f *api.Facts) bool { return f.Entrypoint && f.Go != nil }); f != nil {
		return f
	}
	if f := pick(func(f *api.Facts) bool { return f.Go != nil }); f != nil {
		return f
	}
	return pick(func(*api.Facts) bool { return true })
}

// names reports whether command is the file, or its name as PATH finds it.
func names(command, file string) bool {
	return command == file || !strings.Contains(command, "/") && strings.HasSuffix(file, "/"+command)
}

func (a *Assessor) short(f *api.Facts) *api.FleetFacts {
	out := &api.FleetFacts{Program: f.Path, Link: f.Link.Mode, Libc: f.Link.Libc, Floor: f.Link.Floor, Size: f.Size}
	out.CGO = f.Go != nil && (f.Link.Libc == api.LibcGNU || f.Link.Libc == api.LibcMusl)
	if f.Go == nil {
		return out
	}
	out.GoVersion, out.Dependencies = f.Go.Version, len(f.Go.Deps)
	if m := f.Go.Module; m != nil {
		out.Module, out.ModuleVersion = m.Path, m.Version
	}
	s := a.Matrix.Support(f.Go.Version, a.Now())
	if s.Known {
		out.Supported = &s.Supported
	}
	if s.Until != nil {
		out.SupportedUntil = s.Until.Format(time.DateOnly)
	}
	return out
}

// runsAs puts what the pod says of the user over what the image says.
func runsAs(pod, image string) string {
	user, group, _ := strings.Cut(pod, ":")
	imageUser, imageGroup, _ := strings.Cut(image, ":")
	if user == "" {
		user = imageUser
		group = cmp.Or(group, imageGroup)
	}
	if group == "" {
		return user
	}
	return user + ":" + group
}

func isRoot(user string) bool {
	name, _, _ := strings.Cut(user, ":")
	return name == "" || name == "0" || name == "root"
}

// nonRoot reports whether the kubelet refuses to run the container as root.
func nonRoot(w *workload.Workload, c *workload.Container) bool {
	if s := c.SecurityContext; s != nil && s.RunAsNonRoot != nil {
		return *s.RunAsNonRoot
	}
	s := w.Template.Spec.SecurityContext
	return s != nil && s.RunAsNonRoot != nil && *s.RunAsNonRoot
}
