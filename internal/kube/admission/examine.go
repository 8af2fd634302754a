package admission

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/workload"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// examined is what became of one container.
type examined struct {
	workload.Container
	// image is nil when the image is not known, which unknown says why.
	image   *images.Image
	unknown error
	// verdicts has an element for each policy of the workload, with one verdict
	// for each platform; nil when the image is not known.
	verdicts [][]api.Verdict
}

// examine looks at all containers at once, as many as Options.Parallel.
func (h *Handler) examine(ctx context.Context, a *asked, judge bool) []examined {
	out := make([]examined, len(a.containers))
	each(len(out), h.Parallel, func(i int) {
		out[i].Container = a.containers[i]
		out[i].image, out[i].unknown = h.fetch(ctx, a, &out[i].Container)
		if judge && out[i].unknown == nil {
			h.judge(ctx, a, &out[i])
		}
	})
	return out
}

// each calls f with 0 to n-1, in at most limit goroutines. A panic of f is one of
// each, so that it can be recovered.
func each(n, limit int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var group sync.WaitGroup
	panics := make(chan any, n)
	slots := make(chan struct{}, limit)
	for i := range n {
		slots <- struct{}{}
		group.Go(func() {
			defer func() {
				<-slots
				if p := recover(); p != nil {
					panics <- p
				}
			}()
			f(i)
		})
	}
	group.Wait()
	select {
	case p := <-panics:
		panic(p)
	default:
	}
}

// fetch gets what is known of a container's image.
func (h *Handler) fetch(ctx context.Context, a *asked, c *workload.Container) (*images.Image, error) {
	if a.locked != nil {
		return nil, a.locked
	}
	ctx, end := h.Observe.Phase(ctx, a.handler, PhaseFacts)
	defer end()
	ctx, cancel := context.WithDeadline(ctx, a.due)
	defer cancel()
	req := images.Request{Image: c.Image, Keychain: a.keychain, Platforms: a.where.platforms}
	img, err := h.Images.Get(ctx, req)
	if err == nil && len(img.Subjects) == 0 && len(a.where.classes) == 0 {
		// It is not for the nodes of today, and may meet others: all of it counts.
		req.Platforms = nil
		img, err = h.Images.Get(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	if len(img.Subjects) == 0 && len(img.Available) == 0 {
		return nil, &fault.Error{Code: fault.Invalid, Op: "judge image", Input: c.Image, Err: errors.New("it holds nothing that could be judged")}
	}
	// What was not looked at could be anything; what is damaged does not start.
	for _, problem := range img.Problems {
		if fault.CodeOf(problem) != fault.Invalid {
			return nil, problem
		}
	}
	return img, nil
}

// judge gives the verdicts of all policies about a container.
func (h *Handler) judge(ctx context.Context, a *asked, e *examined) {
	ctx, end := h.Observe.Phase(ctx, a.handler, PhaseJudge)
	defer end()
	img := *e.image
	img.Subjects = pulled(img.Subjects)
	for _, p := range a.policies {
		v, err := h.Judge.Container(ctx, p, &img, a.work, e.Container, a.where.level)
		if err != nil {
			e.unknown, e.verdicts = err, nil
			return
		}
		e.verdicts = append(e.verdicts, v)
	}
}

// pulled leaves out what no node pulls: an image for x86-64-v2 and higher, where
// there is one for every x86-64.
func pulled(subjects []*facts.Subject) []*facts.Subject {
	higher := func(s *facts.Subject) bool {
		return s.Platform.Arch == "amd64" && s.Platform.Level != "" && s.Platform.Level != "v1"
	}
	plain := slices.ContainsFunc(subjects, func(s *facts.Subject) bool {
		return s.Platform.Arch == "amd64" && !higher(s)
	})
	if !plain || !slices.ContainsFunc(subjects, higher) {
		return subjects
	}
	return slices.DeleteFunc(slices.Clone(subjects), higher)
}

// reason says in plain words why an image is not known, and what helps here: not
// what helps who reads images by hand.
func reason(err error) (what, hint string) {
	hint = fault.HintOf(err)
	switch code := fault.CodeOf(err); {
	case errors.Is(err, images.ErrNotReady), code == fault.Canceled:
		return "it was not measured in time, and is being measured now", or(hint, "apply it again in a moment")
	case code == fault.Unavailable:
		return "its facts could not be had: " + detail(err), or(hint, "apply it again when the registry answers")
	case code == fault.Denied:
		return "the registry does not give it to this workload: " + detail(err), "check the imagePullSecrets of the pod or its service account"
	case code == fault.NotFound:
		return "the registry does not have it: " + detail(err), "check the image's name, and push it before it is deployed"
	case code == fault.Limit:
		return "it is larger than what is looked at: " + detail(err), "put less into the image, or have it judged by a policy with onUnknown: warn"
	}
	return "it could not be judged: " + detail(err), or(hint, "build the image again and push it")
}

// detail is the message of err without that an image was read, which is said
// already.
func detail(err error) string {
	for e := (*fault.Error)(nil); errors.As(err, &e) && e.Err != nil && (e.Op == "image" || e.Op == "read image"); {
		err = e.Err
	}
	return err.Error()
}

// passing reports whether an image is not known only for now.
func passing(err error) bool {
	code := fault.CodeOf(err)
	return code == fault.Unavailable || code == fault.Canceled
}

func or(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}
