//go:build e2e

package fullcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// The bound of a cold start, and how it is measured.
const (
	coldStart    = 800 * time.Millisecond
	coldRuns     = 9
	coldAttempts = 3
	// idleWait is how long the machine is waited for to have nothing else to do.
	idleWait = 30 * time.Second
)

// TestColdStart measures the time from the request that creates a pod to the first
// answer of its program, with the webhook on and the image on the node. What else
// the machine does counts, so it is measured when that is little.
func TestColdStart(t *testing.T) {
	withRelease(t)
	namespace := newNamespace(t)
	goPolicy(t, namespace, v1alpha1.GoPolicySpec{
		Action: v1alpha1.ActionEnforce,
		Mutate: &v1alpha1.Mutate{MemoryLimit: &v1alpha1.MemoryLimit{Percent: 90}, MaxProcs: true},
	})
	image := buildApp(t, "cold/start:v1", serving)
	once(t, namespace, "first", image) // pulls the image
	for attempt := 1; ; attempt++ {
		t.Logf("before attempt %d the machine's processors are busy to %.0f %%", attempt, 100*whenIdle(t))
		before := webhookTime(t)
		var all []time.Duration
		for i := range coldRuns {
			all = append(all, once(t, namespace, fmt.Sprintf("run-%d-%d", attempt, i), image))
		}
		share := webhookTime(t).minus(before)
		slices.Sort(all)
		median := all[len(all)/2]
		t.Logf("POST of a pod to its first HTTP answer: median %d ms, %d to %d ms, n=%d; of that %.1f ms a pod in the webhook (%d requests)",
			median.Milliseconds(), all[0].Milliseconds(), all[len(all)-1].Milliseconds(), len(all),
			share.seconds*1000/float64(len(all)), share.requests)
		if share.requests < len(all) {
			t.Errorf("the webhook was asked %d times about %d pods", share.requests, len(all))
		}
		if median < coldStart {
			return
		}
		if attempt == coldAttempts {
			t.Errorf("the median of cold starts is %v in the last of %d attempts, want less than %v", median, attempt, coldStart)
			return
		}
	}
}

// whenIdle waits until the machine has little to do, or for idleWait, and returns
// which part of its processors' time was used in the last second.
func whenIdle(t *testing.T) float64 {
	t.Helper()
	end := time.Now().Add(idleWait)
	for {
		busy, all := processorTime(t)
		time.Sleep(time.Second)
		busyNow, allNow := processorTime(t)
		part := (busyNow - busy) / (allNow - all)
		if part < 0.3 || time.Now().After(end) {
			return part
		}
	}
}

// processorTime is how long the machine's processors have been busy, and have been
// there, in the kernel's ticks.
func processorTime(t *testing.T) (busy, all float64) {
	t.Helper()
	text, _, _ := strings.Cut(string(mustRead(t, "/proc/stat")), "\n")
	for i, field := range strings.Fields(text)[1:9] { // user to steal
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			t.Fatal(err)
		}
		all += n
		if i != 3 && i != 4 { // idle, iowait
			busy += n
		}
	}
	return busy, all
}

// once creates a pod, waits for its first answer and removes it. The pod's address
// is known as soon as the node has given it; the API server is told later, when
// the kubelet has looked at its containers again.
func once(t *testing.T, namespace, name, image string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before := podAddresses(t)
	p := pod(namespace, name, image)
	began := time.Now()
	if err := lab.api.Create(ctx, p); err != nil {
		t.Fatal(err)
	}
	address := newAddress(ctx, t, before)
	// A request before the pod's network is up would be held for a second; the
	// program starts later than this.
	time.Sleep(30 * time.Millisecond)
	for ask(address) != nil {
		if ctx.Err() != nil {
			t.Fatalf("pod %s does not answer at %s: %s", name, address, fate(t, namespace, name))
		}
		time.Sleep(2 * time.Millisecond)
	}
	took := time.Since(began)
	until(t, 30*time.Second, "the pod's address is known", func() error {
		if err := lab.api.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		if p.Status.PodIP != address {
			return fmt.Errorf("it is %q, and %s has answered", p.Status.PodIP, address)
		}
		return nil
	})
	if err := lab.api.Delete(ctx, p); err != nil {
		t.Fatal(err)
	}
	until(t, 30*time.Second, "the pod is gone", func() error {
		if err := lab.api.Get(ctx, client.ObjectKeyFromObject(p), p); client.IgnoreNotFound(err) != nil || err == nil {
			return errors.New("it is there")
		}
		return nil
	})
	return took
}

// podAddresses are the addresses that the node has given to pods: a file each, of
// the plugin that gives them.
func podAddresses(t *testing.T) map[string]bool {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/root/run/cni/gopherwood", lab.cluster.Nodes()[0].PID))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, f := range files {
		if net.ParseIP(f.Name()) != nil {
			all[f.Name()] = true
		}
	}
	return all
}

// newAddress waits for an address that was not given before.
func newAddress(ctx context.Context, t *testing.T, before map[string]bool) string {
	t.Helper()
	for ctx.Err() == nil {
		for address := range podAddresses(t) {
			if !before[address] {
				return address
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatal("the node has given no address")
	return ""
}

// ask asks a program in a pod over a new connection.
func ask(address string) error {
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := c.Get("http://" + address + ":8080/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && string(body) != "hello" {
		err = fmt.Errorf("it answers %q", body)
	}
	return err
}

// spent is how long the API server has waited for the webhooks.
type spent struct {
	seconds  float64
	requests int
}

func (s spent) minus(before spent) spent {
	return spent{s.seconds - before.seconds, s.requests - before.requests}
}

// webhookTime reads the API server's own measurements.
func webhookTime(t *testing.T) spent {
	t.Helper()
	c, err := kubernetes.NewForConfig(lab.api.config)
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const prefix = "apiserver_admission_webhook_admission_duration_seconds_"
	of := func(what string) float64 {
		n, err := sum(string(text), func(name string) bool {
			return strings.HasPrefix(name, prefix+what+"{") && strings.Contains(name, `name="workloads.gopherwood.dev"`)
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return spent{of("sum"), int(of("count"))}
}
