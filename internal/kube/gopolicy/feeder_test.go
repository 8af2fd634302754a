package gopolicy

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	fcache "k8s.io/client-go/tools/cache/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// source is a watch in memory, below real informers.
type source struct {
	policies, clusterPolicies *fcache.FakeControllerSource
	informers                 map[bool]toolscache.SharedIndexInformer
	err                       error
}

func newSource(t *testing.T, objects ...runtime.Object) *source {
	t.Helper()
	s := &source{policies: fcache.NewFakeControllerSource(), clusterPolicies: fcache.NewFakeControllerSource()}
	for _, o := range objects {
		s.of(o).Add(o)
	}
	s.informers = map[bool]toolscache.SharedIndexInformer{
		true:  toolscache.NewSharedIndexInformer(s.clusterPolicies, &v1alpha1.ClusterGoPolicy{}, 0, nil),
		false: toolscache.NewSharedIndexInformer(s.policies, &v1alpha1.GoPolicy{}, 0, nil),
	}
	return s
}

func (s *source) of(o runtime.Object) *fcache.FakeControllerSource {
	if _, ok := o.(*v1alpha1.ClusterGoPolicy); ok {
		return s.clusterPolicies
	}
	return s.policies
}

func (s *source) GetInformer(_ context.Context, o client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	_, isCluster := o.(*v1alpha1.ClusterGoPolicy)
	return s.informers[isCluster], s.err
}

// run starts the informers; they end with the test.
func (s *source) run(t *testing.T) {
	var done sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for _, i := range s.informers {
		done.Go(func() { i.Run(ctx.Done()) })
	}
	t.Cleanup(func() { cancel(); done.Wait() })
}

// safeBuffer is a log that is read while it is written.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// eventually waits until the names of what is in force are as wanted.
func eventually(t *testing.T, s *Set, want ...string) {
	t.Helper()
	var got []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = names(s.All()); strings.Join(got, "\n") == strings.Join(want, "\n") {
			return
		}
	}
	t.Fatalf("in force is %q, want %q", got, want)
}

func TestFeeder(t *testing.T) {
	gone := namespaced("team-a", "gone", 1, rule("x/y", fine))
	src := newSource(t, cluster("base", 1, rule("x/y", fine)), gone, kept(4, 2, fine))
	var log safeBuffer
	var set Set
	feeder := &Feeder{Informers: src, Set: &set, Log: slog.New(slog.NewTextHandler(&log, nil))}
	if feeder.NeedLeaderElection() {
		t.Error("only the elected replica would judge")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- feeder.Start(ctx) }()
	time.Sleep(20 * time.Millisecond)
	if set.Ready() {
		t.Error("the set is ready before there was a list")
	}
	src.run(t)
	for deadline := time.Now().Add(20 * time.Second); !set.Ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the set does not become ready")
		}
	}
	// Ready means that all of the first list is in force.
	want(t, set.All(), "ClusterGoPolicy base@1", "GoPolicy team-a/gone@1", "GoPolicy team-a/p@2")

	src.clusterPolicies.Modify(cluster("base", 2, rule("x/y", broken)))
	src.policies.Delete(gone)
	src.policies.Add(namespaced("team-b", "new", 1, rule("x/y", fine)))
	eventually(t, &set, "ClusterGoPolicy base@1", "GoPolicy team-a/p@2", "GoPolicy team-b/new@1")
	src.clusterPolicies.Modify(cluster("base", 3, rule("x/y", fine)))
	eventually(t, &set, "ClusterGoPolicy base@3", "GoPolicy team-a/p@2", "GoPolicy team-b/new@1")

	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, line := range []string{
		`level=INFO msg="policy is in force" policy="ClusterGoPolicy base" generation=1 inForce=1`,
		`level=ERROR msg="policy does not compile" policy="GoPolicy team-a/p" generation=4 inForce=2 error="rules[0].require:2:7: undefined field 'nonsense'"`,
		`level=INFO msg="policy is removed" policy="GoPolicy team-a/gone"`,
	} {
		for deadline := time.Now().Add(20 * time.Second); !strings.Contains(log.String(), line); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the log does not say %s:\n%s", line, log.String())
			}
		}
	}
}

func TestFeederWithoutDefinitions(t *testing.T) {
	src := newSource(t)
	src.err = errors.New("no matches for kind")
	err := (&Feeder{Informers: src, Set: &Set{}}).Start(t.Context())
	if fault.CodeOf(err) != fault.Unavailable || fault.HintOf(err) == "" {
		t.Errorf("error %v", err)
	}
}

// The news of an end that came late, with the last state that was seen.
func TestFeederTombstone(t *testing.T) {
	var set Set
	feeder := &Feeder{Set: &set}
	o := cluster("base", 1, rule("x/y", fine))
	feeder.apply(o)
	feeder.apply("no policy")
	feeder.remove(toolscache.DeletedFinalStateUnknown{Key: "base", Obj: o})
	want(t, set.All())
}
