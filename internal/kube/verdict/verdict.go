// Package verdict judges a container: an image's facts, with what the pod
// changes of how it is started, against a policy.
package verdict

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/workload"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
)

// Judge gives verdicts about containers. It is safe for concurrent use and must
// not be copied.
type Judge struct {
	// Matrix says which Go versions are supported.
	Matrix *matrix.Matrix
	// Now is the time of day; nil means the system's.
	Now func() time.Time

	memo memo
}

// Container judges a container of a workload by one policy: a verdict for each of
// the image's subjects. The pod's command, args, env, working directory and user
// take the place of the image's, in the prediction of the start as in what rules
// see as image. cpuLevel is the lowest x86-64 level of the nodes in question,
// 0 when it is not known; the policy's own comes first.
//
// The error is that of policy.Judge: the judgement is not complete.
func (j *Judge) Container(ctx context.Context, p *gopolicy.Policy, img *images.Image, w *workload.Workload, c workload.Container, cpuLevel int) ([]api.Verdict, error) {
	if own := p.CPULevel(); own != 0 {
		cpuLevel = own
	}
	verdicts := make([]api.Verdict, 0, len(img.Subjects))
	for _, shared := range img.Subjects {
		s, findings := j.predict(shared, w, &c, cpuLevel)
		v, err := p.Compiled.Judge(ctx, s, findings, policy.Setting{Today: j.now(), Matrix: j.Matrix})
		if err != nil {
			return nil, err
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

func (j *Judge) now() time.Time {
	if j.Now == nil {
		return time.Now()
	}
	return j.Now()
}

// Program returns what the container starts, when that is a program whose facts
// are known: not a script, and not something on a volume. The image is one of a
// single platform.
func (j *Judge) Program(shared *facts.Subject, w *workload.Workload, c *workload.Container) (*api.Facts, bool) {
	if shared.Image == nil || shared.Root == nil {
		return nil, false
	}
	is := startOf(shared.Image, w, c)
	if is.doubt != "" || len(is.process.Args) == 0 {
		return nil, false
	}
	real, err := executable(shared.Root, &is.process, mountsOf(c.VolumeMounts))
	if err != nil {
		return nil, false
	}
	return find(shared.Files, real)
}

// executable finds what a process starts, by its real path.
func executable(root rootfs.FS, p *facts.Process, mounts []mount) (string, error) {
	if len(mounts) > 0 {
		root = &volumes{root, mounts}
	}
	user, err := rootfs.LookupUser(root, p.User)
	if err != nil {
		return "", err
	}
	search, cwd := rootfs.DefaultPath, path.Join("/", p.WorkingDir)
	for _, line := range p.Env {
		if value, ok := strings.CutPrefix(line, "PATH="); ok {
			search = value
		}
	}
	file, err := rootfs.LookPath(root, user, search, cwd, p.Args[0])
	if err != nil {
		return "", err
	}
	real, _, err := rootfs.Resolve(root, user, cwd, file)
	return real, err
}

func find(files []api.Facts, at string) (*api.Facts, bool) {
	i := slices.IndexFunc(files, func(f api.Facts) bool { return f.Path == at })
	if i < 0 {
		return nil, false
	}
	return &files[i], true
}

// predict returns the subject as the container starts it, and what speaks
// against its start. The shared subject stays as it is.
func (j *Judge) predict(shared *facts.Subject, w *workload.Workload, c *workload.Container, level int) (*facts.Subject, []api.Finding) {
	s := *shared
	// The same content may have been read under another name, by somebody else.
	s.Ref = c.Image
	if shared.Image == nil {
		return &s, start.Check(&s, start.Options{CPULevel: level})
	}
	is := startOf(shared.Image, w, c)
	s.Image, s.Process = &is.image, &is.process
	s.Files = slices.Clone(shared.Files)
	for i := range s.Files {
		s.Files[i].Ref, s.Files[i].Image = s.Ref, s.Image
	}
	if is.doubt != "" {
		return &s, []api.Finding{unmeasured(is.doubt)}
	}
	return &s, j.check(&s, mountsOf(c.VolumeMounts), level)
}

// check predicts the start, or remembers what was predicted.
func (j *Judge) check(s *facts.Subject, mounts []mount, level int) []api.Finding {
	key := keyOf(s, mounts, level)
	if findings, ok := j.memo.get(key); ok {
		return findings
	}
	over := *s
	if len(mounts) > 0 && s.Root != nil {
		over.Root = &volumes{s.Root, mounts}
	}
	findings := slices.Clip(start.Check(&over, start.Options{CPULevel: level}))
	j.memo.put(key, findings)
	return findings
}

// unmeasured is the finding about a start that nothing is known about.
func unmeasured(reason string) api.Finding {
	i := slices.IndexFunc(start.Rules, func(r start.Rule) bool { return r.ID == start.Unmeasured })
	return api.Finding{
		Rule: start.Unmeasured, Severity: start.Rules[i].Severity,
		Message: "whether the container starts is not known: " + reason,
		Hint:    "write the value in the pod itself",
	}
}
