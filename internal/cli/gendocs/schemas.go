package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/gopherwood-dev/gopherwood/api"
)

// document is a kind of document that has a schema.
type document struct {
	file  string
	kind  string
	value any
	// input is true for files that people write: unknown keys are mistakes
	// there, while what Gopherwood prints may get more fields.
	input bool
}

func schemas(out files) error {
	for _, d := range []document{
		{"facts", api.KindFactsList, &api.FactsList{}, false},
		{"verdict", api.KindVerdictList, &api.VerdictList{}, false},
		{"versions", api.KindGoVersionList, &api.GoVersionList{}, false},
		{"build", api.KindBuildList, &api.BuildList{}, false},
		{"attachments", api.KindAttachmentList, &api.AttachmentList{}, false},
		{"rebuild", api.KindRebuildReport, &api.RebuildReport{}, false},
		{"fleet", api.KindFleetList, &api.FleetList{}, false},
		{"fleet-diff", api.KindFleetDiff, &api.FleetDiff{}, false},
		{"module-warm", api.KindModuleWarmReport, &api.ModuleWarmReport{}, false},
		{"module-verify", api.KindModuleVerifyReport, &api.ModuleVerifyReport{}, false},
		{"module-gc", api.KindModuleGCReport, &api.ModuleGCReport{}, false},
		{"module-stats", api.KindModuleStats, &api.ModuleStats{}, false},
		{"module-export", api.KindModuleExportReport, &api.ModuleExportReport{}, false},
		{"module-import", api.KindModuleImportReport, &api.ModuleImportReport{}, false},
		{"bench-gate", api.KindBenchGate, &api.BenchGate{}, false},
		{"bench-results", api.KindBenchResults, &api.BenchResults{}, false},
		{"bench-comparison", api.KindBenchComparison, &api.BenchComparison{}, false},
		{"bench-history", api.KindBenchHistory, &api.BenchHistory{}, false},
		{"bench-history-update", api.KindBenchHistoryUpdate, &api.BenchHistoryUpdate{}, false},
		{"bench-calibration", api.KindBenchCalibration, &api.BenchCalibration{}, false},
		{"config", api.KindConfig, &api.Config{}, true},
		{"policy", api.KindPolicy, &api.Policy{}, true},
		{"matrix", api.KindVersionMatrix, &api.VersionMatrix{}, true},
		{"modulepolicy", api.KindModulePolicy, &api.ModulePolicy{}, true},
		{"moduleaccess", api.KindModuleAccess, &api.ModuleAccess{}, true},
	} {
		data, err := d.schema()
		if err != nil {
			return fmt.Errorf("schema of %s: %w", d.kind, err)
		}
		out["docs/formats/"+d.file+".schema.json"] = data
	}
	return nil
}

const module = "github.com/gopherwood-dev/gopherwood"

// schema returns d's JSON Schema (draft 2020-12), documented with the comments
// of package api.
func (d document) schema() ([]byte, error) {
	r := &jsonschema.Reflector{
		Anonymous:                 true,
		ExpandedStruct:            true,
		AllowAdditionalProperties: !d.input,
	}
	if err := r.AddGoComments(module, "api"); err != nil {
		return nil, err
	}
	s := r.Reflect(d.value)
	s.ID = jsonschema.ID("https://" + module + "/docs/formats/" + d.file + ".schema.json")
	s.Title = d.kind
	constant(s, "schemaVersion", api.SchemaVersion)
	constant(s, "kind", d.kind)
	delete(s.Definitions, d.kind)
	for name, def := range s.Definitions {
		amend(name, def, d)
	}
	data, err := json.MarshalIndent(s, "", "  ")
	return append(data, '\n'), err
}

// constant gives the property name of s its only value.
func constant(s *jsonschema.Schema, name, value string) {
	if p, ok := s.Properties.Get(name); ok {
		p.Const = value
	}
}

// amend says of a definition what the Go type cannot.
func amend(name string, def *jsonschema.Schema, d document) {
	if d.kind == api.KindPolicy && !strings.HasPrefix(name, d.kind) {
		// Facts within a policy's cases: what is left out is empty.
		def.Required = nil
		if settings, ok := def.Properties.Get("settings"); ok { // "-race: true" needs no quotes
			settings.AdditionalProperties = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "boolean"}}}
		}
	}
	switch name {
	case "Facts": // null when not known
		orType(def, "capabilities", "null")
	case "MatrixRelease": // 1.22 without quotes is a number to YAML
		orType(def, "version", "number")
	case "GoFeature":
		orType(def, "since", "number")
	}
}

// orType allows the property name of def to be of another type, too.
func orType(def *jsonschema.Schema, name, other string) {
	p, ok := def.Properties.Get(name)
	if !ok {
		return
	}
	own := *p
	own.Description = ""
	*p = jsonschema.Schema{Description: p.Description, AnyOf: []*jsonschema.Schema{&own, {Type: other}}}
}
