package fleet

import (
	"regexp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gopherwood-dev/gopherwood/api"
)

// metrics are the fleet's gauges. They are counted when they are scraped, from
// the groups of pods and not from the pods.
type metrics struct {
	c                                              *Controller
	pods, goVersion, noGo, past, libc, root        *prometheus.Desc
	verdict, workloads, images, queue, noReportCRD *prometheus.Desc
}

// Collector returns the controller's metrics, to be registered once.
func (c *Controller) Collector() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("gopherwood_fleet_"+name, help, labels, nil)
	}
	return &metrics{
		c:           c,
		pods:        desc("running_pods", "Pods that run or are about to."),
		goVersion:   desc("pods", "Pods by the Go minor of their programs; a pod with two counts twice.", "go_version"),
		noGo:        desc("pods_without_go", "Pods whose images were read and hold no Go program."),
		past:        desc("pods_past_support", "Pods with a Go version that gets no security fixes any more."),
		libc:        desc("pods_cgo", "Pods with a Go program that is linked with a C library.", "libc"),
		root:        desc("pods_root", "Pods with a container that runs as root."),
		verdict:     desc("pods_verdict", "Pods by the gravest verdict on their containers.", "verdict"),
		workloads:   desc("workloads", "Workloads that run pods."),
		images:      desc("images", "Distinct images that run."),
		queue:       desc("images_waiting", "Images that wait to be read or judged."),
		noReportCRD: desc("reports_unsupported", "1 while the cluster does not know PolicyReports."),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.pods, m.goVersion, m.noGo, m.past, m.libc, m.root, m.verdict, m.workloads,
		m.images, m.queue, m.noReportCRD} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	s := summary(m.c.inventory.Groups(), m.c.get)
	gauge(m.pods, s.Pods)
	for version, n := range bounded(s.GoVersions) {
		gauge(m.goVersion, n, version)
	}
	gauge(m.noGo, s.NoGo)
	gauge(m.past, s.PastSupport)
	gauge(m.libc, s.Glibc, api.LibcGNU)
	gauge(m.libc, s.Musl, api.LibcMusl)
	gauge(m.root, s.Root)
	for verdict, n := range s.Verdicts {
		gauge(m.verdict, n, verdict)
	}
	gauge(m.workloads, s.Workloads)
	gauge(m.images, s.Images)
	gauge(m.queue, m.c.images.Len())
	missing := 0
	if m.c.reports.isMissing() {
		missing = 1
	}
	gauge(m.noReportCRD, missing)
}

var minor = regexp.MustCompile(`^1\.[0-9]{1,2}$`)

// bounded joins the versions that no release of Go has: an image may claim any,
// and each would be a time series.
func bounded(versions map[string]int) map[string]int {
	out := map[string]int{}
	for version, n := range versions {
		if !minor.MatchString(version) {
			version = otherVersion
		}
		out[version] += n
	}
	return out
}
