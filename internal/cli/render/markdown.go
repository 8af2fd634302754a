package render

import (
	"fmt"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// markdown returns list as GitHub-flavoured Markdown that fits a merge request
// comment: a heading an item, its findings as a table.
func markdown(list *api.VerdictList) string {
	var b strings.Builder
	for i := range list.Items {
		v := &list.Items[i]
		fmt.Fprintf(&b, "### %s: %s\n\n", mdText(v.Verdict), mdCode(verdictName(v)))
		if len(v.Findings) == 0 {
			b.WriteString("Nothing to say.\n\n")
			continue
		}
		b.WriteString("| Severity | Rule | Finding | Fix |\n| --- | --- | --- | --- |\n")
		for _, f := range v.Findings {
			b.WriteString(mdRow(v, f))
		}
		b.WriteString("\n")
	}
	if len(list.Errors) > 0 {
		b.WriteString("### Not judged\n\n| Input | Error | Fix |\n| --- | --- | --- |\n")
		for _, e := range list.Errors {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", mdCode(e.Input), mdText(e.Message), mdText(e.Hint))
		}
	}
	return b.String()
}

func mdRow(v *api.Verdict, f api.Finding) string {
	severity := mdText(f.Severity)
	if f.Exemption != nil {
		severity = fmt.Sprintf("exempted %s (%s)", severity, mdText(exemption(f.Exemption)))
	}
	message := mdText(f.Message)
	if place := findingPlace(v, f); place != "" {
		message = mdCode(place) + " " + message
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", severity, mdCode(f.Rule), message, mdText(f.Hint))
}

// mdText returns s so that Markdown shows it as it is: no markup, no HTML, no
// link and no mention comes of it.
func mdText(s string) string {
	s = mdEntities.Replace(Clean(s))
	s = strings.ReplaceAll(s, "://", "&#58;//")
	return strings.ReplaceAll(s, "www.", "www&#46;")
}

// mdEntities writes what Markdown gives a meaning to as character references.
// The zero-width space keeps "@name" from calling a person.
var mdEntities = strings.NewReplacer(
	"&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "|", "&#124;", "`", "&#96;", "*", "&#42;", "_", "&#95;",
	"[", "&#91;", "]", "&#93;", "(", "&#40;", ")", "&#41;", "~", "&#126;", "#", "&#35;", "!", "&#33;", "$", "&#36;",
	`\`, "&#92;", "@", "@&#8203;",
)

// mdCode returns s as code. The HTML element, unlike backquotes, can hold any
// character, also within a table.
func mdCode(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + strings.ReplaceAll(mdText(s), "@&#8203;", "&#64;") + "</code>"
}
