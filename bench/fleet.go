//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

// The limits of the fleet.
const (
	scanLimit   = 60.0 // seconds for everything
	steadyLimit = 0.05 // of a processor
)

// The fleet.
const (
	fleetNodes  = 2000
	fleetPods   = 5000
	fleetImages = 300 // as many deployments
	fleetSpaces = 10
	scans       = 3
	// steadySeconds is how long the controller is looked at when it knows everything,
	// steadyPart a part of that.
	steadySeconds = 60
	steadyPart    = 10
)

// measureFleet adds the part about `gopherwood fleet` to the report.
func measureFleet(ctx context.Context, s settings, work string, r *report) error {
	program, err := natsServer.build(ctx, s.cache)
	if err != nil {
		return err
	}
	config := cluster.Config{
		SimulatedNodes: fleetNodes,
		// So many pods are not the work of an afternoon, and no simulated node is lost
		// because the machine is busy.
		ControllerFlags: map[string]string{"kube-api-qps": "1000", "kube-api-burst": "2000", "concurrent-deployment-syncs": "20",
			"concurrent-replicaset-syncs": "20", "node-monitor-grace-period": "1h"},
		SchedulerFlags: map[string]string{"kube-api-qps": "1000", "kube-api-burst": "2000"},
	}
	if s.prepare {
		_, err := cluster.Build(ctx, config.Components(), nil)
		return err
	}
	r.Versions["kubernetes"] = cluster.Version
	registry, err := newShelf(filepath.Join(work, "registry-fleet"))
	if err != nil {
		return err
	}
	defer registry.server.Close()
	f := &fleetBench{gopherwood: s.command, registry: registry}
	if err := f.stock(ctx, program); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench: making %d nodes and %d pods\n", fleetNodes, fleetPods)
	if f.kube, err = startKube(ctx, work, config); err != nil {
		return err
	}
	defer f.stop()
	if err := f.populate(ctx); err != nil {
		return err
	}
	scans, err := f.scans(ctx)
	if err != nil {
		return err
	}
	r.Results = append(r.Results, scans...)
	results, err := f.controller(ctx)
	r.Results = append(r.Results, results...)
	return err
}

// fleetBench is a cluster of simulated nodes and a registry with the images of its
// pods.
type fleetBench struct {
	*kube
	gopherwood string
	registry   *shelf
	images     []string
}

// stock pushes the images and names them by digest, as nodes do.
func (f *fleetBench) stock(ctx context.Context, program string) error {
	fmt.Fprintf(os.Stderr, "bench: making %d images\n", fleetImages)
	for i := range fleetImages {
		image, err := baked{program: program, mark: marked("fleet", i), user: "65532:65532"}.bake()
		if err != nil {
			return err
		}
		repository := fmt.Sprintf("fleet/app-%d", i)
		if _, err := f.registry.push(ctx, repository+":v1", image); err != nil {
			return err
		}
		digest, err := image.Digest()
		if err != nil {
			return err
		}
		f.images = append(f.images, f.registry.host+"/"+repository+"@"+digest.String())
	}
	return nil
}

// populate makes the deployments and waits until all of their pods run.
func (f *fleetBench) populate(ctx context.Context) error {
	if err := f.install(ctx, f.gopherwood, ""); err != nil {
		return err
	}
	// Without a policy in the cluster there is nothing to report.
	if err := f.object(ctx, ourPolicy); err != nil {
		return err
	}
	for i := range fleetSpaces {
		if err := f.namespace(ctx, space(i), nil); err != nil {
			return err
		}
	}
	for i, image := range f.images {
		replicas := fleetPods / fleetImages
		if i < fleetPods%fleetImages {
			replicas++
		}
		if err := f.object(ctx, deployment(space(i%fleetSpaces), fmt.Sprintf("app-%d", i), image, replicas)); err != nil {
			return err
		}
	}
	return until(ctx, 15*time.Minute, "all pods run", func() error {
		time.Sleep(2 * time.Second)
		n, err := f.count(ctx, corev1.SchemeGroupVersion.WithKind("PodList"), client.MatchingFields{"status.phase": "Running"})
		if err == nil && n != fleetPods {
			err = fmt.Errorf("%d of %d", n, fleetPods)
		}
		return err
	})
}

func space(i int) string { return fmt.Sprintf("team-%d", i) }

func deployment(namespace, name, image string, replicas int) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  replicas: %[4]d
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata: {labels: {app: %[2]s}}
    spec:
      nodeSelector: {type: kwok}
      containers:
      - {name: app, image: %[3]q, resources: {requests: {cpu: 100m, memory: 64Mi}}}
`, namespace, name, image, replicas)
}

// count counts objects without reading them whole.
func (f *fleetBench) count(ctx context.Context, kind schema.GroupVersionKind, opts ...client.ListOption) (int, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind)
	err := f.api.List(ctx, list, opts...)
	return len(list.Items), err
}

// scans measures `gopherwood fleet check` with nothing in the cache.
func (f *fleetBench) scans(ctx context.Context) ([]result, error) {
	var took, peaks []float64
	for i := range scans {
		cmd := exec.CommandContext(ctx, f.gopherwood, "fleet", "check", "-o", "json", "--plain-http-registry", f.registry.host)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+f.cluster.Kubeconfig(), "DOCKER_CONFIG="+f.dir,
			"GOPHERWOOD_CACHE_DIR="+filepath.Join(f.dir, fmt.Sprintf("scan-%d", i)))
		out, c, err := clocked(cmd)
		if err != nil {
			return nil, err
		}
		if err := complete(out); err != nil {
			return nil, err
		}
		took, peaks = append(took, c.wall.Seconds()), append(peaks, float64(c.peak))
	}
	return []result{
		spread(fmt.Sprintf("fleet: scan of %d pods with %d images, nothing known", fleetPods, fleetImages), scanLimit, took),
		informative(result{Name: "fleet: memory of a scan", Unit: "bytes", Value: median(peaks), Least: slices.Min(peaks), Most: slices.Max(peaks)}),
	}, nil
}

// complete holds a document to have everything that runs, and a verdict on it.
func complete(data []byte) error {
	var list api.FleetList
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	s := list.Summary
	if s.Pods != fleetPods || s.Images != fleetImages || s.Verdicts[api.Unknown] > 0 || len(list.Errors) > 0 {
		return fmt.Errorf("the scan is not complete: %+v, %d errors", s, len(list.Errors))
	}
	return nil
}

// controller measures `gopherwood fleet controller`: from its start until it knows
// everything, and what it takes to stay up to date.
func (f *fleetBench) controller(ctx context.Context) ([]result, error) {
	kubeconfig := filepath.Join(f.dir, "fleet.kubeconfig")
	if err := f.kubeconfig("gopherwood-fleet", kubeconfig); err != nil {
		return nil, err
	}
	metrics, err := freeAddress()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	p, err := startProcess(ctx, f.dir, "fleet", append(chartEnv("100"), "DOCKER_CONFIG="+f.dir), f.gopherwood,
		"fleet", "controller", "--kubeconfig", kubeconfig, "--namespace", system, "--health", "0", "--metrics", metrics,
		"--plain-http-registry", f.registry.host, "--cache-dir", filepath.Join(f.dir, "fleet-cache"))
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := p.waitFor(ctx, 5*time.Minute, func() error { return f.known(ctx, metrics) }); err != nil {
		return nil, err
	}
	known := time.Since(begin).Seconds()
	if err := p.waitFor(ctx, 5*time.Minute, func() error { return f.reported(ctx) }); err != nil {
		return nil, err
	}
	reported := time.Since(begin).Seconds()
	busy, err := f.steady(ctx, p)
	if err != nil {
		return nil, err
	}
	rss, err := p.memory("VmRSS")
	if err != nil {
		return nil, err
	}
	most, err := p.memory("VmHWM")
	if err != nil {
		return nil, err
	}
	return []result{
		{Name: "fleet controller: everything known after", Unit: "seconds", Value: known, Limit: scanLimit},
		informative(result{Name: "fleet controller: every report written after", Unit: "seconds", Value: reported}),
		{Name: fmt.Sprintf("fleet controller: processor during %d s, a pod replaced every second", steadySeconds), Unit: "cores",
			Value: mean(busy), Limit: steadyLimit, Least: slices.Min(busy), Most: slices.Max(busy)},
		informative(result{Name: "fleet controller: memory", Unit: "bytes", Value: rss}),
		{Name: "fleet controller: memory at most", Unit: "bytes", Value: most, Limit: memoryAtMost},
	}, nil
}

// known is nil when the controller has a verdict on every pod.
func (f *fleetBench) known(ctx context.Context, address string) error {
	m, err := f.scrape(ctx, "http://"+address+"/metrics")
	if err != nil {
		return err
	}
	const verdicts = "gopherwood_fleet_pods_verdict"
	judged := m.sum(verdicts) - m.sum(verdicts, `verdict="`+api.Unknown+`"`)
	if waiting := m.sum("gopherwood_fleet_images_waiting"); judged != fleetPods || waiting > 0 {
		return fmt.Errorf("%.0f of %d pods are judged, %.0f images wait", judged, fleetPods, waiting)
	}
	return nil
}

// reported is nil when there is a report about each workload.
func (f *fleetBench) reported(ctx context.Context) error {
	n, err := f.count(ctx, schema.GroupVersionKind{Group: "wgpolicyk8s.io", Version: "v1alpha2", Kind: "PolicyReportList"})
	if err == nil && n < fleetImages {
		err = fmt.Errorf("%d of %d reports", n, fleetImages)
	}
	return err
}

// steady deletes a pod every second, which its deployment replaces, and returns
// how much of a processor the controller takes meanwhile, in parts of the time.
func (f *fleetBench) steady(ctx context.Context, p *process) ([]float64, error) {
	pods := &metav1.PartialObjectMetadataList{}
	pods.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	if err := f.api.List(ctx, pods, client.InNamespace(space(0))); err != nil {
		return nil, err
	}
	if len(pods.Items) < steadySeconds {
		return nil, errors.New("there are too few pods")
	}
	time.Sleep(steadyPart * time.Second)
	last, err := p.processor()
	if err != nil {
		return nil, err
	}
	var parts []float64
	begin := time.Now()
	for i, pod := range pods.Items[:steadySeconds] {
		if err := f.cluster.Do(ctx, http.MethodDelete, "/api/v1/namespaces/"+pod.Namespace+"/pods/"+pod.Name, nil, nil); err != nil {
			return nil, err
		}
		time.Sleep(time.Until(begin.Add(time.Duration(i+1) * time.Second)))
		if (i+1)%steadyPart != 0 {
			continue
		}
		now, err := p.processor()
		if err != nil {
			return nil, err
		}
		parts = append(parts, (now-last).Seconds()/steadyPart)
		last = now
	}
	return parts, nil
}

// mean is the arithmetic mean.
func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
