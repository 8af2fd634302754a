package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Default validity.
const (
	DefaultCALife = 365 * 24 * time.Hour
	DefaultLife   = 90 * 24 * time.Hour
)

// Options say what an Issuer keeps, and where.
type Options struct {
	// Client reads and writes directly, without a cache.
	Client client.WithWatch
	// Namespace and Secret name the Secret.
	Namespace, Secret string
	// Names are what the serving certificate is for.
	Names Names
	// CALife and Life are how long an authority and a serving certificate are valid,
	// DefaultCALife and DefaultLife for zero. An authority must outlive three
	// serving certificates.
	CALife, Life time.Duration
	// Targets are the webhook configurations that are told the authorities.
	Targets Targets
	// Now is the time, by the clock of the API server at best; time.Now for nil.
	Now func() time.Time
	Log *slog.Logger
}

// Issuer keeps a Secret with an authority and a serving certificate, and tells
// webhook configurations whom to trust.
type Issuer struct {
	Serving

	opt    Options
	inject *injector

	mu sync.Mutex
	// known is since when every target has been seen to trust an authority.
	known map[string]time.Time
	// bad is what of the Secret was last reported as unreadable.
	bad string
}

// NewIssuer returns an Issuer that has done nothing yet.
func NewIssuer(opt Options) (*Issuer, error) {
	opt.CALife, opt.Life = orDefault(opt.CALife, DefaultCALife), orDefault(opt.Life, DefaultLife)
	if opt.Life < time.Second || opt.CALife < 3*opt.Life {
		return nil, &fault.Error{Code: fault.Usage, Op: "issue certificates",
			Err:  errors.New("an authority must be valid for three times as long as a serving certificate"),
			Hint: "raise the authority's validity or lower the certificate's"}
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Issuer{
		opt:    opt,
		inject: &injector{client: opt.Client, targets: opt.Targets},
		known:  map[string]time.Time{},
	}, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

const (
	// lookAgain is the longest that an Issuer sleeps.
	lookAgain = time.Hour
	// retryFirst and retryLast bound the wait after a failure.
	retryFirst, retryLast = 500 * time.Millisecond, 30 * time.Second
	// conflicts is how often a race is lost before it counts as a failure.
	conflicts = 10
)

// Run keeps the Secret and the webhook configurations until ctx ends. It never
// gives up: what fails is logged and tried again.
func (i *Issuer) Run(ctx context.Context) error {
	wake := make(chan struct{}, 1)
	var watches sync.WaitGroup
	defer watches.Wait()
	for _, o := range i.watched() {
		watches.Go(func() { i.watch(ctx, o, wake) })
	}
	retry := retryFirst
	for {
		var wait time.Duration
		at, err := i.Sync(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			i.opt.Log.Error("certificates could not be kept", "error", err, "again", retry.String())
			wait, retry = retry, min(2*retry, retryLast)
		default:
			retry = retryFirst
			wait = min(max(at.Sub(i.opt.Now()), retryFirst), lookAgain)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-time.After(wait):
		}
	}
}

// Sync does once what is to be done now, and returns when there is more to do. On
// an error what was served before is served on.
func (i *Issuer) Sync(ctx context.Context) (time.Time, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for range conflicts {
		at, err := i.once(ctx)
		if !isRace(err) {
			return at, err
		}
	}
	return time.Time{}, i.failed(fault.Unavailable, errors.New("others change it all the time"))
}

// once is Sync until the first race that is lost.
func (i *Issuer) once(ctx context.Context) (time.Time, error) {
	now := i.opt.Now()
	secret, err := i.read(ctx)
	if err != nil {
		return time.Time{}, err
	}
	m, bad := decode(secret.Data)
	i.report(bad)
	told := i.tell(ctx, m, now)
	if isRace(told) {
		return time.Time{}, told
	}
	p := profile{names: i.opt.Names, caLife: i.opt.CALife, life: i.opt.Life, settled: i.settled(now), now: now}
	next, why, err := p.plan(m)
	if err != nil {
		return time.Time{}, err
	}
	if len(why) == 0 {
		i.serve(m, now)
		return i.due(m, now), told
	}
	if err := i.write(ctx, secret, next); err != nil {
		i.serve(m, now)
		return time.Time{}, err
	}
	i.opt.Log.Info("certificates renewed", "secret", i.name(), "why", strings.Join(why, "; "),
		"expires", next.leaf.NotAfter.UTC().Format(time.RFC3339), "authorities", len(next.authorities))
	told = i.tell(ctx, next, now)
	i.serve(next, now)
	return i.due(next, now), told
}

// isRace says whether another replica was faster.
func isRace(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

// due is when m is to be looked at again; sooner while an authority is new.
func (i *Issuer) due(m material, now time.Time) time.Time {
	at := due(m)
	if len(m.authorities) > 1 && m.authorities[1].key != nil {
		at = earlier(at, now.Add(i.settle()))
	}
	return at
}

// read returns the Secret, an empty one that is nowhere yet if there is none.
func (i *Issuer) read(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := i.opt.Client.Get(ctx, client.ObjectKey{Namespace: i.opt.Namespace, Name: i.opt.Secret}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: i.opt.Namespace, Name: i.opt.Secret,
				Labels: map[string]string{"app.kubernetes.io/managed-by": "gopherwood"},
			},
			Type: corev1.SecretTypeTLS,
		}, nil
	case err != nil:
		return nil, i.failed(codeOf(err), err)
	}
	return secret, nil
}

// write puts m into the Secret. It returns a conflict as the API server says it.
func (i *Issuer) write(ctx context.Context, secret *corev1.Secret, m material) error {
	data, err := m.encode()
	if err != nil {
		return err
	}
	secret = secret.DeepCopy()
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	maps.Copy(secret.Data, data)
	if secret.ResourceVersion == "" {
		err = i.opt.Client.Create(ctx, secret)
	} else {
		err = i.opt.Client.Update(ctx, secret)
	}
	switch {
	case err == nil || isRace(err):
		return err
	case apierrors.IsNotFound(err) && secret.ResourceVersion != "": // deleted since it was read
		return apierrors.NewConflict(corev1.Resource("secrets"), i.opt.Secret, err)
	}
	return i.failed(codeOf(err), err)
}

// tell makes the authorities of m known, and notes since when they are.
func (i *Issuer) tell(ctx context.Context, m material, now time.Time) error {
	if len(m.authorities) == 0 {
		return nil
	}
	changed, err := i.inject.put(ctx, m.bundle())
	for _, name := range changed {
		i.opt.Log.Info("authorities made known", "configuration", name, "authorities", len(m.authorities))
	}
	if err != nil {
		return err
	}
	known := map[string]time.Time{}
	for _, a := range m.authorities {
		id := string(a.cert.Raw)
		known[id] = now
		if since, ok := i.known[id]; ok {
			known[id] = since
		}
	}
	i.known = known
	return nil
}

// settle is how long callers have to learn of a new authority before it signs.
func (i *Issuer) settle() time.Duration { return min(time.Hour, i.opt.CALife/24) }

// settled says of an authority whether callers have had the time to learn of it:
// it is old enough, and this replica has seen it in every target for a while.
func (i *Issuer) settled(now time.Time) func(*x509.Certificate) bool {
	return func(c *x509.Certificate) bool {
		since, ok := i.known[string(c.Raw)]
		return ok && now.Sub(c.NotBefore.Add(skew)) >= i.settle() && now.Sub(since) >= min(time.Minute, i.settle())
	}
}

// serve serves what m has, unless callers would refuse it.
func (i *Issuer) serve(m material, now time.Time) {
	if !m.serves(Names{}, now) {
		return
	}
	if i.set([]*x509.Certificate{m.leaf}, m.key) {
		i.opt.Log.Info("certificate in use", "expires", m.leaf.NotAfter.UTC().Format(time.RFC3339),
			"serial", m.leaf.SerialNumber.Text(16))
	}
}

// report logs what of the Secret cannot be read, once.
func (i *Issuer) report(bad []string) {
	text := strings.Join(bad, ", ")
	if text != "" && text != i.bad {
		i.opt.Log.Warn("the certificate Secret cannot be read and is replaced", "secret", i.name(), "keys", text)
	}
	i.bad = text
}

func (i *Issuer) name() string { return i.opt.Namespace + "/" + i.opt.Secret }

func (i *Issuer) failed(code fault.Code, err error) error {
	e := &fault.Error{Code: code, Op: "keep certificate Secret", Input: i.name(), Err: err}
	if code == fault.Denied {
		e.Hint = "allow the service account get, watch and update of this Secret, and create in its namespace"
	}
	return e
}

// codeOf classifies an answer of the API server.
func codeOf(err error) fault.Code {
	switch {
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fault.Denied
	case apierrors.IsNotFound(err):
		return fault.NotFound
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return fault.Invalid
	case apierrors.IsConflict(err), apierrors.IsTimeout(err), apierrors.IsServerTimeout(err),
		apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err), apierrors.IsInternalError(err):
		return fault.Unavailable
	}
	return fault.CodeOf(err)
}

// object is one that is watched.
type object struct {
	list            client.ObjectList
	namespace, name string
}

func (i *Issuer) watched() []object {
	all := []object{{&corev1.SecretList{}, i.opt.Namespace, i.opt.Secret}}
	for _, name := range i.opt.Targets.Validating {
		all = append(all, object{&admissionv1.ValidatingWebhookConfigurationList{}, "", name})
	}
	for _, name := range i.opt.Targets.Mutating {
		all = append(all, object{&admissionv1.MutatingWebhookConfigurationList{}, "", name})
	}
	return all
}

// watch sends to wake whenever o changes, until ctx ends. What changes while
// there is no watch is seen when the next one begins.
func (i *Issuer) watch(ctx context.Context, o object, wake chan<- struct{}) {
	wait := retryFirst
	for ctx.Err() == nil {
		began := time.Now()
		w, err := i.opt.Client.Watch(ctx, o.list, client.InNamespace(o.namespace), client.MatchingFields{"metadata.name": o.name})
		if err == nil {
			i.forward(ctx, w.ResultChan(), wake)
			w.Stop()
		} else if ctx.Err() == nil {
			i.opt.Log.Warn("certificates: no watch", "object", o.name, "error", err)
		}
		if err == nil && time.Since(began) > retryLast {
			wait = retryFirst
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			wait = min(2*wait, retryLast)
		}
	}
}

// forward turns events into wakes until the watch or ctx ends.
func (i *Issuer) forward(ctx context.Context, events <-chan watch.Event, wake chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-events:
			if !ok {
				return
			}
			select {
			case wake <- struct{}{}:
			default: // one is waiting already
			}
		}
	}
}
