package admission

import (
	"fmt"
	"slices"
	"strings"
)

// message is what kubectl shows of a refusal: by container, what is wrong, what
// mends it, and which policy says so where there are several.
func message(a *asked, no []point) string {
	policies := policiesOf(no)
	var b strings.Builder
	name := a.work.Kind + " " + or(a.work.Name, "without a name")
	fmt.Fprintf(&b, "%s is refused by %s", plain(name, maxName), plain(strings.Join(policies, ", "), 2*maxName))
	left, at := 0, ""
	for i := range no {
		p := &no[i]
		text := p.text(len(policies) > 1)
		if head := p.head(); head != at {
			at = head
			text = "\n" + head + text
		}
		// Some room is left for saying how much is left out.
		if b.Len()+len(text) > maxMessage-64 {
			left = len(no) - i
			break
		}
		b.WriteString(text)
	}
	if left > 0 {
		fmt.Fprintf(&b, "\n… and %s; gopherwood check shows all", counted(left, "more finding"))
	}
	return b.String()
}

// policiesOf names the policies of all points, sorted.
func policiesOf(points []point) []string {
	var all []string
	for _, p := range points {
		all = append(all, p.policies...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// head says which container a point is about.
func (p *point) head() string {
	if p.order == 0 {
		return ""
	}
	return fmt.Sprintf("container %s, image %s:", plain(p.container, maxName), plain(p.image, maxName))
}

// text is a point in a refusal.
func (p *point) text(named bool) string {
	s := "\n  " + p.finding.Rule + ": " + p.what()
	if p.finding.Hint != "" {
		s += "\n    fix: " + plain(p.finding.Hint, maxFinding)
	}
	if named {
		s += "\n    policy: " + plain(strings.Join(p.policies, ", "), maxFinding)
	}
	return s
}

// what is the finding's message, with the file that it is about.
func (p *point) what() string {
	text := plain(p.finding.Message, maxFinding)
	if p.finding.Path != "" && !strings.Contains(p.finding.Message, p.finding.Path) {
		text = plain(p.finding.Path, maxName) + " " + text
	}
	return text
}

// warnings says the points in one line each.
func warnings(points []point) []string {
	var out []string
	size := 0
	for i := range points {
		p := &points[i]
		text := p.finding.Rule + ": " + p.what()
		if p.order > 0 {
			text = "container " + plain(p.container, maxName) + ": " + text
		}
		if p.finding.Hint != "" {
			text += "; fix: " + plain(p.finding.Hint, maxFinding)
		}
		text = cut(text, maxWarning)
		if size += len(text); size > maxWarnings-maxWarning {
			return append(out, fmt.Sprintf("… and %s; gopherwood check shows all", counted(len(points)-i, "more warning")))
		}
		out = append(out, text)
	}
	return out
}
