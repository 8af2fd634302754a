package attach

import (
	"crypto/sha256"
	"fmt"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

const (
	cdxSchema = "http://cyclonedx.org/schema/bom-1.6.schema.json"
	// The names of the properties that components have.
	cdxPropertySum      = "gopherwood:go:sum"
	cdxPropertyReplaces = "gopherwood:go:replaces"
)

// cycloneDX is the bill as a CycloneDX 1.6 document. What each executable links
// is known and given; what the modules need of each other is not, and the
// document says so.
func (b *bill) cycloneDX() *cdx.BOM {
	image := cdx.Component{
		BOMRef: "image", Type: cdx.ComponentTypeContainer, Name: b.name, Version: b.digest.String(), Hashes: hashes(b.digest.String()),
	}
	if base, ok := baseOf(b.base); ok {
		image.Pedigree = &cdx.Pedigree{Ancestors: &[]cdx.Component{{
			Type: cdx.ComponentTypeContainer, Name: b.base.Ref, Version: b.base.Digest, PackageURL: base.URI, Hashes: hashes(b.base.Digest),
		}}}
	}
	var components []cdx.Component
	inImage := []string{}
	dependencies := []cdx.Dependency{{Ref: image.BOMRef, Dependencies: &inImage}}
	for i, p := range b.programs {
		ref := fmt.Sprintf("executable-%d", i+1)
		inImage = append(inImage, ref)
		components = append(components, cdx.Component{
			BOMRef: ref, Type: cdx.ComponentTypeApplication, Name: p.path, Hashes: hashes(p.digest),
		})
		dependencies = append(dependencies, cdx.Dependency{Ref: ref, Dependencies: p.cycloneDX()})
	}
	unknown := []cdx.BOMReference{}
	for i, m := range b.modules {
		components = append(components, m.cycloneDX(cdxModuleRef(i)))
		unknown = append(unknown, cdx.BOMReference(cdxModuleRef(i)))
	}
	tool := cdx.Component{Type: cdx.ComponentTypeApplication, Name: "gopherwood", Version: b.run.Version}
	return &cdx.BOM{
		JSONSchema: cdxSchema, BOMFormat: cdx.BOMFormat, SpecVersion: cdx.SpecVersion1_6, Version: 1,
		SerialNumber: serialNumber(b.digest.String()),
		Metadata: &cdx.Metadata{
			Timestamp: rfc3339(b.run.created()), Component: &image,
			Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{tool}},
		},
		Components:   &components,
		Dependencies: &dependencies,
		Compositions: &[]cdx.Composition{{Aggregate: cdx.CompositionAggregateUnknown, Dependencies: &unknown}},
	}
}

func cdxModuleRef(i int) string { return fmt.Sprintf("module-%d", i+1) }

// cycloneDX returns the references of what p was made from.
func (p program) cycloneDX() *[]string {
	refs := []string{}
	if p.main >= 0 {
		refs = append(refs, cdxModuleRef(p.main))
	}
	for _, m := range p.links {
		refs = append(refs, cdxModuleRef(m))
	}
	return &refs
}

func (m module) cycloneDX(ref string) cdx.Component {
	c := cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeLibrary, Name: m.path, Version: m.version, PackageURL: m.purl}
	var properties []cdx.Property
	if m.sum != "" {
		properties = append(properties, cdx.Property{Name: cdxPropertySum, Value: m.sum})
	}
	if m.replaces != "" {
		properties = append(properties, cdx.Property{Name: cdxPropertyReplaces, Value: m.replaces})
	}
	if len(properties) > 0 {
		c.Properties = &properties
	}
	return c
}

// hashes is a digest "sha256:…" in CycloneDX's terms; nil for others.
func hashes(digest string) *[]cdx.Hash {
	if hex := sha256Hex(digest); hex != "" {
		return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex}}
	}
	return nil
}

// serialNumber is a UUID of version 8 (RFC 9562) made from the SHA-256 of the
// subject's digest.
func serialNumber(digest string) string {
	sum := sha256.Sum256([]byte("cyclonedx " + digest))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
