package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Attachments writes list as a table, JSON or YAML.
func Attachments(w io.Writer, f Format, list *api.AttachmentList, look Layout) error {
	if f != Table {
		return Document(w, f, list)
	}
	return write(w, attachmentTable(list, look))
}

// attachmentTable returns one line an attachment, with the problem of one that
// does not count below it.
func attachmentTable(list *api.AttachmentList, look Layout) string {
	if len(list.Items) == 0 {
		return ""
	}
	t := &table{}
	t.row("WHAT", "OF", "SUBJECT", "ATTACHMENT", "SIZE", "SIGNATURE")
	for i := range list.Items {
		a := &list.Items[i]
		of := "index"
		if a.Platform != nil {
			of = platform(*a.Platform)
		}
		t.row(statement(a), of, shortDigest(a.Subject), shortDigest(a.Digest), Size(a.Size), signature(a))
	}
	lines := t.lines()
	var out strings.Builder
	fmt.Fprintln(&out, look.paint(bold, lines[0]))
	for i, line := range lines[1:] {
		fmt.Fprintln(&out, line)
		if problem := list.Items[i].Problem; problem != "" {
			hang(&out, "  ", 2, problem)
		}
	}
	return out.String()
}

// statement names in short what a statement says.
func statement(a *api.Attachment) string {
	switch a.PredicateType {
	case api.PredicateFacts:
		return "facts"
	case api.PredicateBuildFacts:
		return "build facts"
	case api.PredicateProvenance:
		return "provenance"
	case api.PredicateSPDX:
		return "SPDX"
	case api.PredicateCycloneDX:
		return "CycloneDX"
	case api.PredicateSignature:
		return "signature"
	case "":
		return orDash(a.MediaType)
	}
	return a.PredicateType
}

func signature(a *api.Attachment) string {
	switch {
	case a.Verified:
		return "trusted key " + a.KeyID[:min(12, len(a.KeyID))]
	case a.Signed:
		return "not by a trusted key"
	}
	return "none"
}

// shortDigest returns enough of a digest to tell it from others.
func shortDigest(digest string) string {
	const hexDigits = 12
	algorithm, hex, ok := strings.Cut(digest, ":")
	if !ok || len(hex) <= hexDigits {
		return digest
	}
	return algorithm + ":" + hex[:hexDigits]
}
