package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// The rules about attached facts.
const (
	// FactsMismatch is the rule of findings that Mismatch makes.
	FactsMismatch = "facts/mismatch"
	// FactsUnread is the rule of the finding that what is attached is not known.
	FactsUnread = "facts/unread"
)

const (
	mismatchDescription = "The facts that are attached to the image are not those of its executables: the statement is wrong, whoever signed it, and what is decided from it is too."
	mismatchHint        = "do not trust who attached them; or, where they were made with another version of Gopherwood, attach them again with this one"
)

// maxDifferences is how many differing fields one finding names, and
// maxDifferenceLength how long each value in it may be, in bytes.
const (
	maxDifferences      = 5
	maxDifferenceLength = 120
)

// Mismatch holds the facts that are attached to an image against those measured
// of it, by path. What depends on where and how they were measured is left out:
// Ref, Source, Notes, and the digests in Image, which is compared only where it
// is attached. It returns a finding for each executable that differs, in the
// order of paths.
func Mismatch(attached, measured []api.Facts) []api.Finding {
	said, found := byPath(attached), byPath(measured)
	paths := slices.AppendSeq(slices.Collect(maps.Keys(said)), maps.Keys(found))
	slices.Sort(paths)
	var findings []api.Finding
	for _, path := range slices.Compact(paths) {
		var message string
		switch a, m := said[path], found[path]; {
		case len(m) == 0:
			message = "facts of an executable are attached that the image does not hold"
		case len(a) == 0:
			message = "the attached facts leave out this executable of the image"
		case len(a) != len(m):
			message = "facts of this executable are attached more than once"
		default:
			message = differences(a[0], m[0])
		}
		if message != "" {
			findings = append(findings, api.Finding{
				Rule: FactsMismatch, Severity: api.Deny, Path: path, Message: message, Hint: mismatchHint,
			})
		}
	}
	return findings
}

func byPath(files []api.Facts) map[string][]api.Facts {
	m := make(map[string][]api.Facts, len(files))
	for _, f := range files {
		m[f.Path] = append(m[f.Path], f)
	}
	return m
}

// differences names the fields in which two facts differ, with both values;
// empty when there are none.
func differences(attached, measured api.Facts) string {
	if attached.Image == nil {
		measured.Image = nil // they say nothing about it
	}
	var list []string
	compare("", comparison(attached), comparison(measured), func(field string, a, m any) {
		list = append(list, fmt.Sprintf("%s is %s in the attached facts and was measured as %s", field, show(a), show(m)))
	})
	if more := len(list) - maxDifferences; more > 0 {
		list = append(list[:maxDifferences], fmt.Sprintf("%d more fields differ", more))
	}
	return strings.Join(list, "; ")
}

// comparison is what there is to compare of f, as JSON has it.
func comparison(f api.Facts) any {
	f.Ref, f.Source, f.Notes = "", "", nil
	if f.Image != nil {
		img := *f.Image
		img.Digest, img.ConfigDigest, img.Layers = "", "", nil
		f.Image = &img
	}
	data, err := json.Marshal(f)
	if err != nil {
		return err.Error() // no value of these types fails
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err.Error()
	}
	return value
}

// compare calls differ for each place where two JSON values differ: the fields
// of objects by their names, the items of lists by their numbers.
func compare(field string, a, b any, differ func(field string, a, b any)) {
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			compareObjects(field, a, b, differ)
			return
		}
	case []any:
		if b, ok := b.([]any); ok && len(a) == len(b) {
			for i := range a {
				compare(field+"["+strconv.Itoa(i)+"]", a[i], b[i], differ)
			}
			return
		}
	default:
		if a == b {
			return
		}
	}
	differ(field, a, b)
}

func compareObjects(field string, a, b map[string]any, differ func(field string, a, b any)) {
	if field != "" {
		field += "."
	}
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		compare(field+key, a[key], b[key], differ)
	}
}

// show writes a JSON value for people, shortened.
func show(value any) string {
	if value == nil {
		return "absent"
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	if len(data) > maxDifferenceLength {
		return strings.ToValidUTF8(string(data[:maxDifferenceLength]), "") + "…"
	}
	return string(data)
}
