//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

// The limits of admission.
const (
	warmLimit    = 0.010       // seconds that the webhooks may add to the 99th percentile
	peerLimit    = 0.2         // × what Kyverno adds to it
	coldLimit    = 1.0         // seconds from the request to the answer, 99th percentile
	memoryAtMost = 200_000_000 // bytes of a webhook
)

// How admission is measured.
const (
	admissionRate = 200 // pods a second
	warmImages    = 12
	sliceTime     = 5 * time.Second
	warmUp        = 2 * time.Second
	settle        = 300 * time.Millisecond // between slices
	// reachAtLeast is the lowest rate that a comparison makes sense with.
	reachAtLeast = 10
)

// measureAdmission adds the part about `gopherwood webhook` to the report: pods are
// created through a real API server, in namespaces about which it asks nobody,
// gopherwood, or Kyverno. The slices of time of these follow one another in turns.
// The requests are server-side dry runs, everywhere alike, unless -write says
// otherwise: the writes of a small machine's etcd would drown what is measured.
func measureAdmission(ctx context.Context, s settings, work string, r *report) error {
	paths, err := buildKyverno(ctx, s.cache)
	if err != nil {
		return err
	}
	program, err := natsServer.build(ctx, s.cache)
	if err != nil {
		return err
	}
	if s.prepare {
		_, err := cluster.Build(ctx, cluster.APIServer, nil)
		return err
	}
	r.Versions["kyverno"], r.Versions["kubernetes"] = kyverno.version, cluster.Version
	k, err := startKube(ctx, work, cluster.Config{})
	if err != nil {
		return err
	}
	defer k.stop()
	k.write = s.write
	b := &admissionBench{kube: k, program: program, rounds: s.rounds}
	defer b.close()
	if err := b.prepare(ctx, s.command, paths); err != nil {
		return err
	}
	warm, err := b.warm(ctx)
	if err != nil {
		return err
	}
	r.Results = append(r.Results, warm...)
	b.kyverno.stop()
	cold, err := b.cold(ctx)
	r.Results = append(r.Results, cold...)
	return err
}

// admissionBench is where admission is measured.
type admissionBench struct {
	*kube
	program string
	rounds  int
	webhook *process
	kyverno *process
	// policy is the one of Kyverno's that it is measured with.
	policy kyvernoPolicy
	// nobody, ours and theirs are asked about at the same rate, which Kyverno keeps up
	// with; full and fullNobody at the whole one. These are the same arms where Kyverno
	// keeps up with that.
	nobody, ours, theirs *arm
	full, fullNobody     *arm
	ourShelf, theirShelf *shelf
	// sent counts the batches of pods, for their names.
	sent int
}

// arm is a namespace in which pods are created, and what became of them.
type arm struct {
	namespace string
	shelf     *shelf
	images    []string
	root      string
	// engine is who is asked about the pods; nil is nobody.
	engine *process
	rate   int
	slices []slice
	// requests are those that its registry was sent during the slices; busy is the
	// processor time of its engine, apiBusy that of the API server.
	requests      int
	busy, apiBusy time.Duration
}

// at is the same arm at another rate, with nothing measured yet.
func (a *arm) at(rate int) *arm {
	other := *a
	other.rate = rate
	return &other
}

func (b *admissionBench) close() {
	for _, p := range []*process{b.webhook, b.kyverno} {
		if p != nil {
			p.stop()
		}
	}
	for _, s := range []*shelf{b.ourShelf, b.theirShelf} {
		if s != nil {
			s.server.Close()
		}
	}
}

// prepare starts both engines, each with its own registry, and has them refuse
// what they are to refuse.
func (b *admissionBench) prepare(ctx context.Context, gopherwood string, paths kyvernoPaths) (err error) {
	if b.ourShelf, err = newShelf(filepath.Join(b.dir, "registry-ours")); err != nil {
		return err
	}
	if b.theirShelf, err = newShelf(filepath.Join(b.dir, "registry-theirs")); err != nil {
		return err
	}
	b.nobody = &arm{namespace: "nobody", shelf: b.ourShelf, rate: admissionRate}
	b.ours = &arm{namespace: "gopherwood", shelf: b.ourShelf, rate: admissionRate}
	b.theirs = &arm{namespace: "kyverno-pods", shelf: b.theirShelf, rate: admissionRate}
	for _, a := range []*arm{b.nobody, b.ours, b.theirs} {
		label := strings.TrimSuffix(a.namespace, "-pods")
		if err := b.namespace(ctx, a.namespace, map[string]string{"bench": label}); err != nil {
			return err
		}
		if err := b.stock(ctx, a); err != nil {
			return err
		}
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	if err := b.install(ctx, gopherwood, address); err != nil {
		return err
	}
	if b.webhook, err = b.startWebhook(ctx, gopherwood, address, b.ourShelf.host); err != nil {
		return err
	}
	if err := b.object(ctx, ourPolicy); err != nil {
		return err
	}
	if err := b.refuses(ctx, b.ours, b.webhook); err != nil {
		return err
	}
	if b.kyverno, err = b.startKyverno(ctx, paths); err != nil {
		return err
	}
	b.ours.engine, b.theirs.engine = b.webhook, b.kyverno
	if err := b.choosePolicy(ctx); err != nil {
		return err
	}
	b.full, b.fullNobody = b.ours, b.nobody
	if b.theirs.rate != admissionRate {
		b.ours, b.nobody = b.ours.at(b.theirs.rate), b.nobody.at(b.theirs.rate)
	}
	return nil
}

// ourPolicy is the built-in policy, and what Kyverno's policies demand.
const ourPolicy = `
apiVersion: gopherwood.dev/v1alpha1
kind: ClusterGoPolicy
metadata: {name: bench}
spec:
  action: enforce
  extends: default
  rules:
  - id: bench/user
    scope: image
    severity: deny
    require: "!(image.user in ['', '0', 'root'])"
    message: the image runs as root
`

// stock fills the arm's registry with the images of its pods.
func (b *admissionBench) stock(ctx context.Context, a *arm) (err error) {
	for i := range warmImages {
		image, err := baked{program: b.program, mark: marked("warm", i), user: "65532:65532"}.bake()
		if err != nil {
			return err
		}
		ref, err := a.shelf.push(ctx, fmt.Sprintf("warm/app-%d:v1", i), image)
		if err != nil {
			return err
		}
		a.images = append(a.images, ref)
	}
	image, err := baked{program: b.program, mark: marked("root", 0), user: "root"}.bake()
	if err != nil {
		return err
	}
	a.root, err = a.shelf.push(ctx, "warm/root:v1", image)
	return err
}

// pod creates a pod in the arm's namespace.
func (b *admissionBench) pod(ctx context.Context, a *arm, image string, i int) error {
	return b.post(ctx, a.namespace, fmt.Sprintf("p-%d-%d", b.sent, i), image)
}

// refuses waits until the arm's engine refuses an image that runs as root, and
// holds it to admit the others.
func (b *admissionBench) refuses(ctx context.Context, a *arm, p *process) error {
	err := p.waitFor(ctx, time.Minute, func() error {
		b.sent++
		err := b.pod(ctx, a, a.root, 0)
		if err == nil {
			return errors.New("an image that runs as root is admitted")
		}
		if !strings.Contains(err.Error(), "runs as root") {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.sent++
	for i, image := range a.images {
		if err := b.pod(ctx, a, image, i); err != nil {
			return fmt.Errorf("%s: %w\n%s", a.namespace, err, p.tail())
		}
	}
	return nil
}

// choosePolicy finds out which of Kyverno's policies is the faster one, and at
// which rate it keeps up. It leaves that one in force.
func (b *admissionBench) choosePolicy(ctx context.Context) error {
	best := -1
	var rates []int
	var p99 []float64
	for i, p := range kyvernoPolicies {
		if err := b.enforce(ctx, p); err != nil {
			return err
		}
		s, err := b.reach(ctx, b.theirs)
		if err != nil {
			return fmt.Errorf("%s: %w", p.kind, err)
		}
		rates, p99 = append(rates, b.theirs.rate), append(p99, quantile(s.took, 0.99))
		fmt.Fprintf(os.Stderr, "bench: Kyverno's %s: %d pods/s, p50 %s, p99 %s\n", p.kind, b.theirs.rate,
			milliseconds(quantile(s.took, 0.5)), milliseconds(p99[i]))
		if best < 0 || rates[i] > rates[best] || rates[i] == rates[best] && p99[i] < p99[best] {
			best = i
		}
		if err := b.withdraw(ctx, p); err != nil {
			return err
		}
	}
	b.policy, b.theirs.rate = kyvernoPolicies[best], rates[best]
	return b.enforce(ctx, b.policy)
}

// enforce brings one of Kyverno's policies into force.
func (b *admissionBench) enforce(ctx context.Context, p kyvernoPolicy) error {
	if err := b.object(ctx, p.text); err != nil {
		return err
	}
	if err := b.refuses(ctx, b.theirs, b.kyverno); err != nil {
		return fmt.Errorf("%s: %w", p.kind, err)
	}
	return nil
}

// withdraw deletes it, and waits until it is no longer in force.
func (b *admissionBench) withdraw(ctx context.Context, p kyvernoPolicy) error {
	for _, o := range documents([]byte(p.text)) {
		if err := client.IgnoreNotFound(b.api.Delete(ctx, o)); err != nil {
			return err
		}
	}
	return b.kyverno.waitFor(ctx, time.Minute, func() error {
		b.sent++
		return b.pod(ctx, b.theirs, b.theirs.root, 0)
	})
}

// reach lowers the arm's rate until its engine keeps up: nothing fails, and less
// than what comes in a second is unanswered. It returns the last slice.
func (b *admissionBench) reach(ctx context.Context, a *arm) (slice, error) {
	for a.rate = admissionRate; ; a.rate /= 2 {
		b.slice(ctx, a, warmUp)
		s := b.slice(ctx, a, sliceTime)
		if s.failed == 0 && s.most < a.rate {
			return s, ctx.Err()
		}
		fmt.Fprintf(os.Stderr, "bench: %s does not keep up with %d pods/s: %d failed, %d unanswered at once\n", a.namespace, a.rate, s.failed, s.most)
		if a.rate/2 < reachAtLeast {
			return s, fmt.Errorf("%d pods a second are too many: %w", a.rate, s.err)
		}
		time.Sleep(warmUp)
	}
}

// slice creates pods in the arm's namespace for a while.
func (b *admissionBench) slice(ctx context.Context, a *arm, span time.Duration) slice {
	b.sent++
	s := openLoop(ctx, a.rate, span, 2*a.rate, func(i int) error { return b.pod(ctx, a, a.images[i%len(a.images)], i) })
	time.Sleep(settle)
	return s
}

// arms are those whose slices are compared.
func (b *admissionBench) arms() []*arm {
	arms := []*arm{b.nobody, b.ours, b.theirs}
	if b.full != b.ours {
		arms = append(arms, b.fullNobody, b.full)
	}
	return arms
}

// warm measures with images that are known.
func (b *admissionBench) warm(ctx context.Context) ([]result, error) {
	arms := b.arms()
	for _, a := range arms {
		b.slice(ctx, a, warmUp)
	}
	before, err := b.scrape(ctx, b.cluster.APIServerURL()+"/metrics")
	if err != nil {
		return nil, err
	}
	for round := range b.rounds {
		for i := range arms {
			if err := b.measure(ctx, arms[(round+i)%len(arms)]); err != nil {
				return nil, err
			}
		}
	}
	after, err := b.scrape(ctx, b.cluster.APIServerURL()+"/metrics")
	if err != nil {
		return nil, err
	}
	memory, err := b.webhook.memory("VmHWM")
	if err != nil {
		return nil, err
	}
	return append(b.results(before, after), result{Name: "webhook: memory at most, known images", Unit: "bytes", Value: memory, Limit: memoryAtMost}), nil
}

// measure adds a slice to an arm.
func (b *admissionBench) measure(ctx context.Context, a *arm) error {
	engine, server, err := b.processors(a)
	if err != nil {
		return err
	}
	a.shelf.forget()
	s := b.slice(ctx, a, sliceTime)
	a.requests += a.shelf.asked()
	engineAfter, serverAfter, err := b.processors(a)
	if err != nil {
		return err
	}
	a.busy += engineAfter - engine
	a.apiBusy += serverAfter - server
	a.slices = append(a.slices, s)
	if s.failed > 0 && a != b.theirs {
		return fmt.Errorf("%s: %d of %d pods were not created: %w\n%s", a.namespace, s.failed, len(s.took), s.err, b.webhook.tail())
	}
	return ctx.Err()
}

// processors is the processor time of the arm's engine and of the API server.
func (b *admissionBench) processors(a *arm) (engine, server time.Duration, err error) {
	if a.engine != nil {
		if engine, err = a.engine.processor(); err != nil {
			return 0, 0, err
		}
	}
	server, err = processorOf(b.cluster.PID("kube-apiserver"))
	return engine, server, err
}

// results is what the slices say.
func (b *admissionBench) results(before, after metrics) []result {
	theirName := "kyverno's " + b.policy.kind
	at := fmt.Sprintf(" at %d pods/s", b.theirs.rate)
	full99, full50 := added(b.full, b.fullNobody, 0.99), added(b.full, b.fullNobody, 0.5)
	ours99, theirs99 := added(b.ours, b.nobody, 0.99), added(b.theirs, b.nobody, 0.99)
	ours50, theirs50 := added(b.ours, b.nobody, 0.5), added(b.theirs, b.nobody, 0.5)
	all := []result{
		spread(fmt.Sprintf("warm: added by the webhooks at %d pods/s, p99", admissionRate), warmLimit, full99),
		informative(spread(fmt.Sprintf("warm: added by the webhooks at %d pods/s, p50", admissionRate), 0, full50)),
		compared("warm: p99 added / "+theirName+at, peerLimit, ours99, theirs99),
		informative(compared("warm: p50 added / "+theirName+at, 0, ours50, theirs50)),
	}
	for _, a := range b.named() {
		for _, q := range []float64{0.5, 0.99} {
			all = append(all, informative(a.created(fmt.Sprintf("warm: pod created with %s at %d pods/s, p%.0f", a.name, a.rate, 100*q), q)))
		}
	}
	for _, hook := range []struct{ what, name, kind string }{
		{"gopherwood validating", "workloads.gopherwood.dev", "validating"},
		{"gopherwood mutating", "workloads.gopherwood.dev", "admit"},
		{theirName, "kyverno", "validating"},
	} {
		all = append(all, informative(hookMean(before, after, hook.what, hook.name, hook.kind)))
	}
	for _, a := range b.named() {
		n := float64(len(pooled(a.slices)))
		all = append(all, informative(result{Name: fmt.Sprintf("warm: processor time of the API server for a pod, %s at %d pods/s", a.name, a.rate), Unit: "seconds", Value: a.apiBusy.Seconds() / n}))
		if a.engine == nil || a.arm == b.ours && b.full != b.ours {
			continue
		}
		all = append(all,
			informative(result{Name: "warm: processor time for a pod, " + a.name, Unit: "seconds", Value: a.busy.Seconds() / n}),
			informative(result{Name: "warm: registry requests for 1000 pods, " + a.name, Unit: "count", Value: 1000 * float64(a.requests) / n}))
	}
	if n := failures(b.theirs); n > 0 {
		all = append(all, informative(result{Name: "warm: pods not created, " + theirName, Unit: "count", Value: float64(n)}))
	}
	return all
}

// namedArm is an arm with what it is called in the report.
type namedArm struct {
	*arm
	name string
}

func (b *admissionBench) named() []namedArm {
	all := []namedArm{{b.fullNobody, "no webhook"}, {b.full, "gopherwood"}}
	if b.full != b.ours {
		all = append(all, namedArm{b.nobody, "no webhook"}, namedArm{b.ours, "gopherwood"})
	}
	return append(all, namedArm{b.theirs, "kyverno's " + b.policy.kind})
}

func failures(a *arm) int {
	n := 0
	for _, s := range a.slices {
		n += s.failed
	}
	return n
}

// added is what an arm has above the other at a quantile, round by round, in
// seconds.
func added(a, nobody *arm, q float64) []float64 {
	var all []float64
	for i, s := range a.slices {
		all = append(all, quantile(s.took, q)-quantile(nobody.slices[i].took, q))
	}
	return all
}

// created is a quantile of all slices together.
func (a *arm) created(name string, q float64) result {
	r := result{Name: name, Unit: "seconds", Value: quantile(pooled(a.slices), q)}
	var each []float64
	for _, s := range a.slices {
		each = append(each, quantile(s.took, q))
	}
	r.Least, r.Most = slices.Min(each), slices.Max(each)
	return r
}

// spread is the median of seconds, with the least and the most.
func spread(name string, limit float64, seconds []float64) result {
	return result{Name: name, Unit: "seconds", Value: median(seconds), Limit: limit, Least: slices.Min(seconds), Most: slices.Max(seconds)}
}

// compared divides ours by theirs: the medians, and round by round. Where theirs
// have added nothing, the machine was too busy to compare anything.
func compared(name string, limit float64, ours, theirs []float64) result {
	var ratios []float64
	for i := range ours {
		ratios = append(ratios, ours[i]/theirs[i])
	}
	return result{
		Name: name, Unit: "ratio", Value: median(ours) / median(theirs), Limit: limit, Ours: median(ours), Theirs: median(theirs),
		Least: slices.Min(ratios), Most: slices.Max(ratios), Noise: median(theirs) <= 0,
	}
}

func informative(r result) result {
	r.NoLimit = true
	return r
}

// hookMean is how long the API server says that it waited for a webhook.
func hookMean(before, after metrics, what, name, kind string) result {
	const metric = "apiserver_admission_webhook_admission_duration_seconds"
	total := func(m metrics, suffix string) float64 {
		return m.sum(metric+suffix, name, `type="`+kind+`"`, `operation="CREATE"`)
	}
	n := total(after, "_count") - total(before, "_count")
	sum := total(after, "_sum") - total(before, "_sum")
	return result{Name: "warm: one call as the API server measures it, mean, " + what, Unit: "seconds", Value: sum / n}
}
