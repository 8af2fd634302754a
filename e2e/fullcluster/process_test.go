//go:build e2e

package fullcluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// podsOf returns the pods of a component of the release that are not about to end.
func podsOf(t *testing.T, component string) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	if err := lab.api.List(t.Context(), &list, client.InNamespace(systemNamespace), client.MatchingLabels{"app.kubernetes.io/component": component}); err != nil {
		t.Fatal(err)
	}
	var all []corev1.Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			all = append(all, p)
		}
	}
	return all
}

// processOf returns the process of a pod's program as this machine sees it.
func processOf(p *corev1.Pod, program string) (int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	uid := strings.ReplaceAll(string(p.UID), "-", "_")
	for _, dir := range dirs {
		group, err := os.ReadFile(filepath.Join(dir, "cgroup"))
		if err != nil || !strings.Contains(string(group), string(p.UID)) && !strings.Contains(string(group), uid) {
			continue // it has ended, or is another one
		}
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && strings.Contains(strings.SplitN(string(line), "\x00", 2)[0], program) {
			return strconv.Atoi(filepath.Base(dir))
		}
	}
	return 0, fmt.Errorf("no process of pod %s", p.Name)
}

// requireHarmless holds the process of a pod of the release to what the chart
// says of it.
func requireHarmless(t *testing.T, p *corev1.Pod) {
	t.Helper()
	pid, err := processOf(p, "gopherwood")
	if err != nil {
		t.Error(err)
		return
	}
	read := func(name string) string {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	status := strings.Join(strings.Fields(read("status")), " ")
	requireWords(t, status, "Uid: 65532 65532 65532 65532", "Gid: 65532 65532 65532 65532",
		"CapEff: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2")
	root := ""
	for line := range strings.Lines(read("mountinfo")) {
		if f := strings.Fields(line); len(f) > 5 && f[4] == "/" {
			root = f[5]
		}
	}
	if !strings.HasPrefix(root, "ro") {
		t.Errorf("the root of %s is mounted %q, want ro", p.Name, root)
	}
	t.Logf("%s: process %d is user 65532 without capabilities, with seccomp, its root is %s", p.Name, pid, root)
}
