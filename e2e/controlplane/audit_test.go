//go:build controlplane || e2e

package controlplane

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// auditLog is the API server's audit log.
type auditLog struct{ policy, log string }

// newAuditLog writes the policy: everything that is written, without bodies.
func newAuditLog(dir string) (auditLog, error) {
	a := auditLog{policy: filepath.Join(dir, "audit.yaml"), log: filepath.Join(dir, "audit.log")}
	return a, os.WriteFile(a.policy, []byte(`apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch]
- level: None
`), 0o600)
}

func (a auditLog) flags() map[string]string {
	return map[string]string{"audit-policy-file": a.policy, "audit-log-path": a.log, "audit-log-mode": "blocking"}
}

// auditEvent is what is read of an entry.
type auditEvent struct {
	ObjectRef struct {
		Resource, Namespace, Name string
	}
	Annotations map[string]string
}

// about returns the annotations of the last request about an object that the
// webhook has answered.
func (a auditLog) about(t *testing.T, resource, namespace, name string) map[string]string {
	t.Helper()
	var found map[string]string
	until(t, 10*time.Second, "audit log about "+resource+" "+name, func() error {
		var err error
		found, err = a.find(resource, namespace, name)
		if err == nil && found == nil {
			err = errors.New("there is no entry")
		}
		return err
	})
	return found
}

func (a auditLog) find(resource, namespace, name string) (map[string]string, error) {
	f, err := os.Open(a.log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found map[string]string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e auditEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("%q: %w", lines.Text(), err)
		}
		if e.ObjectRef.Resource != resource || e.ObjectRef.Namespace != namespace || e.ObjectRef.Name != name {
			continue
		}
		if _, ok := e.Annotations["workloads.gopherwood.dev/verdict"]; ok {
			found = e.Annotations
		}
	}
	return found, lines.Err()
}
