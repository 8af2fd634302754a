package render

import (
	"fmt"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// versionsTable returns one line a version, or all of each when verbose.
func versionsTable(list *api.GoVersionList, look Layout) string {
	var b strings.Builder
	if look.Verbose {
		for i := range list.Items {
			if i > 0 {
				b.WriteString("\n")
			}
			versionDetail(&b, &list.Items[i], look)
		}
		return b.String()
	}
	t := &table{flexible: 5, prose: true}
	t.row("GO", "RELEASED", "SUPPORTED", "UNTIL", "BY", "BROUGHT")
	for _, v := range list.Items {
		var features []string
		for _, f := range v.Features {
			features = append(features, f.ID)
		}
		t.row(v.Version, orDash(v.Released), yes(v.Supported), orDash(v.Until), v.Source, strings.Join(features, " "))
	}
	lines := t.lines()
	lines[0] = look.paint(bold, lines[0])
	return strings.Join(lines, "\n") + "\n"
}

// versionDetail writes everything known of v.
func versionDetail(b *strings.Builder, v *api.GoVersion, look Layout) {
	fmt.Fprintln(b, look.paint(bold, "go"+Clean(v.Version)))
	d := detail{b}
	d.line("released", v.Released)
	d.line("supported", yes(v.Supported))
	d.line("until", v.Until)
	d.line("by", v.Source)
	d.line("use", v.Use)
	d.list("scenarios", v.Scenarios)
	var features []string
	for _, f := range v.Features {
		features = append(features, join(": ", f.ID, f.Name, f.Description))
	}
	d.list("brought", features)
}
