package render

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// The types below are the part of SARIF 2.1.0 (OASIS Standard, errata 01) that
// a verdict fills; the section numbers are its.

type sarifDocument struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct { // 3.14
	Tool        sarifTool         `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	Results     []sarifResult     `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct { // 3.19
	Name           string      `json:"name"`
	Version        string      `json:"version,omitempty"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct { // 3.49
	ID               string        `json:"id"`
	ShortDescription *sarifMessage `json:"shortDescription,omitempty"`
	Help             *sarifMessage `json:"help,omitempty"`
	Default          sarifConfig   `json:"defaultConfiguration"`
}

type sarifConfig struct {
	Level string `json:"level"`
}

type sarifInvocation struct { // 3.20
	Successful    bool                `json:"executionSuccessful"`
	Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct { // 3.58
	Level   string       `json:"level"`
	Message sarifMessage `json:"message"`
}

type sarifMessage struct { // 3.11
	Text string `json:"text"`
}

type sarifResult struct { // 3.27
	RuleID       string             `json:"ruleId"`
	RuleIndex    int                `json:"ruleIndex"`
	Level        string             `json:"level"`
	Message      sarifMessage       `json:"message"`
	Locations    []sarifLocation    `json:"locations"`
	Fingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
}

type sarifLocation struct { // 3.28
	Physical sarifPhysical  `json:"physicalLocation"`
	Logical  []sarifLogical `json:"logicalLocations"`
}

type sarifPhysical struct { // 3.29
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifRegion struct { // 3.30
	StartLine int `json:"startLine"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifLogical struct { // 3.33
	FullyQualifiedName string `json:"fullyQualifiedName"`
	Kind               string `json:"kind"`
}

type sarifSuppression struct { // 3.35
	Kind          string `json:"kind"`
	Status        string `json:"status"`
	Justification string `json:"justification"`
}

// sarifLog returns list as a SARIF log of one run.
func sarifLog(list *api.VerdictList, tool string) sarifDocument {
	rules, index := sarifRules(list)
	run := sarifRun{
		Tool: sarifTool{sarifDriver{
			Name:           "gopherwood",
			Version:        tool,
			InformationURI: "https://github.com/gopherwood-dev/gopherwood",
			Rules:          rules,
		}},
		Invocations: []sarifInvocation{sarifErrors(list.Errors)},
		Results:     []sarifResult{},
	}
	for i := range list.Items {
		for _, f := range list.Items[i].Findings {
			run.Results = append(run.Results, sarifFinding(&list.Items[i], f, index[f.Rule]))
		}
	}
	return sarifDocument{
		Schema:  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{run},
	}
}

// sarifRules returns the rules that list's findings name, sorted, and the index
// of each.
func sarifRules(list *api.VerdictList) ([]sarifRule, map[string]int) {
	byID := map[string]sarifRule{}
	for _, v := range list.Items {
		for _, f := range v.Findings {
			if _, seen := byID[f.Rule]; !seen {
				byID[f.Rule] = sarifRuleOf(f)
			}
		}
	}
	rules := make([]sarifRule, 0, len(byID))
	for _, r := range byID {
		rules = append(rules, r)
	}
	slices.SortFunc(rules, func(a, b sarifRule) int { return strings.Compare(a.ID, b.ID) })
	index := make(map[string]int, len(rules))
	for i, r := range rules {
		index[r.ID] = i
	}
	return rules, index
}

func sarifRuleOf(f api.Finding) sarifRule {
	r := sarifRule{
		ID:               f.Rule,
		ShortDescription: &sarifMessage{sarifText(f.Rule)},
		Default:          sarifConfig{sarifLevel(f.Severity)},
	}
	if f.Hint != "" {
		r.Help = &sarifMessage{sarifText(f.Hint)}
	}
	return r
}

func sarifErrors(errs []api.Error) sarifInvocation {
	inv := sarifInvocation{Successful: len(errs) == 0}
	for _, e := range errs {
		inv.Notifications = append(inv.Notifications,
			sarifNotification{Level: "error", Message: sarifMessage{sarifText(join(". ", e.Message, e.Hint))}})
	}
	return inv
}

func sarifFinding(v *api.Verdict, f api.Finding, rule int) sarifResult {
	r := sarifResult{
		RuleID:    f.Rule,
		RuleIndex: rule,
		Level:     sarifLevel(f.Severity),
		Message:   sarifMessage{sarifText(join(". ", strings.TrimSuffix(f.Message, "."), f.Hint))},
		Locations: []sarifLocation{sarifPlace(v, f)},
		Fingerprints: map[string]string{
			"gopherwoodFinding/v1": fingerprint(f.Rule, v.Ref, v.Path, v.Platform.String(), f.Path, f.Message),
		},
	}
	if f.Exemption != nil {
		r.Suppressions = []sarifSuppression{{
			Kind: "external", Status: "accepted", Justification: sarifText(exemption(f.Exemption)),
		}}
	}
	return r
}

// sarifPlace names the file that f is about, for people as it would stand on a
// command line and for programs as a URI.
func sarifPlace(v *api.Verdict, f api.Finding) sarifLocation {
	name := itemName(v.Ref, v.Path)
	uri := name
	if f.Path != "" && f.Path != v.Path {
		name = itemName(name, f.Path)
		uri = strings.TrimSuffix(uri, "/") + "/" + strings.TrimPrefix(f.Path, "/")
	}
	var region *sarifRegion
	if f.Line > 0 {
		region = &sarifRegion{StartLine: f.Line}
	}
	return sarifLocation{
		Physical: sarifPhysical{Artifact: sarifArtifact{uriOf(uri)}, Region: region},
		Logical:  []sarifLogical{{FullyQualifiedName: Clean(name), Kind: "resource"}},
	}
}

// uriOf returns name as a relative URI reference, or as a file URI when it is an
// absolute path.
func uriOf(name string) string {
	segments := strings.Split(path.Clean(filepath.ToSlash(name)), "/")
	for i, s := range segments {
		segments[i] = strings.ReplaceAll(url.PathEscape(s), ":", "%3A")
	}
	uri := strings.Join(segments, "/")
	if filepath.IsAbs(name) {
		uri = "file:///" + strings.TrimPrefix(uri, "/")
	}
	return uri
}

func sarifLevel(severity string) string {
	switch severity {
	case api.Deny:
		return "error"
	case api.Warn:
		return "warning"
	}
	return "note"
}

// sarifText returns s for a message's text: brackets would make a link (3.11.6)
// and braces a placeholder (3.11.5).
func sarifText(s string) string {
	return strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `{`, `{{`, `}`, `}}`).Replace(Clean(s))
}

// fingerprint returns a stable name for the parts: the start of the SHA-256 of
// them, each ended by a NUL, in hex.
func fingerprint(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00") + "\x00"))
	return hex.EncodeToString(sum[:16])
}
