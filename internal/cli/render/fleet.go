package render

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/harmless"
)

// HTML is the format of a page for a browser.
const HTML Format = "html"

// FleetFacts writes what runs: a table by workload, or any of the other formats.
// tool is the version of Gopherwood that SARIF and HTML name.
func FleetFacts(w io.Writer, f Format, list *api.FleetList, look Layout, tool string) error {
	if f == Table {
		return write(w, fleetTable(list, look))
	}
	return fleet(w, f, list, tool)
}

// FleetVerdicts writes the verdicts on what runs.
func FleetVerdicts(w io.Writer, f Format, list *api.FleetList, look Layout, tool string) error {
	if f == Table {
		return write(w, fleetVerdicts(list, look))
	}
	return fleet(w, f, list, tool)
}

func fleet(w io.Writer, f Format, list *api.FleetList, tool string) error {
	switch f {
	case JSON, YAML:
		return Document(w, f, list)
	case SARIF:
		return Document(w, JSON, sarifLog(fleetVerdictList(list), tool))
	case Markdown:
		return write(w, fleetMarkdown(list))
	case HTML:
		return fleetHTML(w, list, tool)
	}
	return unknown(f)
}

// The widths of the table's columns that are not flexible.
const (
	containerWidth = 12
	goWidth        = 12
)

// fleetTable returns one line an item below its namespace, and the summary.
func fleetTable(list *api.FleetList, look Layout) string {
	if len(list.Items) == 0 {
		return "no pods run\n"
	}
	t := &table{}
	t.row("WORKLOAD", "CONTAINER", "PODS", "GO", "LINK", "LIBC", "NOTES", "VERDICT")
	for i := range list.Items {
		item := &list.Items[i]
		f := item.Facts
		if f == nil {
			f = &api.FleetFacts{}
		}
		t.row("  "+workloadName(item), Shorten(Clean(item.Container), containerWidth), fmt.Sprint(item.Pods),
			Shorten(orDash(f.GoVersion), goWidth), orDash(f.Link), fleetLibc(f), fleetNotes(item), item.Verdict)
	}
	lines := t.lines()
	var b strings.Builder
	fmt.Fprintln(&b, look.paint(bold, lines[0]))
	namespace := ""
	for i, line := range lines[1:] {
		item := &list.Items[i]
		if i == 0 || item.Namespace != namespace {
			namespace = item.Namespace
			fmt.Fprintln(&b, Clean(namespace))
		}
		fmt.Fprintln(&b, line)
		if look.Verbose {
			fleetDetail(&b, item)
		}
	}
	b.WriteString("\n")
	fleetSummary(&b, &list.Summary)
	return b.String()
}

func fleetDetail(b *strings.Builder, item *api.FleetItem) {
	line := func(label, value string) {
		if value != "" {
			hang(b, fmt.Sprintf("      %-9s", label), 15, value)
		}
	}
	line("image", item.Image)
	line("digest", item.Digest)
	line("note", item.Note)
	if item.Platform != nil {
		line("platform", item.Platform.String())
	}
	if f := item.Facts; f != nil {
		line("program", f.Program)
		line("module", join(" ", f.Module, f.ModuleVersion))
		line("floor", f.Floor)
		line("user", f.User)
	}
	if item.Error != nil {
		line("error", item.Error.Message)
	}
}

func fleetLibc(f *api.FleetFacts) string {
	return libc(api.Link{Libc: f.Libc, Floor: f.Floor})
}

// workloadName is "Kind/name".
func workloadName(item *api.FleetItem) string { return item.Kind + "/" + item.Name }

// fleetNotes returns in short what else stands out of an item: a Go version past
// its end of support (eos), root, and containers that are no usual ones.
func fleetNotes(item *api.FleetItem) string {
	var words []string
	if f := item.Facts; f != nil {
		if f.Supported != nil && !*f.Supported {
			words = append(words, "eos")
		}
		if f.Root {
			words = append(words, "root")
		}
	}
	if item.ContainerKind != "container" {
		words = append(words, map[string]string{"initContainer": "init", "ephemeralContainer": "debug"}[item.ContainerKind])
	}
	return orDash(strings.Join(words, " "))
}

// fleetSummary writes what is counted, for people.
func fleetSummary(b *strings.Builder, s *api.FleetSummary) {
	fmt.Fprintf(b, "%s in %s run %s\n", plural(s.Pods, "pod"), plural(s.Workloads, "workload"), plural(s.Images, "image"))
	line := func(label, value string) {
		if value != "" {
			hang(b, fmt.Sprintf("  %-14s", label), 16, value)
		}
	}
	line("pods by Go", counts(s.GoVersions, newestFirst(s.GoVersions)))
	var traits []string
	for _, t := range []struct {
		n    int
		what string
	}{{s.NoGo, "without Go"}, {s.PastSupport, "past end of support"}, {s.Glibc, "linked with glibc"},
		{s.Musl, "linked with musl"}, {s.Root, "as root"}} {
		if t.n > 0 {
			traits = append(traits, fmt.Sprintf("%d %s", t.n, t.what))
		}
	}
	line("of these", strings.Join(traits, ", "))
	line("verdicts", counts(s.Verdicts, []string{api.Deny, api.Unknown, api.Warn, api.Pass}))
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// counts returns "name n, name n" in the order of names, without zeros.
func counts(m map[string]int, names []string) string {
	var parts []string
	for _, name := range names {
		if n := m[name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", name, n))
		}
	}
	return strings.Join(parts, ", ")
}

// newestFirst orders minors such as 1.9 and 1.26 by number; what is none is last.
func newestFirst(m map[string]int) []string {
	minor := func(name string) int {
		n, err := strconv.Atoi(strings.TrimPrefix(name, "1."))
		if err != nil {
			return -1
		}
		return n
	}
	names := slices.Sorted(maps.Keys(m))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(minor(b), minor(a)) })
	return names
}

// fleetVerdicts returns every item that is not passed, with what speaks against
// it; when verbose every item.
func fleetVerdicts(list *api.FleetList, look Layout) string {
	var b strings.Builder
	passed := 0
	for i := range list.Items {
		item := &list.Items[i]
		if item.Verdict == api.Pass && !look.Verbose {
			passed++
			continue
		}
		writeVerdict(&b, item.Verdict, Shorten(Clean(fleetItemName(item)), width-labelWidth), look)
		hang(&b, "      image ", 12, join(" ", item.Image, digestUnlessNamed(item)))
		if item.Error != nil {
			hang(&b, "      error ", 12, item.Error.Message)
		}
		for j := range item.Verdicts {
			v := &item.Verdicts[j]
			if len(item.Verdicts) > 1 || v.Action != "" {
				hang(&b, "      policy ", 13, join(", ", v.Policy, v.Action, v.Verdict))
			}
			writeFindings(&b, &api.Verdict{Findings: v.Findings}, look)
		}
	}
	if passed > 0 {
		fmt.Fprintf(&b, "%s passed (-v shows them)\n", plural(passed, "container"))
	}
	b.WriteString("\n")
	fleetSummary(&b, &list.Summary)
	return b.String()
}

// fleetItemName is "namespace/Kind/name container (platform), n pods".
func fleetItemName(item *api.FleetItem) string {
	name := item.Namespace + "/" + workloadName(item) + " " + item.Container
	if item.Platform != nil {
		name += " (" + platform(*item.Platform) + ")"
	}
	return name + ", " + plural(item.Pods, "pod")
}

func digestUnlessNamed(item *api.FleetItem) string {
	if item.Digest == "" || strings.HasSuffix(item.Image, "@"+item.Digest) {
		return ""
	}
	return "(" + shortDigest(item.Digest) + ")"
}

// fleetVerdictList returns the items as verdicts on "namespace/Kind/name/container".
func fleetVerdictList(list *api.FleetList) *api.VerdictList {
	out := &api.VerdictList{Errors: list.Errors}
	for i := range list.Items {
		item := &list.Items[i]
		v := api.Verdict{
			Ref:    join("/", item.Namespace, item.Kind, item.Name, item.Container),
			Digest: item.Digest, Verdict: item.Verdict, Findings: allFindings(item),
		}
		if item.Platform != nil {
			v.Platform = *item.Platform
		}
		out.Items = append(out.Items, v)
	}
	return out
}

// allFindings returns the findings of all policies, the same ones once.
func allFindings(item *api.FleetItem) []api.Finding {
	var all []api.Finding
	for _, v := range item.Verdicts {
		for _, f := range v.Findings {
			if !slices.ContainsFunc(all, func(o api.Finding) bool {
				return o.Rule == f.Rule && o.Path == f.Path && o.Message == f.Message && o.Severity == f.Severity &&
					(o.Exemption == nil) == (f.Exemption == nil)
			}) {
				all = append(all, f)
			}
		}
	}
	return all
}

// fleetMarkdown returns the summary and what is not passed, as Markdown.
func fleetMarkdown(list *api.FleetList) string {
	var b, text strings.Builder
	fmt.Fprintf(&b, "## Fleet of %s\n\n", harmless.Markdown(list.Cluster))
	fleetSummary(&text, &list.Summary)
	for line := range strings.Lines(text.String()) {
		fmt.Fprintf(&b, "- %s\n", harmless.Markdown(strings.Join(strings.Fields(line), " ")))
	}
	b.WriteString("\n| Verdict | Workload | Container | Pods | Go | Image | Why |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for i := range list.Items {
		item := &list.Items[i]
		if item.Verdict == api.Pass {
			continue
		}
		version := ""
		if item.Facts != nil {
			version = item.Facts.GoVersion
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %s | %s | %s |\n", harmless.Markdown(item.Verdict), harmless.MarkdownCode(item.Namespace+"/"+workloadName(item)),
			harmless.MarkdownCode(item.Container), item.Pods, harmless.Markdown(version), harmless.MarkdownCode(item.Image), harmless.Markdown(why(item)))
	}
	return b.String()
}

// why names the rules against an item, or its error.
func why(item *api.FleetItem) string {
	if item.Error != nil {
		return item.Error.Message
	}
	var rules []string
	for _, f := range allFindings(item) {
		if f.Exemption == nil && f.Severity != api.Info && !slices.Contains(rules, f.Rule) {
			rules = append(rules, f.Rule)
		}
	}
	return strings.Join(rules, ", ")
}
