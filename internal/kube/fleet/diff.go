package fleet

import (
	"cmp"
	"maps"
	"slices"

	"github.com/gopherwood-dev/gopherwood/api"
)

// containerKey names a container of a workload in both lists.
type containerKey struct{ namespace, kind, name, container string }

func (k containerKey) compare(o containerKey) int {
	return cmp.Or(cmp.Compare(k.namespace, o.namespace), cmp.Compare(k.kind, o.kind),
		cmp.Compare(k.name, o.name), cmp.Compare(k.container, o.container))
}

// Diff says what differs between two lists.
func Diff(from, to *api.FleetList) *api.FleetDiff {
	d := &api.FleetDiff{
		SchemaVersion: api.SchemaVersion, Kind: api.KindFleetDiff,
		From:  api.FleetMoment{Time: from.Time, Cluster: from.Cluster},
		To:    api.FleetMoment{Time: to.Time, Cluster: to.Cluster},
		Added: []api.FleetEntry{}, Removed: []api.FleetEntry{}, Changed: []api.FleetChange{},
	}
	before, after := entries(from), entries(to)
	for _, key := range slices.SortedFunc(maps.Keys(after), containerKey.compare) {
		old, was := before[key]
		if !was {
			d.Added = append(d.Added, *after[key])
		} else if c, differs := change(old, after[key]); differs {
			d.Changed = append(d.Changed, c)
			d.Summary.NewFindings += len(c.NewRules)
			d.Summary.FixedFindings += len(c.FixedRules)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(before), containerKey.compare) {
		if after[key] == nil {
			d.Removed = append(d.Removed, *before[key])
		}
	}
	d.Summary.Added, d.Summary.Removed, d.Summary.Changed = len(d.Added), len(d.Removed), len(d.Changed)
	return d
}

// entries joins a list's items by container.
func entries(list *api.FleetList) map[containerKey]*api.FleetEntry {
	all := map[containerKey]*api.FleetEntry{}
	for i := range list.Items {
		item := &list.Items[i]
		key := containerKey{item.Namespace, item.Kind, item.Name, item.Container}
		e := all[key]
		if e == nil {
			e = &api.FleetEntry{
				Namespace: item.Namespace, Kind: item.Kind, Name: item.Name, Container: item.Container,
				Images: []string{}, Digests: []string{}, GoVersions: []string{}, Rules: []string{}, Verdict: api.Pass,
			}
			all[key] = e
		}
		e.Pods += item.Pods
		e.Images = insert(e.Images, item.Image)
		e.Digests = insert(e.Digests, item.Digest)
		if item.Facts != nil {
			e.GoVersions = insert(e.GoVersions, item.Facts.GoVersion)
		}
		e.Verdict = Graver(e.Verdict, item.Verdict)
		for _, rule := range rulesAgainst(item) {
			e.Rules = insert(e.Rules, rule)
		}
	}
	return all
}

// rulesAgainst returns the rules that speak against the item.
func rulesAgainst(item *api.FleetItem) []string {
	var rules []string
	for _, v := range item.Verdicts {
		for _, f := range v.Findings {
			if f.Exemption == nil && f.Severity != api.Info {
				rules = append(rules, f.Rule)
			}
		}
	}
	return rules
}

// insert adds value to a sorted set; the empty value is none.
func insert(set []string, value string) []string {
	i, found := slices.BinarySearch(set, value)
	if found || value == "" {
		return set
	}
	return slices.Insert(set, i, value)
}

// change compares a container in both lists.
func change(a, b *api.FleetEntry) (api.FleetChange, bool) {
	c := api.FleetChange{
		Namespace: b.Namespace, Kind: b.Kind, Name: b.Name, Container: b.Container, Pods: b.Pods,
		Images: values(a.Images, b.Images), Digests: values(a.Digests, b.Digests), GoVersions: values(a.GoVersions, b.GoVersions),
		NewRules: without(b.Rules, a.Rules), FixedRules: without(a.Rules, b.Rules),
	}
	if b.Verdict == api.Unknown || a.Verdict == api.Unknown {
		c.NewRules, c.FixedRules = nil, nil // nothing was asked: nothing is new or mended
	}
	if a.Verdict != b.Verdict {
		c.Verdict = &api.FleetValue{From: a.Verdict, To: b.Verdict}
	}
	differs := c.Images != nil || c.Digests != nil || c.GoVersions != nil || c.Verdict != nil || c.NewRules != nil || c.FixedRules != nil
	return c, differs
}

func values(a, b []string) *api.FleetValues {
	if slices.Equal(a, b) {
		return nil
	}
	return &api.FleetValues{From: a, To: b}
}

// without returns the elements of a that b has not.
func without(a, b []string) []string {
	var rest []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			rest = append(rest, s)
		}
	}
	return rest
}
