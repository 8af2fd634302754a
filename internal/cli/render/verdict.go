package render

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// verdictTable returns one line an item, with what counts against it below it;
// when verbose also what is only said for information or is exempted.
func verdictTable(list *api.VerdictList, look Layout) string {
	var b strings.Builder
	for i := range list.Items {
		v := &list.Items[i]
		writeVerdict(&b, v.Verdict, Shorten(Clean(verdictName(v)), width-labelWidth), look)
		writeFindings(&b, v, look)
	}
	return b.String()
}

// writeVerdict writes the line that says what is passed, warned about or denied.
func writeVerdict(b *strings.Builder, verdict, what string, look Layout) {
	fmt.Fprintf(b, "%s  %s\n", look.paint(verdictColor(verdict), fmt.Sprintf("%-4s", verdict)), what)
}

// writeFindings writes what was found, and how many are not shown.
func writeFindings(b *strings.Builder, v *api.Verdict, look Layout) {
	hidden := 0
	for _, f := range v.Findings {
		if !look.Verbose && (f.Severity == api.Info || f.Exemption != nil) {
			hidden++
			continue
		}
		writeFinding(b, v, f, look)
	}
	if hidden > 0 {
		fmt.Fprintf(b, "      %d more for information or exempted (-v shows them)\n", hidden)
	}
}

// verdictName names what a verdict is about. The platform tells apart the
// verdicts of a multi-platform image.
func verdictName(v *api.Verdict) string {
	name := itemName(v.Ref, v.Path)
	if v.Platform != (api.Platform{}) {
		name += " (" + v.Platform.String() + ")"
	}
	return name
}

// findingPlace names the file that f is about, with the line where there is one:
// "path:line". It is empty for a finding about the whole of v.
func findingPlace(v *api.Verdict, f api.Finding) string {
	if f.Line == 0 {
		return f.Path
	}
	return fmt.Sprintf("%s:%d", cmp.Or(f.Path, itemName(v.Ref, v.Path)), f.Line)
}

func writeFinding(b *strings.Builder, v *api.Verdict, f api.Finding, look Layout) {
	severity := f.Severity
	if f.Exemption != nil {
		severity = "exempted " + severity
	}
	fmt.Fprintf(b, "      %s  %s\n", look.paint(verdictColor(f.Severity), severity), Clean(f.Rule))
	hang(b, "        ", 8, join(": ", findingPlace(v, f), f.Message))
	if f.Hint != "" {
		hang(b, "        fix: ", 13, f.Hint)
	}
	if e := f.Exemption; e != nil {
		hang(b, "        exempted: ", 18, exemption(e))
	}
}

func exemption(e *api.Exemption) string {
	return fmt.Sprintf("%s (%s, until %s)", e.Reason, e.Owner, e.Expires)
}

func verdictColor(verdict string) string {
	switch verdict {
	case api.Deny:
		return red
	case api.Warn:
		return yellow
	case api.Pass:
		return green
	}
	return bold
}
