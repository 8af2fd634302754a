// Package report writes what the fleet's verdicts are as PolicyReports, the API
// of the Kubernetes policy working group (wgpolicyk8s.io/v1alpha2), one for each
// workload, which owns it: the report goes when the workload goes.
package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// The API that is written.
const (
	Group   = "wgpolicyk8s.io"
	Version = "v1alpha2"
	Kind    = "PolicyReport"
)

// Resource is PolicyReport's place in the API.
var Resource = schema.GroupVersionResource{Group: Group, Version: Version, Resource: "policyreports"}

// ManagedBy is the label of all reports that this package writes, and its value.
const (
	ManagedBy      = "app.kubernetes.io/managed-by"
	ManagedByValue = "gopherwood"
	// FieldManager owns the reports' fields.
	FieldManager = "gopherwood-fleet"
	// Source is the source of all results.
	Source = "gopherwood"
)

// PolicyReport is the part of the API's type that is written.
type PolicyReport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	// Scope is the workload.
	Scope   *corev1.ObjectReference `json:"scope,omitempty"`
	Summary Summary                 `json:"summary"`
	Results []Result                `json:"results,omitempty"`
}

// Summary counts the results.
type Summary struct {
	Pass  int `json:"pass"`
	Fail  int `json:"fail"`
	Warn  int `json:"warn"`
	Error int `json:"error"`
	Skip  int `json:"skip"`
}

// Outcome is the value of Result.Result.
type Outcome string

// The outcomes.
const (
	Pass  Outcome = "pass"
	Fail  Outcome = "fail"
	Warn  Outcome = "warn"
	Error Outcome = "error"
	Skip  Outcome = "skip"
)

// The severities that are used of the API's.
const (
	High   = "high"
	Medium = "medium"
	Low    = "low"
	Info   = "info"
)

// Result is what one rule of one policy says.
type Result struct {
	Source   string  `json:"source"`
	Policy   string  `json:"policy"`
	Rule     string  `json:"rule,omitempty"`
	Category string  `json:"category,omitempty"`
	Severity string  `json:"severity,omitempty"`
	Result   Outcome `json:"result"`
	Scored   bool    `json:"scored"`
	// Timestamp is when this was first found.
	Timestamp  Timestamp         `json:"timestamp"`
	Message    string            `json:"message,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
}

// Timestamp is a moment, as the API has it.
type Timestamp struct {
	Seconds int64 `json:"seconds"`
	Nanos   int32 `json:"nanos"`
}

// Owner is the workload that a report is about.
type Owner struct {
	Namespace  string
	APIVersion string
	Kind       string
	Name       string
	UID        types.UID
}

// The bounds of one report: etcd takes an object of about 1.5 MiB, and messages
// hold what hostile images say.
const (
	maxResults  = 250
	maxMessage  = 1024
	maxProperty = 512
)

// New returns the report on a workload. Results are sorted and bounded; those
// that say the same as a result of before, which may be nil, keep its timestamp.
func New(o Owner, results []Result, before *PolicyReport, now time.Time) *PolicyReport {
	r := &PolicyReport{
		TypeMeta: metav1.TypeMeta{APIVersion: Group + "/" + Version, Kind: Kind},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.Namespace, Name: o.ReportName(),
			Labels: map[string]string{ManagedBy: ManagedByValue},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: o.APIVersion, Kind: o.Kind, Name: o.Name, UID: o.UID,
			}},
		},
		Scope: &corev1.ObjectReference{
			APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, UID: o.UID,
		},
	}
	for _, result := range results {
		r.Results = append(r.Results, bounded(result))
	}
	slices.SortStableFunc(r.Results, compare)
	r.Results = slices.CompactFunc(r.Results, func(a, b Result) bool { return compare(a, b) == 0 })
	r.Results = limit(r.Results)
	for _, result := range r.Results {
		r.Summary.count(result.Result)
	}
	r.keepTimes(before, Timestamp{Seconds: now.Unix()})
	return r
}

// ReportName returns the name of the report on the workload. It is readable, and another one for a workload of the same name that
// comes after this one: the report of the old one may be about to be collected.
func (o Owner) ReportName() string {
	uid, _, _ := strings.Cut(string(o.UID), "-")
	kind := strings.ToLower(o.Kind)
	name := o.Name
	if most := 253 - len(kind) - len(uid) - 2; len(name) > most {
		sum := sha256.Sum256([]byte(name))
		name = name[:most-9] + "." + hex.EncodeToString(sum[:4])
	}
	return kind + "-" + name + "-" + uid
}

func (s *Summary) count(o Outcome) {
	switch o {
	case Pass:
		s.Pass++
	case Fail:
		s.Fail++
	case Warn:
		s.Warn++
	case Error:
		s.Error++
	case Skip:
		s.Skip++
	}
}

// bounded returns r with texts of bounded length in valid UTF-8.
func bounded(r Result) Result {
	r.Source = Source
	r.Message = cut(r.Message, maxMessage)
	if len(r.Properties) > 0 {
		properties := make(map[string]string, len(r.Properties))
		for name, value := range r.Properties {
			if value != "" {
				properties[name] = cut(value, maxProperty)
			}
		}
		r.Properties = properties
	}
	return r
}

func cut(s string, most int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= most {
		return s
	}
	end := most - len("…")
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// limit keeps the gravest results when there are too many, and says so.
func limit(all []Result) []Result {
	if len(all) <= maxResults {
		return all
	}
	kept := slices.Clone(all)
	slices.SortStableFunc(kept, func(a, b Result) int { return cmp.Compare(gravity(a.Result), gravity(b.Result)) })
	kept = kept[:maxResults-1]
	slices.SortStableFunc(kept, compare)
	return append(kept, Result{
		Source: Source, Policy: "gopherwood", Rule: "report/truncated", Severity: Info, Result: Skip,
		Message: "there are more results than a report holds: 'gopherwood fleet check' shows all",
	})
}

func gravity(o Outcome) int {
	return slices.Index([]Outcome{Fail, Error, Warn, Pass, Skip}, o)
}

// compare orders results by where they are found, and is 0 only for results that
// say the same.
func compare(a, b Result) int { return slices.Compare(a.parts(), b.parts()) }

// parts is all of a result but its time.
func (r Result) parts() []string {
	p := r.Properties
	parts := []string{p[PropertyContainer], p[PropertyImage], p[PropertyPlatform], r.Policy, r.Rule, string(r.Result), r.Severity, r.Message, r.Category}
	names := make([]string, 0, len(p))
	for name := range p {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		parts = append(parts, name, p[name])
	}
	return parts
}

// The properties of results.
const (
	PropertyContainer = "container"
	PropertyImage     = "image"
	PropertyDigest    = "digest"
	PropertyPlatform  = "platform"
	PropertyGo        = "goVersion"
	PropertyPath      = "path"
	PropertyFix       = "fix"
	PropertyAction    = "action"
	PropertyExemption = "exemption"
)

func (r *PolicyReport) keepTimes(before *PolicyReport, now Timestamp) {
	known := map[string]Timestamp{}
	if before != nil {
		for _, result := range before.Results {
			known[strings.Join(result.parts(), "\x00")] = result.Timestamp
		}
	}
	for i := range r.Results {
		when, ok := known[strings.Join(r.Results[i].parts(), "\x00")]
		if !ok {
			when = now
		}
		r.Results[i].Timestamp = when
	}
}

// Equal reports whether b says what r does, times included.
func (r *PolicyReport) Equal(b *PolicyReport) bool {
	if b == nil || r.Name != b.Name || r.Namespace != b.Namespace || r.Summary != b.Summary {
		return false
	}
	return slices.EqualFunc(r.Results, b.Results, func(x, y Result) bool {
		return x.Timestamp == y.Timestamp && x.Scored == y.Scored && compare(x, y) == 0
	})
}
