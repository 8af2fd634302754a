//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

// system is the namespace of gopherwood's own objects.
const system = "gopherwood-system"

// kube is a control plane with gopherwood's chart in it, but for what would run in
// pods: here these are processes.
type kube struct {
	cluster *cluster.Cluster
	api     client.Client
	// http sends requests as the administrator, without the client's limits.
	http *http.Client
	dir  string
	// write really creates the pods that are posted; otherwise everything happens but
	// for the write (server-side dry run), webhooks included.
	write bool
}

// startKube starts a control plane whose files are in dir.
func startKube(ctx context.Context, dir string, config cluster.Config) (*kube, error) {
	config.Progress = func(e cluster.Event) {
		if e.What == "build" && !e.Done {
			fmt.Fprintln(os.Stderr, "bench: building", e.Name)
		}
	}
	c, err := cluster.Start(ctx, config)
	if err != nil {
		return nil, err
	}
	k := &kube{cluster: c, dir: dir}
	if err := k.connect(); err != nil {
		return nil, errors.Join(err, c.Down())
	}
	return k, nil
}

// stop ends the control plane. What it leaves is removed by the next one's start.
func (k *kube) stop() {
	if err := k.cluster.Down(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

func (k *kube) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", k.cluster.Kubeconfig())
	if err != nil {
		return err
	}
	config.QPS, config.Burst, config.Timeout = 5000, 5000, time.Minute
	config.WarningHandlerWithContext = rest.NoWarnings{}
	if k.http, err = rest.HTTPClientFor(config); err != nil {
		return err
	}
	log.SetLogger(logr.Discard()) // else the library complains
	k.api, err = client.New(config, client.Options{})
	return err
}

// install applies what `gopherwood install --dry-run` prints. The webhooks are
// called at address, and only for namespaces that the selector names.
func (k *kube) install(ctx context.Context, gopherwood, address string) error {
	if err := k.namespace(ctx, system, nil); err != nil {
		return err
	}
	out, err := capture(exec.CommandContext(ctx, gopherwood, "install", "--dry-run",
		"--set", "webhook.namespaceExpressions=[{key: bench, operator: In, values: [gopherwood]}]"))
	if err != nil {
		return err
	}
	for _, o := range documents(out) {
		switch o.GetKind() {
		case "Deployment", "PodDisruptionBudget", "Service", "Namespace":
			continue
		case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration":
			if address == "" {
				continue
			}
			err = callURL(o, address)
		}
		if err == nil {
			err = k.create(ctx, o)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// documents reads YAML documents; those that are no objects are left out.
func documents(data []byte) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for text := range bytes.SplitSeq(data, []byte("\n---")) {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &o.Object); err == nil && o.GetKind() != "" {
			all = append(all, o)
		}
	}
	return all
}

// callURL makes a webhook configuration call address instead of a service.
func callURL(o *unstructured.Unstructured, address string) error {
	hooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
	if err != nil {
		return err
	}
	for _, h := range hooks {
		hook, ok := h.(map[string]any)
		if !ok {
			return errors.New("a webhook is no object")
		}
		path, _, err := unstructured.NestedString(hook, "clientConfig", "service", "path")
		if err != nil {
			return err
		}
		hook["clientConfig"] = map[string]any{"url": "https://" + address + path}
	}
	return unstructured.SetNestedSlice(o.Object, hooks, "webhooks")
}

// create creates an object, waiting for its kind; one that is there already is
// left as it is.
func (k *kube) create(ctx context.Context, o client.Object) error {
	return until(ctx, 30*time.Second, o.GetName(), func() error {
		err := k.api.Create(ctx, o)
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
}

// object creates the object that YAML describes.
func (k *kube) object(ctx context.Context, text string) error {
	for _, o := range documents([]byte(text)) {
		if err := k.create(ctx, o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// namespace creates a namespace in which pods can be created at once.
func (k *kube) namespace(ctx context.Context, name string, labels map[string]string) error {
	if err := k.create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}); err != nil {
		return err
	}
	return k.create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: name}})
}

// post creates a pod as fast as it goes. An answer other than 201 is an error.
func (k *kube) post(ctx context.Context, namespace, name, image string) error {
	body := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"labels":{"app":%q}},`+
		`"spec":{"containers":[{"name":"app","image":%q,"resources":{"limits":{"memory":"64Mi","cpu":"1"}}}]}}`, name, namespace, image)
	url := k.cluster.APIServerURL() + "/api/v1/namespaces/" + namespace + "/pods"
	if !k.write {
		url += "?dryRun=All"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := k.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("%s: %s", resp.Status, said[:min(len(said), 600)])
	}
	return err
}

// scrape returns the metrics that a URL serves.
func (k *kube) scrape(ctx context.Context, url string) (metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := k.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return parseMetrics(string(text)), err
}

// metrics are the values of series, "name{labels}".
type metrics map[string]float64

func parseMetrics(text string) metrics {
	m := metrics{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(line[at+1:], &v); err == nil {
			m[line[:at]] = v
		}
	}
	return m
}

// sum adds the series of a name that have all of the labels, `key="value"`.
func (m metrics) sum(name string, labels ...string) float64 {
	total := 0.0
series:
	for series, v := range m {
		n, rest, _ := strings.Cut(series, "{")
		if n != name {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue series
			}
		}
		total += v
	}
	return total
}

// kubeconfig writes a kubeconfig for a service account of the chart.
func (k *kube) kubeconfig(account, file string) error {
	cert, key, err := k.cluster.Issue("system:serviceaccount:"+system+":"+account, "system:serviceaccounts")
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["bench"] = &clientcmdapi.Cluster{Server: k.cluster.APIServerURL(), CertificateAuthorityData: k.cluster.CA()}
	config.AuthInfos["bench"] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	config.Contexts["bench"] = &clientcmdapi.Context{Cluster: "bench", AuthInfo: "bench"}
	config.CurrentContext = "bench"
	return clientcmd.WriteToFile(*config, file)
}

// startWebhook runs `gopherwood webhook` with the flags and the memory that the
// chart gives it, and waits until it is ready.
func (k *kube) startWebhook(ctx context.Context, gopherwood, listen, registry string) (*process, error) {
	kubeconfig := filepath.Join(k.dir, "webhook.kubeconfig")
	if err := k.kubeconfig("gopherwood-webhook", kubeconfig); err != nil {
		return nil, err
	}
	health, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := startProcess(ctx, k.dir, "webhook", append(chartEnv("400"), "DOCKER_CONFIG="+k.dir), gopherwood,
		"webhook", "--kubeconfig", kubeconfig, "--namespace", system, "--listen", listen, "--cert-name", "127.0.0.1",
		"--health", health, "--metrics", "0", "--plain-http-registry", registry, "--cache-dir", filepath.Join(k.dir, "webhook-cache"))
	if err != nil {
		return nil, err
	}
	return p, p.waitFor(ctx, 60*time.Second, func() error { return answers("http://" + health + "/readyz") })
}

// chartEnv is the environment of the Go runtime that the chart sets.
func chartEnv(gogc string) []string { return []string{"GOMEMLIMIT=180MiB", "GOGC=" + gogc} }

// answers is nil when a URL answers with 200.
func answers(url string) error {
	c := http.Client{Timeout: 5 * time.Second}
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, said)
	}
	return nil
}

// until waits for what must come to pass soon.
func until(ctx context.Context, wait time.Duration, what string, ok func() error) error {
	end := time.Now().Add(wait)
	for {
		err := ok()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return fmt.Errorf("%s: not within %s: %w", what, wait, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
