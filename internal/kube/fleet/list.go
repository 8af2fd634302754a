package fleet

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// lookup returns what is known of the i-th container of a group; nil for nothing yet.
type lookup func(groupID string, i int) *Assessment

// items returns one item for each workload, container, image and platform.
func items(groups []Counted, get lookup) []api.FleetItem {
	byKey := map[itemKey]*api.FleetItem{}
	for _, g := range groups {
		for i, c := range g.Containers {
			a := get(g.ID, i)
			if a == nil {
				a = &Assessment{Digest: c.Digest, Verdict: api.Unknown, Err: errPending}
			}
			item := newItem(g, c, a)
			key := keyOf(item)
			if have := byKey[key]; have != nil {
				merge(have, item)
				continue
			}
			byKey[key] = item
		}
	}
	all := make([]api.FleetItem, 0, len(byKey))
	for _, item := range byKey {
		all = append(all, *item)
	}
	slices.SortFunc(all, func(a, b api.FleetItem) int { return keyOf(&a).compare(keyOf(&b)) })
	return all
}

var errPending = errors.New("it has not been read yet")

// itemKey is what tells items apart.
type itemKey struct {
	namespace, kind, name, containerKind, container, image, digest, platform string
}

func keyOf(i *api.FleetItem) itemKey {
	k := itemKey{i.Namespace, i.Kind, i.Name, i.ContainerKind, i.Container, i.Image, i.Digest, ""}
	if i.Platform != nil {
		k.platform = i.Platform.String()
	}
	return k
}

func (k itemKey) compare(o itemKey) int {
	return cmp.Or(
		cmp.Compare(k.namespace, o.namespace), cmp.Compare(k.kind, o.kind), cmp.Compare(k.name, o.name),
		cmp.Compare(k.containerKind, o.containerKind), cmp.Compare(k.container, o.container),
		cmp.Compare(k.image, o.image), cmp.Compare(k.digest, o.digest), cmp.Compare(k.platform, o.platform))
}

func newItem(g Counted, c Container, a *Assessment) *api.FleetItem {
	item := &api.FleetItem{
		Namespace: g.Workload.Namespace, Kind: g.Workload.Kind, Name: g.Workload.Name, APIVersion: g.Workload.APIVersion,
		Owners: g.Owners, Container: c.Name, ContainerKind: c.Kind, Image: c.Image,
		Digest: a.Digest, Manifest: a.Manifest, Note: c.Note, Pods: g.Pods,
		Facts: a.Facts, Files: a.Files, Verdict: a.Verdict, Verdicts: append([]api.FleetVerdict{}, a.Verdicts...),
	}
	if g.Node.Platform != (api.Platform{}) {
		p := g.Node.Platform
		item.Platform = &p
	}
	if a.Err != nil {
		doc := errorOf(a.Err)
		item.Error = &doc
	}
	return item
}

// merge adds item to have, which differs in what is not shown: the graver stays.
func merge(have, item *api.FleetItem) {
	pods, owners := have.Pods+item.Pods, slices.Concat(have.Owners, item.Owners)
	if Graver(have.Verdict, item.Verdict) != have.Verdict {
		*have = *item
	}
	slices.Sort(owners)
	have.Pods, have.Owners = pods, slices.Compact(owners)
}

// errorOf returns err as documents have it.
func errorOf(err error) api.Error {
	doc := api.Error{
		SchemaVersion: api.SchemaVersion, Kind: api.KindError,
		Code: string(fault.CodeOf(err)), Message: err.Error(), Hint: fault.HintOf(err),
	}
	var f *fault.Error
	if errors.As(err, &f) {
		doc.Input = f.Input
	}
	return doc
}

// summary counts the groups' pods.
func summary(groups []Counted, get lookup) api.FleetSummary {
	s := api.FleetSummary{
		GoVersions: map[string]int{},
		Verdicts:   map[string]int{api.Pass: 0, api.Warn: 0, api.Deny: 0, api.Unknown: 0},
	}
	workloads, digests := map[Workload]bool{}, map[string]bool{}
	for _, g := range groups {
		workloads[g.Workload] = true
		s.Pods += g.Pods
		s.Containers += g.Pods * len(g.Containers)
		t := traits{minors: map[string]bool{}, verdict: api.Pass, noGo: true}
		for i, c := range g.Containers {
			a := get(g.ID, i)
			t.add(a)
			digest := c.Ref
			if a != nil && a.Digest != "" {
				digest = a.Digest
			}
			digests[digest] = true
		}
		t.count(&s, g.Pods)
	}
	s.Workloads, s.Images = len(workloads), len(digests)
	return s
}

// traits are what is counted of one pod.
type traits struct {
	minors                  map[string]bool
	past, glibc, musl, root bool
	noGo                    bool
	verdict                 string
}

func (t *traits) add(a *Assessment) {
	if a == nil || a.Verdict == api.Unknown && a.Facts == nil {
		t.verdict, t.noGo = Graver(t.verdict, api.Unknown), false
		return
	}
	t.verdict = Graver(t.verdict, a.Verdict)
	for _, minor := range a.GoMinors {
		t.minors[cmp.Or(minor, otherVersion)] = true
	}
	t.noGo = t.noGo && len(a.GoMinors) == 0
	f := a.Facts
	if f == nil {
		return
	}
	t.past = t.past || f.Supported != nil && !*f.Supported
	t.glibc = t.glibc || f.CGO && f.Libc == api.LibcGNU
	t.musl = t.musl || f.CGO && f.Libc == api.LibcMusl
	t.root = t.root || f.Root
}

// otherVersion stands for versions that cannot be parsed, such as a toolchain's
// that was built by hand.
const otherVersion = "other"

func (t *traits) count(s *api.FleetSummary, pods int) {
	for minor := range maps.Keys(t.minors) {
		s.GoVersions[minor] += pods
	}
	for _, c := range []struct {
		is bool
		n  *int
	}{{t.noGo, &s.NoGo}, {t.past, &s.PastSupport}, {t.glibc, &s.Glibc}, {t.musl, &s.Musl}, {t.root, &s.Root}} {
		if c.is {
			*c.n += pods
		}
	}
	s.Verdicts[t.verdict] += pods
}

// newList returns the document of the groups at a moment.
func newList(cluster string, now time.Time, groups []Counted, get lookup) *api.FleetList {
	return &api.FleetList{
		SchemaVersion: api.SchemaVersion, Kind: api.KindFleetList,
		Time: now.UTC().Format(time.RFC3339), Cluster: cluster,
		Summary: summary(groups, get), Items: items(groups, get),
	}
}
