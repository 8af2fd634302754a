package api

// VerdictList is what `gopherwood check` prints.
type VerdictList struct {
	SchemaVersion string    `json:"schemaVersion"`
	Kind          string    `json:"kind"`
	Items         []Verdict `json:"items"`
	// Errors names what could not be judged; the items are the rest.
	Errors []Error `json:"errors,omitempty"`
}

// The values of Verdict.Verdict and Finding.Severity. A verdict is pass, warn or
// deny; a severity deny, warn or info.
const (
	Pass = "pass"
	Info = "info"
	Warn = "warn"
	Deny = "deny"
)

// Verdict is the answer about one image of one platform, or one executable.
type Verdict struct {
	Ref string `json:"ref"`
	// Path is where the executable is within a directory.
	Path string `json:"path,omitempty"`
	// Digest is the image's manifest digest or the file's sha256.
	Digest   string   `json:"digest,omitempty"`
	Platform Platform `json:"platform"`
	// Verdict is the gravest severity of the findings that are not exempted:
	// deny, warn, or pass when there is neither.
	Verdict  string    `json:"verdict"`
	Findings []Finding `json:"findings"`
}

// Finding is one thing that a rule has to say.
type Finding struct {
	// Rule is the rule's id, for example "start/library-missing".
	Rule string `json:"rule"`
	// Severity is deny, warn or info.
	Severity string `json:"severity"`
	// Path is the file within the image or tree that the finding is about.
	Path string `json:"path,omitempty"`
	// Line is where in a text file the finding is, from 1; 0 where there are no
	// lines. The file is Path, or the verdict's own where Path is empty.
	Line int `json:"line,omitempty"`
	// Message names the measured values.
	Message string `json:"message"`
	// Hint is what mends it.
	Hint string `json:"hint,omitempty"`
	// Exemption is set when the policy excuses this finding: it is shown but
	// does not count.
	Exemption *Exemption `json:"exemption,omitempty"`
}

// Exemption is who excused a finding, why and until when.
type Exemption struct {
	Owner  string `json:"owner"`
	Reason string `json:"reason"`
	// Expires is the last day it holds, YYYY-MM-DD.
	Expires string `json:"expires"`
}
