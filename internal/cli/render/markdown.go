package render

import (
	"fmt"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/base/harmless"
)

// markdown returns list as GitHub-flavoured Markdown that fits a merge request
// comment: a heading an item, its findings as a table.
func markdown(list *api.VerdictList) string {
	var b strings.Builder
	for i := range list.Items {
		v := &list.Items[i]
		fmt.Fprintf(&b, "### %s: %s\n\n", harmless.Markdown(v.Verdict), harmless.MarkdownCode(verdictName(v)))
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
			fmt.Fprintf(&b, "| %s | %s | %s |\n", harmless.MarkdownCode(e.Input), harmless.Markdown(e.Message), harmless.Markdown(e.Hint))
		}
	}
	return b.String()
}

func mdRow(v *api.Verdict, f api.Finding) string {
	severity := harmless.Markdown(f.Severity)
	if f.Exemption != nil {
		severity = fmt.Sprintf("exempted %s (%s)", severity, harmless.Markdown(exemption(f.Exemption)))
	}
	message := harmless.Markdown(f.Message)
	if place := findingPlace(v, f); place != "" {
		message = harmless.MarkdownCode(place) + " " + message
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", severity, harmless.MarkdownCode(f.Rule), message, harmless.Markdown(f.Hint))
}
