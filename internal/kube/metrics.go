package kube

import (
	"cmp"
	"context"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
	"github.com/gopherwood-dev/gopherwood/internal/kube/telemetry"
)

// libraries gathers the metrics of client-go and controller-runtime, but for
// those of the process, which are there already.
type libraries struct{}

// Gather implements prometheus.Gatherer.
func (libraries) Gather() ([]*dto.MetricFamily, error) {
	all, err := ctrlmetrics.Registry.Gather()
	kept := all[:0]
	for _, f := range all {
		if !strings.HasPrefix(f.GetName(), "go_") && !strings.HasPrefix(f.GetName(), "process_") {
			kept = append(kept, f)
		}
	}
	return kept, err
}

// measureCertificate adds when the certificate ends.
func measureCertificate(m *telemetry.Metrics, c certificates, clock *apiClock) {
	m.Gauge("certificate_expiry_timestamp_seconds", "When the serving certificate ends, in Unix time; 0 for none.", func() float64 {
		at := c.Expires()
		if at.IsZero() {
			return 0
		}
		return float64(at.Unix())
	})
	m.Gauge("clock_offset_seconds", "How far the API server's clock is ahead of this one.", func() float64 {
		return clock.Offset().Seconds()
	})
}

// policyMetrics counts policies, when it is asked.
type policyMetrics struct {
	set *gopolicy.Set
	// reader has the objects in memory.
	reader           client.Reader
	inForce, failing *prometheus.Desc
}

func newPolicyMetrics(set *gopolicy.Set, reader client.Reader) policyMetrics {
	return policyMetrics{
		set: set, reader: reader,
		inForce: prometheus.NewDesc("gopherwood_policies_in_force", "Policies that are in force, by what they do.", []string{"action"}, nil),
		failing: prometheus.NewDesc("gopherwood_policies_failing", "Policies of which the last change does not compile.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (p policyMetrics) Describe(out chan<- *prometheus.Desc) { out <- p.inForce; out <- p.failing }

// Collect implements prometheus.Collector.
func (p policyMetrics) Collect(out chan<- prometheus.Metric) {
	count := map[v1alpha1.Action]int{v1alpha1.ActionEnforce: 0, v1alpha1.ActionWarn: 0, v1alpha1.ActionAudit: 0}
	for _, one := range p.set.All() {
		count[cmp.Or(one.Spec.Action, v1alpha1.ActionEnforce)]++
	}
	for action, n := range count {
		out <- prometheus.MustNewConstMetric(p.inForce, prometheus.GaugeValue, float64(n), string(action))
	}
	out <- prometheus.MustNewConstMetric(p.failing, prometheus.GaugeValue, float64(p.countFailing()))
}

// countFailing counts the objects whose present state does not compile. What is
// not in memory yet does not count.
func (p policyMetrics) countFailing() int {
	var cluster v1alpha1.ClusterGoPolicyList
	var namespaced v1alpha1.GoPolicyList
	_ = p.reader.List(context.Background(), &cluster)
	_ = p.reader.List(context.Background(), &namespaced)
	n := 0
	count := func(o gopolicy.Object) {
		if outcome, ok := p.set.Outcome(o); ok && len(outcome.Problems) > 0 {
			n++
		}
	}
	for i := range cluster.Items {
		count(&cluster.Items[i])
	}
	for i := range namespaced.Items {
		count(&namespaced.Items[i])
	}
	return n
}
