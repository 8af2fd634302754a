package render

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Builds writes list as JSON or YAML, or for Table the references of the images,
// one a line: what a script passes on.
func Builds(w io.Writer, f Format, list *api.BuildList) error {
	if f != Table {
		return Document(w, f, list)
	}
	var b strings.Builder
	for i := range list.Items {
		for _, ref := range list.Items[i].Refs {
			fmt.Fprintln(&b, Clean(ref))
		}
	}
	return write(w, b.String())
}

// BuildReport writes for people what was decided about the images of build, and
// the verdict on each.
func BuildReport(w io.Writer, build *api.Build, look Layout) error {
	var b strings.Builder
	for i := range build.Images {
		image := &build.Images[i]
		writeVerdict(&b, image.Verdict.Verdict, Shorten(Clean(build.Package+" ("+image.Platform.String()+")"), width-labelWidth), look)
		line := func(label, value string) {
			if value != "" {
				hang(&b, fmt.Sprintf("      %-8s", label), 14, value)
			}
		}
		line("digest", image.Digest)
		line("size", fmt.Sprintf("%s in %d layers; the program %s", Size(image.Size), len(image.Layers), Size(image.Facts.Size)))
		line("base", join(": ", image.Base.Ref, image.Base.Reason))
		line("cgo", image.Build.CGO.Reason)
		writeFindings(&b, &image.Verdict, look)
	}
	return write(w, b.String())
}

// Rebuilds writes report as JSON, YAML or text.
func Rebuilds(w io.Writer, f Format, report *api.RebuildReport, look Layout) error {
	if f != Table {
		return Document(w, f, report)
	}
	var b strings.Builder
	for i := range report.Items {
		item := &report.Items[i]
		color := green
		if item.Verdict != api.RebuildSame {
			color = red
		}
		fmt.Fprintf(&b, "%s  %s\n", look.paint(color, item.Verdict), Shorten(Clean(report.Ref+" ("+item.Platform.String()+")"), width-labelWidth))
		hang(&b, "      recorded  ", 16, item.Recorded)
		hang(&b, "      rebuilt   ", 16, item.Rebuilt)
		for _, d := range item.Differences {
			hang(&b, "      differs: ", 15, fmt.Sprintf("%s %s: %s, now %s", d.Kind, d.Name, orNothing(d.Recorded), orNothing(d.Rebuilt)))
		}
	}
	return write(w, b.String())
}

func orNothing(s string) string { return cmp.Or(s, "nothing") }
