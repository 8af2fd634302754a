package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// FleetDiff writes what differs between two moments.
func FleetDiff(w io.Writer, f Format, d *api.FleetDiff, look Layout) error {
	switch f {
	case Table:
		return write(w, fleetDiffText(d, look))
	case JSON, YAML:
		return Document(w, f, d)
	}
	return unknown(f)
}

func fleetDiffText(d *api.FleetDiff, look Layout) string {
	var b strings.Builder
	title := func(sign, color, namespace, kind, name, container string, pods int) {
		what := fmt.Sprintf("%s/%s/%s %s, %s", namespace, kind, name, container, plural(pods, "pod"))
		fmt.Fprintf(&b, "%s %s\n", look.paint(color, sign), Shorten(Clean(what), width-2))
	}
	entry := func(sign, color string, e *api.FleetEntry) {
		title(sign, color, e.Namespace, e.Kind, e.Name, e.Container, e.Pods)
		hang(&b, "    image    ", 13, strings.Join(e.Images, ", "))
		hang(&b, "    go       ", 13, strings.Join(e.GoVersions, ", "))
		hang(&b, "    verdict  ", 13, join(": ", e.Verdict, strings.Join(e.Rules, ", ")))
	}
	for i := range d.Added {
		entry("+", green, &d.Added[i])
	}
	for i := range d.Removed {
		entry("-", red, &d.Removed[i])
	}
	for i := range d.Changed {
		c := &d.Changed[i]
		title("~", yellow, c.Namespace, c.Kind, c.Name, c.Container, c.Pods)
		changed := func(label string, v *api.FleetValues) {
			if v != nil {
				hang(&b, "    "+label, 13, list(v.From)+" → "+list(v.To))
			}
		}
		changed("image    ", c.Images)
		changed("digest   ", c.Digests)
		changed("go       ", c.GoVersions)
		if v := c.Verdict; v != nil {
			hang(&b, "    verdict  ", 13, v.From+" → "+v.To)
		}
		hang(&b, "    new      ", 13, strings.Join(c.NewRules, ", "))
		hang(&b, "    fixed    ", 13, strings.Join(c.FixedRules, ", "))
	}
	s := d.Summary
	fmt.Fprintf(&b, "%d added, %d removed, %d changed; %s, %d fixed\n", s.Added, s.Removed, s.Changed,
		plural(s.NewFindings, "new finding"), s.FixedFindings)
	return b.String()
}

func list(values []string) string { return orNothing(strings.Join(values, ", ")) }
