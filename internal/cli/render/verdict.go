package render

import (
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
		name := Shorten(Clean(verdictName(v)), width-labelWidth)
		fmt.Fprintf(&b, "%s  %s\n", look.paint(verdictColor(v.Verdict), fmt.Sprintf("%-4s", v.Verdict)), name)
		hidden := 0
		for _, f := range v.Findings {
			if !look.Verbose && (f.Severity == api.Info || f.Exemption != nil) {
				hidden++
				continue
			}
			writeFinding(&b, f, look)
		}
		if hidden > 0 {
			fmt.Fprintf(&b, "      %d more for information or exempted (-v shows them)\n", hidden)
		}
	}
	return b.String()
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

func writeFinding(b *strings.Builder, f api.Finding, look Layout) {
	severity := f.Severity
	if f.Exemption != nil {
		severity = "exempted " + severity
	}
	fmt.Fprintf(b, "      %s  %s\n", look.paint(verdictColor(f.Severity), severity), Clean(f.Rule))
	hang(b, "        ", 8, join(": ", f.Path, f.Message))
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
