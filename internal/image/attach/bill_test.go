package attach

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"

	"github.com/gopherwood-dev/gopherwood/api"
)

func TestSPDX(t *testing.T) {
	data := predicate(t, describe(t, sampleSubject(t), sampleRun()), api.PredicateSPDX)
	var doc v2_3.Document
	if err := spdxjson.ReadInto(bytes.NewReader(data), &doc); err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(&doc); err != nil {
		t.Error(err)
	}
	if doc.SPDXVersion != "SPDX-2.3" || doc.CreationInfo.Created != "2026-11-02T02:04:05Z" ||
		doc.DocumentNamespace != "https://gopherwood.dev/spdx/sha256/"+strings.Repeat("1", 64) {
		t.Errorf("document %s of %s, %s", doc.SPDXVersion, doc.CreationInfo.Created, doc.DocumentNamespace)
	}
	var got []string
	for _, p := range doc.Packages {
		line := []string{string(p.PackageSPDXIdentifier), p.PrimaryPackagePurpose, p.PackageName, p.PackageVersion}
		for _, c := range p.PackageChecksums {
			line = append(line, string(c.Algorithm)+":"+c.Value[:4])
		}
		for _, r := range p.PackageExternalReferences {
			line = append(line, r.RefType+" "+r.Locator)
		}
		if p.PackageLicenseConcluded != "NOASSERTION" || p.PackageLicenseDeclared != "NOASSERTION" || p.PackageDownloadLocation != "NOASSERTION" || p.FilesAnalyzed {
			t.Errorf("package %s claims what is not known", p.PackageName)
		}
		got = append(got, strings.Join(line, " | "))
	}
	const sum = "go-module-sum h1:Khu2En+0gcYPZ2kuIihfswbzxv/mIHXgzPZ018Oty48="
	want := []string{
		"Image | CONTAINER | app | " + digestOf("1") + " | SHA256:1111",
		"Base | CONTAINER | registry.example.org/base/glibc:12 | " + digestOf("2") + " | SHA256:2222 | purl pkg:oci/glibc@" + digestOf("2") + "?repository_url=registry.example.org%2Fbase%2Fglibc&tag=12",
		"Module-1 | LIBRARY | example.org/app |  | purl pkg:golang/example.org/app",
		"Module-2 | LIBRARY | example.org/fork | v1.0.1 | purl pkg:golang/example.org/fork@v1.0.1 | " + sum,
		"Module-3 | LIBRARY | example.org/local | ",
		"Module-4 | LIBRARY | example.org/old | v2.0.0+incompatible | purl pkg:golang/example.org/old@v2.0.0%2Bincompatible | " + sum,
		"Module-5 | LIBRARY | github.com/Upper/Case | v1.2.3 | purl pkg:golang/github.com/upper/case@v1.2.3 | " + sum,
		"Module-6 | LIBRARY | stdlib | 1.26.8 | purl pkg:golang/stdlib@1.26.8",
		"Executable-1 | APPLICATION | /usr/local/bin/app |  | SHA256:3333",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	var edges []string
	for _, r := range doc.Relationships {
		edges = append(edges, string(r.RefA.ElementRefID)+" "+r.Relationship+" "+string(r.RefB.ElementRefID))
	}
	wantEdges := []string{
		"DOCUMENT DESCRIBES Image", "Image DESCENDANT_OF Base", "Image CONTAINS Executable-1", "Executable-1 GENERATED_FROM Module-1",
		"Executable-1 STATIC_LINK Module-2", "Executable-1 STATIC_LINK Module-3", "Executable-1 STATIC_LINK Module-4",
		"Executable-1 STATIC_LINK Module-5", "Executable-1 STATIC_LINK Module-6",
	}
	if diff := cmp.Diff(wantEdges, edges); diff != "" {
		t.Errorf("relationships (-want +got):\n%s", diff)
	}
}

func TestCycloneDX(t *testing.T) {
	data := predicate(t, describe(t, sampleSubject(t), sampleRun()), api.PredicateCycloneDX)
	validateCycloneDX(t, data)
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(data), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.SpecVersion != cdx.SpecVersion1_6 || bom.Metadata.Timestamp != "2026-11-02T02:04:05Z" || bom.Metadata.Component.Version != digestOf("1") {
		t.Errorf("document of version %s about %s, %s", bom.SpecVersion, bom.Metadata.Component.Version, bom.Metadata.Timestamp)
	}
	if ancestors := *bom.Metadata.Component.Pedigree.Ancestors; len(ancestors) != 1 || ancestors[0].Version != digestOf("2") {
		t.Errorf("bases %+v", ancestors)
	}
	var got []string
	for _, c := range *bom.Components {
		line := []string{c.BOMRef, string(c.Type), c.Name, c.Version, c.PackageURL}
		if c.Properties != nil {
			for _, p := range *c.Properties {
				line = append(line, p.Name+"="+p.Value)
			}
		}
		if c.Licenses != nil {
			t.Errorf("component %s claims a licence", c.Name)
		}
		got = append(got, strings.Join(line, " | "))
	}
	const sum = "gopherwood:go:sum=h1:Khu2En+0gcYPZ2kuIihfswbzxv/mIHXgzPZ018Oty48="
	want := []string{
		"executable-1 | application | /usr/local/bin/app |  | ",
		"module-1 | library | example.org/app |  | pkg:golang/example.org/app",
		"module-2 | library | example.org/fork | v1.0.1 | pkg:golang/example.org/fork@v1.0.1 | " + sum + " | gopherwood:go:replaces=example.org/replaced@v1.0.0",
		"module-3 | library | example.org/local |  |  | gopherwood:go:replaces=example.org/local@v1.0.0",
		"module-4 | library | example.org/old | v2.0.0+incompatible | pkg:golang/example.org/old@v2.0.0%2Bincompatible | " + sum,
		"module-5 | library | github.com/Upper/Case | v1.2.3 | pkg:golang/github.com/upper/case@v1.2.3 | " + sum,
		"module-6 | library | stdlib | 1.26.8 | pkg:golang/stdlib@1.26.8",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
	if hashes := *(*bom.Components)[0].Hashes; len(hashes) != 1 || hashes[0].Value != strings.Repeat("3", 64) {
		t.Errorf("hashes of the executable %+v", hashes)
	}
	wantDeps := []cdx.Dependency{
		{Ref: "image", Dependencies: &[]string{"executable-1"}},
		{Ref: "executable-1", Dependencies: &[]string{"module-1", "module-2", "module-3", "module-4", "module-5", "module-6"}},
	}
	if diff := cmp.Diff(&wantDeps, bom.Dependencies); diff != "" {
		t.Errorf("dependencies (-want +got):\n%s", diff)
	}
}

// validateCycloneDX holds data against the schema that CycloneDX publishes.
func validateCycloneDX(t *testing.T, data []byte) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	compiler := jsonschema.NewCompiler()
	const prefix = "http://cyclonedx.org/schema/"
	for name, file := range map[string]string{
		"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		schema, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
		if err == nil {
			err = compiler.AddResource(prefix+name, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile(prefix + "bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Error(err)
	}
}

// TestBillsOfSeveralPrograms has two executables that share a module, one of
// which is no Go program.
func TestBillsOfSeveralPrograms(t *testing.T) {
	run := sampleRun()
	first, second := sampleBuilt().Facts, sampleBuilt().Facts
	second.Path, second.Digest, second.Entrypoint = "/bin/other", digestOf("6"), false
	second.Go = &api.Go{Version: "go1.25.3 X:arenas", Deps: first.Go.Deps[:1]}
	run.Files = []api.Facts{first, second, {Path: "/bin/sh", Digest: digestOf("7")}}
	data := predicate(t, describe(t, sampleSubject(t), run), api.PredicateCycloneDX)
	validateCycloneDX(t, data)
	var bom struct {
		Components   []struct{ Name, Version string }
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(data, &bom); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range bom.Components {
		names = append(names, c.Name+" "+c.Version)
	}
	want := []string{"/usr/local/bin/app ", "/bin/other ", "example.org/app ", "example.org/fork v1.0.1", "example.org/local ",
		"example.org/old v2.0.0+incompatible", "github.com/Upper/Case v1.2.3", "stdlib 1.25.3", "stdlib 1.26.8"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("components (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"module-5", "module-6"}, bom.Dependencies[2].DependsOn); diff != "" {
		t.Errorf("what /bin/other links (-want +got):\n%s", diff)
	}
}
