//go:build controlplane || e2e

package controlplane

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// metric returns the sum of all series of a metric of the process.
func (p *process) metric(t *testing.T, name string) float64 {
	t.Helper()
	text, err := fetch("http://" + p.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(text) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if series, _, _ = strings.Cut(series, "{"); !ok || series != name {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(value[strings.LastIndexByte(value, ' ')+1:], &v); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += v
	}
	return sum
}

// load asks the API server again and again whether pods may be created, without
// creating any: every tenth with an image that must be refused.
type load struct {
	namespace, fine, bad string
	stop                 chan struct{}
	done                 chan []answered
}

// startLoad begins to ask rate times a second.
func startLoad(t *testing.T, namespace, fine, bad string, rate int) *load {
	t.Helper()
	l := &load{namespace, fine, bad, make(chan struct{}), make(chan []answered, 1)}
	go l.run(t, time.Second/time.Duration(rate))
	return l
}

func (l *load) run(t *testing.T, every time.Duration) {
	var mu sync.Mutex
	var all []answered
	var group sync.WaitGroup
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			group.Wait()
			l.done <- all
			return
		case <-ticks.C:
		}
		group.Go(func() {
			name, image := fmt.Sprintf("load-%d", i), l.fine
			if i%10 == 9 {
				name, image = fmt.Sprintf("bad-%d", i), l.bad
			}
			begin := time.Now()
			err := lab.api.Create(t.Context(), pod(l.namespace, name, image), client.DryRunAll)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, answered{name, err, time.Since(begin), begin})
		})
	}
}

// outcome is what became of a load.
type outcome struct {
	all []answered
	// wrong were admitted and must not have been; failed got no answer from a
	// webhook, or a wrong one.
	wrong, failed []answered
}

// end stops the load and says what became of it.
func (l *load) end(t *testing.T, what string) outcome {
	t.Helper()
	close(l.stop)
	o := outcome{all: <-l.done}
	for _, a := range o.all {
		bad := strings.HasPrefix(a.name, "bad-")
		switch {
		case a.err == nil && bad:
			o.wrong = append(o.wrong, a)
		case a.err == nil && !bad, refused(a.err) && bad:
		default:
			o.failed = append(o.failed, a)
		}
	}
	t.Logf("%s: %d requests, %d failed, %d wrongly admitted; %s", what, len(o.all), len(o.failed), len(o.wrong), percentiles(tookOf(o.all)))
	for _, a := range o.wrong {
		t.Errorf("%s was admitted", a.name)
	}
	for i, a := range o.failed {
		if i < 3 {
			t.Logf("%s failed after %v: %v", a.name, a.took.Round(time.Millisecond), a.err)
		}
	}
	if len(o.all) == 0 {
		t.Error("nothing was asked")
	}
	return o
}

// requireNone wants nobody to have been turned away.
func (o outcome) requireNone(t *testing.T) {
	t.Helper()
	if len(o.failed) > 0 {
		t.Errorf("%d of %d requests failed; the first: %v", len(o.failed), len(o.all), o.failed[0].err)
	}
}
