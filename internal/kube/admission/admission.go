// Package admission answers the API server: whether a workload may run, what is
// filled in, and whether a policy can be compiled.
//
// Nothing here waits for longer than the API server does. What is not known by
// then is each policy's to decide, and no verdict is kept: facts are.
package admission

import (
	"context"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/nodes"
	"github.com/gopherwood-dev/gopherwood/internal/kube/verdict"
)

// Images knows the facts of images; images.Store does.
type Images interface {
	// Get waits for the image until ctx ends. An error that is no definitive
	// answer has the code fault.Unavailable.
	Get(ctx context.Context, r images.Request) (*images.Image, error)
}

// Policies knows the policies in force; gopolicy.Set does.
type Policies interface {
	// Match returns the policies about an object, sorted by name.
	Match(namespace string, namespaceLabels, objectLabels map[string]string, kind string) []*gopolicy.Policy
	// Ready reports whether all policies of the cluster have been seen, and
	// Mutating whether one of them wants something filled in.
	Ready() bool
	Mutating() bool
}

// Keychains finds the credentials that the kubelet would pull with;
// pullsecret.Reader does.
type Keychains interface {
	Keychain(ctx context.Context, namespace, serviceAccount string, pullSecrets []corev1.LocalObjectReference) (facts.Keychain, error)
}

// Namespaces knows the labels of namespaces.
type Namespaces interface {
	// Labels returns an error when it cannot be told what the labels are.
	Labels(ctx context.Context, name string) (map[string]string, error)
}

// The names of the handlers, as an Observer hears them.
const (
	HandlerValidate       = "validate"
	HandlerMutate         = "mutate"
	HandlerValidatePolicy = "validate-policy"
)

// The phases of a request.
const (
	PhaseDecode      = "decode"
	PhasePolicies    = "policies"
	PhaseCredentials = "credentials"
	PhaseFacts       = "facts"
	PhaseJudge       = "judge"
	PhaseEncode      = "encode"
)

// The outcomes of a request.
const (
	// OutcomeSkipped: nothing had to be asked.
	OutcomeSkipped = "skipped"
	// OutcomeAdmitted: every policy passes it.
	OutcomeAdmitted = "admitted"
	// OutcomeWarned: it was admitted, with warnings.
	OutcomeWarned = "warned"
	// OutcomeAudited: it was admitted, and policies that only audit deny it.
	OutcomeAudited = "audited"
	// OutcomeDenied: it was refused for what was found.
	OutcomeDenied = "denied"
	// OutcomeUnknown: it was refused only for what could not be known.
	OutcomeUnknown = "unknown"
	// OutcomePatched: something was filled in.
	OutcomePatched = "patched"
	// OutcomeIncomplete: something was not filled in because facts are missing.
	OutcomeIncomplete = "incomplete"
	// OutcomeUnready: the policies or the namespace are not known yet.
	OutcomeUnready = "unready"
	// OutcomeInvalid: the request could not be read.
	OutcomeInvalid = "invalid"
	// OutcomePanic: a defect of Gopherwood.
	OutcomePanic = "panic"
)

// Observer hears what the handlers do. Its methods must return at once and may
// be called by several goroutines.
type Observer interface {
	// Phase hears that a phase of a request begins; the function that it returns
	// is called when the phase is over, and the context carries a span. Phases of
	// the containers of one workload overlap.
	Phase(ctx context.Context, handler, phase string) (context.Context, func())
	// Answered hears of every answer.
	Answered(ctx context.Context, handler, outcome string, took time.Duration)
}

// Options is what a Handler works with. All but Nodes, Observe, Log and the
// numbers are needed.
type Options struct {
	Images     Images
	Policies   Policies
	Keychains  Keychains
	Namespaces Namespaces
	Judge      *verdict.Judge
	// Nodes may be nil: nothing is then said about where a pod can run.
	Nodes   nodes.Lister
	Observe Observer
	Log     *slog.Logger
	// Margin is how long before the API server stops waiting the answer is
	// given; default 1 s, and never more than a quarter of the time.
	Margin time.Duration
	// MutateWait is the longest that facts are waited for before something is
	// filled in; default 3 s. The API server may ask twice, and asks once more
	// whether the workload may run, one after the other.
	MutateWait time.Duration
	// Parallel is how many containers of one workload are looked at at once;
	// default 8.
	Parallel int
}

// Handler serves the webhooks. It is safe for concurrent use.
type Handler struct{ Options }

// The defaults of Options, and of the API server's timeout parameter.
const (
	defaultMargin     = time.Second
	defaultMutateWait = 3 * time.Second
	defaultParallel   = 8
	defaultTimeout    = 10 * time.Second
)

// New returns a Handler.
func New(opt Options) *Handler {
	if opt.Nodes == nil {
		opt.Nodes = &nodes.Watch{}
	}
	if opt.Observe == nil {
		opt.Observe = silent{}
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Margin <= 0 {
		opt.Margin = defaultMargin
	}
	if opt.MutateWait <= 0 {
		opt.MutateWait = defaultMutateWait
	}
	if opt.Parallel <= 0 {
		opt.Parallel = defaultParallel
	}
	return &Handler{opt}
}

// silent is the Observer of a Handler that has none.
type silent struct{}

func (silent) Phase(ctx context.Context, _, _ string) (context.Context, func()) {
	return ctx, func() {}
}

func (silent) Answered(context.Context, string, string, time.Duration) {}
