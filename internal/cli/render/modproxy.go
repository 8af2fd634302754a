package render

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// ModuleStats writes what is in a store as a table, JSON or YAML.
func ModuleStats(w io.Writer, f Format, stats *api.ModuleStats, look Layout) error {
	if f != Table {
		return Document(w, f, stats)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s in %s, %s\n", count(stats.Versions, "version"), count(stats.Modules, "module"), Clean(stats.Store), Size(stats.Bytes))
	if len(stats.Origins) > 0 {
		t := &table{flexible: 0}
		t.row("ORIGIN", "VERSIONS", "SIZE")
		for _, o := range stats.Origins {
			t.row(o.Origin, strconv.Itoa(o.Versions), Size(o.Bytes))
		}
		b.WriteString("\n")
		headed(&b, t, look)
	}
	if look.Verbose && len(stats.Items) > 0 {
		t := &table{flexible: 0}
		t.row("MODULE", "VERSIONS", "SIZE", "NEWEST", "STORED", "LAST USED")
		for _, i := range stats.Items {
			t.row(i.Path, strconv.Itoa(i.Versions), Size(i.Bytes), i.Newest, i.Stored, orDash(i.LastUsed))
		}
		b.WriteString("\n")
		headed(&b, t, look)
	}
	return write(w, b.String())
}

// ModuleWarm writes what warm has done as a line, JSON or YAML.
func ModuleWarm(w io.Writer, f Format, r *api.ModuleWarmReport) error {
	if f != Table {
		return Document(w, f, r)
	}
	text := fmt.Sprintf("%s: %d fetched (%s), %d present", count(r.Wanted, "version"), len(r.Fetched), Size(r.Bytes), r.Present)
	return write(w, text+failures(len(r.Errors))+"\n")
}

// ModuleVerify writes what verify has found as a table, JSON or YAML.
func ModuleVerify(w io.Writer, f Format, r *api.ModuleVerifyReport, look Layout) error {
	if f != Table {
		return Document(w, f, r)
	}
	var b strings.Builder
	repaired := 0
	for _, p := range r.Problems {
		state := ""
		switch {
		case p.Repaired:
			repaired++
			state = " (repaired)"
		case p.NotRepaired != "":
			state = " (not repaired)"
		}
		fmt.Fprintf(&b, "%s: %s%s\n", look.paint(bold, Clean(p.Path+"@"+p.Version)), p.Problem, state)
		hang(&b, "  ", 2, p.Message)
		if p.NotRepaired != "" {
			hang(&b, "  ", 2, "not repaired: "+p.NotRepaired)
		}
	}
	fmt.Fprintf(&b, "%s hashed, %s: %d wrong", count(r.Versions, "version"), Size(r.Bytes), len(r.Problems))
	if repaired > 0 {
		fmt.Fprintf(&b, ", %d repaired", repaired)
	}
	return write(w, b.String()+"\n")
}

// ModuleGC writes what gc has removed as a table, JSON or YAML.
func ModuleGC(w io.Writer, f Format, r *api.ModuleGCReport, look Layout) error {
	if f != Table {
		return Document(w, f, r)
	}
	var b strings.Builder
	if len(r.Removed) > 0 {
		t := &table{flexible: 0}
		t.row("MODULE", "SIZE", "REASON", "LAST USED")
		for _, v := range r.Removed {
			t.row(v.Path+"@"+v.Version, Size(v.Bytes), v.Reason, v.LastUsed)
		}
		headed(&b, t, look)
	}
	verb := "removed"
	if r.DryRun {
		verb = "would be removed"
	}
	fmt.Fprintf(&b, "%d of %s %s, %s of %s", len(r.Removed), count(r.Versions, "version"), verb, Size(r.Freed), Size(r.Bytes))
	if len(r.InUse) > 0 {
		fmt.Fprintf(&b, "; %d in use", len(r.InUse))
	}
	return write(w, b.String()+failures(len(r.Errors))+"\n")
}

// ModuleExport writes what was exported as a line, JSON or YAML.
func ModuleExport(w io.Writer, f Format, r *api.ModuleExportReport) error {
	if f != Table {
		return Document(w, f, r)
	}
	return write(w, fmt.Sprintf("%s in %s, %s%s\n", count(r.Versions, "version"), Clean(r.File), Size(r.Bytes), failures(len(r.Errors))))
}

// ModuleImport writes what was imported as a line, JSON or YAML.
func ModuleImport(w io.Writer, f Format, r *api.ModuleImportReport) error {
	if f != Table {
		return Document(w, f, r)
	}
	return write(w, fmt.Sprintf("%s imported (%s), %d present%s\n", count(len(r.Imported), "version"), Size(r.Bytes), r.Present, failures(len(r.Errors))))
}

// headed writes a table whose first row is its head.
func headed(b *strings.Builder, t *table, look Layout) {
	lines := t.lines()
	lines[0] = look.paint(bold, lines[0])
	b.WriteString(strings.Join(lines, "\n") + "\n")
}

// count returns "1 module", "2 modules".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// failures says how many things failed; nothing for none.
func failures(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d failed", n)
}
