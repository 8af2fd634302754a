//go:build e2e

package fullcluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// How many workloads the load creates in a second, and how many of these requests may
// be unanswered at once.
const (
	loadRate  = 50
	loadLimit = 500
)

// load creates pods and deployments, without keeping them, until it is stopped: by
// turns one that is to be admitted and one that is to be refused.
type load struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu   sync.Mutex
	last tally
	all  tally
}

// tally is what has become of requests.
type tally struct {
	admitted, refused int
	// wrong were admitted and should not have been.
	wrong int
	// failed are requests that the webhook has not answered, or has refused wrongly.
	failed []string
	took   []time.Duration
}

func (a *tally) add(b tally) {
	a.admitted += b.admitted
	a.refused += b.refused
	a.wrong += b.wrong
	a.failed = append(a.failed, b.failed...)
	a.took = append(a.took, b.took...)
}

func (a *tally) String() string {
	n := a.admitted + a.refused + a.wrong + len(a.failed)
	took := slices.Clone(a.took)
	slices.Sort(took)
	at := func(p int) time.Duration {
		if len(took) == 0 {
			return 0
		}
		return took[min(len(took)-1, len(took)*p/100)].Round(time.Millisecond)
	}
	s := fmt.Sprintf("%d requests: %d admitted, %d refused, %d wrongly admitted, %d failed; p50 %v, p99 %v, max %v",
		n, a.admitted, a.refused, a.wrong, len(a.failed), at(50), at(99), at(100))
	if len(a.failed) > 0 {
		s += "; the first failure: " + a.failed[0]
	}
	return s
}

// startLoad begins to create workloads.
func startLoad(t *testing.T, namespace, good, bad string) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{stop: cancel}
	slots := make(chan struct{}, loadLimit)
	l.done.Go(func() {
		tick := time.NewTicker(time.Second / loadRate)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			slots <- struct{}{}
			l.done.Go(func() {
				defer func() { <-slots }()
				l.one(i, namespace, good, bad)
			})
		}
	})
	t.Cleanup(func() { l.end() })
	return l
}

// one creates one workload.
func (l *load) one(i int, namespace, good, bad string) {
	image := good
	if i%2 == 1 {
		image = bad
	}
	name := fmt.Sprintf("load-%d", i)
	var o client.Object = pod(namespace, name, image)
	if i%4 > 1 {
		o = deploymentOn(namespace, name, image, "node-1")
	}
	began := time.Now()
	// What has begun is waited for, also after the end of the load.
	err := lab.api.Create(context.Background(), o, client.DryRunAll)
	one := tally{took: []time.Duration{time.Since(began)}}
	switch {
	case err == nil && image == good:
		one.admitted = 1
	case err == nil:
		one.wrong = 1
	case image == bad && refused(err.Error()):
		one.refused = 1
	default:
		one.failed = []string{err.Error()}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last.add(one)
	l.all.add(one)
}

// take returns what has become of the requests since it was last called.
func (l *load) take() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.last
	l.last = tally{}
	return last
}

// soFar returns what has become of all requests.
func (l *load) soFar() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

// end stops the load, waits for its last request and returns everything.
func (l *load) end() tally {
	l.stop()
	l.done.Wait()
	return l.soFar()
}

// loaded starts the load upon an enforced policy.
func loaded(t *testing.T) *load {
	t.Helper()
	withRelease(t)
	namespace := newNamespace(t)
	goPolicy(t, namespace, v1alpha1.GoPolicySpec{Action: v1alpha1.ActionEnforce})
	good := buildApp(t, "load/good:v1", serving)
	bad := made{program: armProgram}.push(t, "load/bad:v1")
	l := startLoad(t, namespace, good, bad)
	// Both images are known from then on.
	steady(t, l)
	l.take()
	return l
}

// steady waits until requests are answered rightly for a second.
func steady(t *testing.T, l *load) time.Duration {
	t.Helper()
	began := time.Now()
	l.take()
	for time.Since(began) < time.Minute {
		time.Sleep(time.Second)
		if now := l.take(); len(now.failed) == 0 && now.admitted > loadRate/4 && now.refused > loadRate/4 {
			return time.Since(began) - time.Second
		}
	}
	all := l.soFar()
	t.Fatalf("requests are not answered rightly a minute later: %v", &all)
	return 0
}

// TestRollingUpdate restarts the webhook's replicas one by one under load, twice:
// no request fails.
func TestRollingUpdate(t *testing.T) {
	l := loaded(t)
	for range 2 {
		before := podsOf(t, "webhook")
		began := time.Now()
		mustKubectl(t, "rollout", "restart", "-n", systemNamespace, "deployment/"+webhookName)
		mustKubectl(t, "rollout", "status", "-n", systemNamespace, "deployment/"+webhookName, "--timeout=120s")
		rolled := time.Since(began)
		until(t, time.Minute, "the old replicas have drained", func() error { return gone(t, before) })
		now := l.take()
		t.Logf("rolling update in %s, the old replicas are gone after %s: %v", seconds(rolled), seconds(time.Since(began)), &now)
	}
	all := l.end()
	if len(all.failed) > 0 || all.wrong > 0 {
		t.Errorf("%d requests failed and %d were wrongly admitted: %q", len(all.failed), all.wrong, all.failed[:min(5, len(all.failed))])
	}
	if all.admitted < loadRate || all.refused < loadRate {
		t.Errorf("the load was too little: %v", &all)
	}
}

// gone says which of the pods are still there.
func gone(t *testing.T, pods []corev1.Pod) error {
	t.Helper()
	for _, p := range pods {
		var now corev1.Pod
		err := lab.api.Get(t.Context(), client.ObjectKeyFromObject(&p), &now)
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		if err == nil && now.UID == p.UID {
			return fmt.Errorf("%s is there", p.Name)
		}
	}
	return nil
}

// TestKilled kills replicas of the webhook under load: nothing is wrongly
// admitted, and all is well again soon.
func TestKilled(t *testing.T) {
	l := loaded(t)
	for _, test := range []struct {
		name string
		kill func(*testing.T)
	}{
		{"process of one", func(t *testing.T) { killProcesses(t, podsOf(t, "webhook")[:1]) }},
		{"pod of one, by force", func(t *testing.T) { deletePods(t, podsOf(t, "webhook")[:1]) }},
		{"processes of all", func(t *testing.T) { killProcesses(t, podsOf(t, "webhook")) }},
		{"pods of all, by force", func(t *testing.T) { deletePods(t, podsOf(t, "webhook")) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			l.take()
			before := l.soFar()
			began := time.Now()
			test.kill(t)
			after := steady(t, l)
			mustKubectl(t, "rollout", "status", "-n", systemNamespace, "deployment/"+webhookName, "--timeout=60s")
			now := l.soFar()
			since := tally{now.admitted - before.admitted, now.refused - before.refused, now.wrong - before.wrong, now.failed[len(before.failed):], now.took[len(before.took):]}
			t.Logf("right again after %s, all replicas ready after %s: %v", seconds(after), seconds(time.Since(began)), &since)
			if since.wrong > 0 {
				t.Errorf("%d pods were wrongly admitted", since.wrong)
			}
		})
	}
}

// killProcesses kills the processes in pods, which the kubelet starts again.
func killProcesses(t *testing.T, pods []corev1.Pod) {
	t.Helper()
	for _, p := range pods {
		pid, err := processOf(&p, "gopherwood")
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// deletePods deletes pods without giving them time.
func deletePods(t *testing.T, pods []corev1.Pod) {
	t.Helper()
	args := []string{"delete", "pod", "-n", systemNamespace, "--force", "--grace-period=0", "--wait=false"}
	for _, p := range pods {
		args = append(args, p.Name)
	}
	mustKubectl(t, args...)
}
