//go:build controlplane || e2e

package controlplane

import (
	"archive/tar"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/stream"
)

// strict makes a namespace with the built-in policy, and an image that it passes
// and one that it denies, which the webhook knows already.
func strict(t *testing.T, name string) (namespace, fine, bad string) {
	t.Helper()
	namespace = newNamespace(t)
	inForce(t, goPolicy(namespace, "strict"))
	fine, _ = lab.registry.push(t, name+"/fine:v1", made{program: good})
	bad, _ = lab.registry.push(t, name+"/bad:v1", made{program: forLoader})
	requireNoError(t, lab.api.Create(t.Context(), pod(namespace, "first", fine)), "pod")
	return namespace, fine, bad
}

// TestRollingUpdate replaces every replica under load, as a Deployment does: the
// new one answers before the old one is asked to end, and the Service learns of
// that a little later. Nobody is turned away.
func TestRollingUpdate(t *testing.T) {
	old := startWebhooks(t, 2)
	namespace, fine, bad := strict(t, "rolling")
	l := startLoad(t, namespace, fine, bad, 50)
	for _, r := range old {
		next := startReplica(t)
		next.join(t)
		time.Sleep(200 * time.Millisecond)
		r.terminate(t)
		time.Sleep(500 * time.Millisecond)
		lab.webhooks.remove(r.serving)
		if code := r.wait(t, 20*time.Second); code != 0 {
			t.Errorf("a replica that was asked to end has ended with %d", code)
		}
	}
	time.Sleep(500 * time.Millisecond)
	l.end(t, "rolling update of 2 replicas").requireNone(t)
}

// TestReplicaKilled kills one of two replicas under load. Requests that it was
// answering fail; nothing is admitted instead, and the other one takes over.
func TestReplicaKilled(t *testing.T) {
	replicas := startWebhooks(t, 2)
	namespace, fine, bad := strict(t, "killed")
	asked := func(r replica) float64 { return r.metric(t, "gopherwood_admission_duration_seconds_count") }
	victim, other := replicas[0], replicas[1]
	if asked(victim) < asked(other) {
		victim, other = other, victim
	}
	l := startLoad(t, namespace, fine, bad, 50)
	time.Sleep(time.Second)
	victim.kill()
	killed := time.Now()
	time.Sleep(time.Second) // until the probes have noticed
	lab.webhooks.remove(victim.serving)
	time.Sleep(time.Second)
	o := l.end(t, "one of 2 replicas killed")
	for _, a := range o.failed {
		if late := a.at.Sub(killed); late > 1500*time.Millisecond {
			t.Errorf("a request failed %v after the replica was gone: %v", late, a.err)
		}
	}
	if asked(other) == 0 {
		t.Error("the other replica was not asked")
	}
}

// TestAPIServerRestarts kills the API server under load and starts it again. The
// webhook goes on by itself and hears of what changes.
func TestAPIServerRestarts(t *testing.T) {
	replicas := startWebhooks(t, 2)
	namespace, fine, bad := strict(t, "restart")
	l := startLoad(t, namespace, fine, bad, 20)
	time.Sleep(500 * time.Millisecond)
	begin := time.Now()
	if err := lab.cluster.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the API server was away for %v", time.Since(begin).Round(time.Millisecond))
	back := time.Now()
	until(t, 20*time.Second, "a pod is admitted again", func() error {
		return lab.api.Create(t.Context(), pod(namespace, "after", fine))
	})
	t.Logf("the first pod was admitted %v after it was back", time.Since(back).Round(time.Millisecond))
	requireRefused(t, lab.api.Create(t.Context(), pod(namespace, "bad-after", bad)), "start/interpreter-missing")
	time.Sleep(time.Second)
	l.end(t, "API server restarted")
	for i, r := range replicas {
		if err := r.ready(); err != nil {
			t.Errorf("replica %d: %v", i, err)
		}
	}
	// What has changed since is heard of: a policy that denies everything.
	p := goPolicy(namespace, "nothing", rules(rule("a/never", "false")))
	apply(t, p)
	until(t, 30*time.Second, "a new policy is in force", func() error {
		if err := lab.api.Create(t.Context(), pod(namespace, "never", fine)); !refused(err) {
			return fmt.Errorf("pod: %w", err)
		}
		return nil
	})
	t.Logf("a new policy was in force %v after the API server was back", time.Since(back).Round(time.Millisecond))
	settled(t, p)
}

// TestMillionFiles has an image of a million files, and one of as many as are
// still read. The memory stays bounded and others do not wait.
func TestMillionFiles(t *testing.T) {
	replicas := startWebhooks(t, 1)
	namespace, fine, _ := strict(t, "files")
	many := manyFiles(t, "files/many:v1", 1_000_000)
	large := manyFiles(t, "files/large:v1", 150_000)
	refusal := make(chan error, 1)
	begin := time.Now()
	go func() { refusal <- lab.api.Create(t.Context(), pod(namespace, "many", many)) }()
	var others []answered
	var err error
	for waiting, i := true, 0; waiting; i++ {
		other, _ := lab.registry.push(t, fmt.Sprintf("files/other-%d:v1", i), made{program: good, mark: fmt.Sprint("files ", i)})
		begin := time.Now()
		requireNoError(t, lab.api.Create(t.Context(), pod(namespace, fmt.Sprintf("other-%d", i), other)), "pod of a new image")
		requireNoError(t, lab.api.Create(t.Context(), pod(namespace, fmt.Sprintf("fine-%d", i), fine)), "pod of an image that is known")
		others = append(others, answered{took: time.Since(begin)})
		select {
		case err = <-refusal:
			waiting = false
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Logf("a million files: after %v: %v", time.Since(begin).Round(time.Millisecond), err)
	t.Logf("others meanwhile: %s", percentiles(tookOf(others)))
	requireRefused(t, err, "container app, image "+many)
	// When it was not known in time, it is now or soon.
	until(t, 60*time.Second, "the limit is named", func() error {
		err := lab.api.Create(t.Context(), pod(namespace, "many", many))
		if err == nil {
			t.Fatal("an image that was not looked at was admitted")
		}
		if !strings.Contains(err.Error(), "200000") {
			return err
		}
		t.Logf("later: %v", err)
		return nil
	})
	until(t, 60*time.Second, "150,000 files are read", func() error {
		return lab.api.Create(t.Context(), pod(namespace, "large", large))
	})
	replicas[0].requireRSS(t, "the webhook")
}

// manyFiles pushes an image of a program and n empty files.
func manyFiles(t *testing.T, repository string, n int) string {
	t.Helper()
	r, w := io.Pipe()
	program := lab.programs.get(t, good)
	go func() { w.CloseWithError(writeMany(w, program, n)) }()
	ref, _ := lab.registry.pushImage(t, repository, imageOf(t, made{}, stream.NewLayer(r, stream.WithCompressionLevel(1))))
	return ref
}

func writeMany(w io.Writer, program []byte, n int) error {
	t := tar.NewWriter(w)
	if err := t.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if _, err := t.Write(program); err != nil {
		return err
	}
	for i := range n {
		name := fmt.Sprintf("data/directory-%d/file-%d.txt", i/1000, i)
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			return err
		}
	}
	return t.Close()
}
