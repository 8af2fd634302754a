package gopolicy

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
)

// maxSpec is the most bytes that a spec may have as JSON. It bounds what a policy
// costs to compile and to keep, and lets the status hold a second copy.
const maxSpec = 64 << 10

// Validate says what is wrong with a spec that the API server would accept; nil
// when it compiles. It never panics.
func Validate(spec *v1alpha1.GoPolicySpec) []policy.Problem {
	_, problems := compile(key{}, spec, nil)
	return problems
}

// compile makes a policy of a spec, or says why not. known looks for rules that
// are compiled already, by their checksum; nil means that there are none.
func compile(k key, spec *v1alpha1.GoPolicySpec, known func(sum [32]byte) *policy.Policy) (*Policy, []policy.Problem) {
	spec = spec.DeepCopy()
	spec.SetDefaults()
	if problem := tooLarge(spec); problem != nil {
		return nil, []policy.Problem{*problem}
	}
	p := &Policy{Name: k.String(), Kind: k.kind, Namespace: k.Namespace, ObjectName: k.Name, Spec: *spec}
	c := &checker{}
	c.values(spec)
	p.namespaces = c.selector("match.namespaceSelector", spec.Match.NamespaceSelector)
	p.objects = c.selector("match.objectSelector", spec.Match.ObjectSelector)
	if k.kind == v1alpha1.KindGoPolicy && spec.Match.NamespaceSelector != nil {
		c.report("match.namespaceSelector", "a GoPolicy is about its own namespace only; use a ClusterGoPolicy")
	}
	doc := document(spec)
	p.sum = checksum(k.Name, doc)
	if known != nil {
		p.Compiled = known(p.sum)
	}
	if p.Compiled == nil {
		var problems []policy.Problem
		p.Compiled, problems = compileRules(k.Name, doc)
		c.problems = append(c.problems, problems...)
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return p, nil
}

func tooLarge(spec *v1alpha1.GoPolicySpec) *policy.Problem {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // && has two bytes
	switch err := encoder.Encode(spec); {
	case err != nil:
		return &policy.Problem{Message: err.Error()}
	case text.Len() > maxSpec:
		return &policy.Problem{Message: fmt.Sprintf("the policy has %d bytes, the limit is %d: make two of it", text.Len(), maxSpec)}
	}
	return nil
}

// document is the policy file that says the same as a spec. Its conversions hold
// the types of v1alpha1 to those of package api.
func document(spec *v1alpha1.GoPolicySpec) api.Policy {
	doc := api.Policy{SchemaVersion: api.SchemaVersion, Kind: api.KindPolicy}
	if spec.Extends == v1alpha1.ExtendsDefault {
		doc.Extends = spec.Extends
	}
	for _, r := range spec.Rules {
		doc.Rules = append(doc.Rules, api.PolicyRule(r))
	}
	for _, s := range spec.Severities {
		doc.Severities = append(doc.Severities, api.PolicySeverity(s))
	}
	for _, e := range spec.Exemptions {
		doc.Exemptions = append(doc.Exemptions, api.PolicyExemption(e))
	}
	return doc
}

// checksum tells apart what compiles differently.
func checksum(name string, doc api.Policy) [32]byte {
	doc.Metadata.Name = name
	data, err := json.Marshal(doc)
	if err != nil {
		return [32]byte{} // cannot be: it holds strings only
	}
	return sha256.Sum256(data)
}

// compileRules compiles a document. A panic of the compiler would take admission
// down in every replica at once, so it becomes a problem of this policy.
func compileRules(name string, doc api.Policy) (p *policy.Policy, problems []policy.Problem) {
	defer func() {
		if r := recover(); r != nil {
			p, problems = nil, []policy.Problem{{Message: fmt.Sprintf("the rules cannot be compiled: %v", r)}}
		}
	}()
	if name == "" {
		name = "policy"
	}
	return policy.Compile(name, doc)
}

// checker gathers what is wrong with a spec besides its rules.
type checker struct{ problems []policy.Problem }

func (c *checker) report(path, format string, args ...any) {
	c.problems = append(c.problems, policy.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// values checks again what the API server has checked already: a spec may come
// from a status, or from before the definition was as strict.
func (c *checker) values(spec *v1alpha1.GoPolicySpec) {
	c.oneOf("action", string(spec.Action), string(v1alpha1.ActionEnforce), string(v1alpha1.ActionWarn), string(v1alpha1.ActionAudit))
	c.oneOf("onUnknown", string(spec.OnUnknown), string(v1alpha1.OnUnknownAdmit), string(v1alpha1.OnUnknownDeny), string(v1alpha1.OnUnknownWarn))
	c.oneOf("extends", spec.Extends, v1alpha1.ExtendsDefault, v1alpha1.ExtendsNone)
	if spec.CPULevel != "" {
		c.oneOf("cpuLevel", spec.CPULevel, "v1", "v2", "v3", "v4")
	}
	for i, kind := range spec.Match.Kinds {
		c.oneOf(fmt.Sprintf("match.kinds[%d]", i), kind, "Pod", "Deployment", "StatefulSet", "DaemonSet",
			"ReplicaSet", "ReplicationController", "Job", "CronJob")
	}
	if m := spec.Mutate; m != nil && m.MemoryLimit != nil && (m.MemoryLimit.Percent < 10 || m.MemoryLimit.Percent > 100) {
		c.report("mutate.memoryLimit.percent", "%d is not between 10 and 100", m.MemoryLimit.Percent)
	}
}

func (c *checker) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.report(path, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

// selector compiles a selector; absent means everything, and so nil.
func (c *checker) selector(path string, selector *metav1.LabelSelector) labels.Selector {
	if selector == nil {
		return nil
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		c.report(path, "%v", err)
	}
	return s
}
