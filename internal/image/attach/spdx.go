package attach

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// What SPDX writes where nothing is known, and the purposes of packages.
const (
	noAssertion          = "NOASSERTION"
	spdxContainer        = "CONTAINER"
	spdxApplication      = "APPLICATION"
	spdxLibrary          = "LIBRARY"
	spdxRefImage         = "Image"
	spdxRefBase          = "Base"
	spdxNamespacePrefix  = "https://gopherwood.dev/spdx/"
	spdxModuleSumRefType = "go-module-sum"
)

// spdx is the bill as an SPDX 2.3 document. Executables are packages and not
// files, since SPDX asks for a file's SHA-1.
func (b *bill) spdx() *spdx.Document {
	d := &spdxDocument{Document: &spdx.Document{
		SPDXVersion:       spdx.Version,
		DataLicense:       spdx.DataLicense,
		SPDXIdentifier:    "DOCUMENT",
		DocumentName:      b.name,
		DocumentNamespace: spdxNamespacePrefix + b.digest.Algorithm + "/" + b.digest.Hex,
		CreationInfo: &spdx.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: strings.TrimSuffix("gopherwood-"+b.run.Version, "-")}},
			Created:  rfc3339(b.run.created()),
		},
	}}
	image := d.add(spdxRefImage, b.name, spdxContainer)
	image.PackageVersion = b.digest.String()
	image.PackageChecksums = checksums(b.digest.String())
	d.relate("DOCUMENT", common.TypeRelationshipDescribe, spdxRefImage)
	if base, ok := baseOf(b.base); ok {
		p := d.add(spdxRefBase, b.base.Ref, spdxContainer)
		p.PackageVersion = b.base.Digest
		p.PackageChecksums = checksums(b.base.Digest)
		addPURL(p, base.URI)
		d.relate(spdxRefImage, common.TypeRelationshipDescendantOf, spdxRefBase)
	}
	for i, m := range b.modules {
		d.addModule(moduleRef(i), m)
	}
	for i, p := range b.programs {
		d.addProgram(fmt.Sprintf("Executable-%d", i+1), p)
	}
	return d.Document
}

func moduleRef(i int) string { return fmt.Sprintf("Module-%d", i+1) }

// spdxDocument is a document in the making.
type spdxDocument struct{ *spdx.Document }

func (d *spdxDocument) add(ref, name, purpose string) *spdx.Package {
	p := &spdx.Package{
		PackageName:               name,
		PackageSPDXIdentifier:     common.ElementID(ref),
		PackageDownloadLocation:   noAssertion,
		IsFilesAnalyzedTagPresent: true,
		PackageLicenseConcluded:   noAssertion,
		PackageLicenseDeclared:    noAssertion,
		PackageCopyrightText:      noAssertion,
		PrimaryPackagePurpose:     purpose,
	}
	d.Packages = append(d.Packages, p)
	return p
}

func (d *spdxDocument) addModule(ref string, m module) {
	p := d.add(ref, m.path, spdxLibrary)
	p.PackageVersion = m.version
	addPURL(p, m.purl)
	if m.sum != "" {
		// It is no checksum of a file that one could have, and so no PackageChecksum.
		p.PackageExternalReferences = append(p.PackageExternalReferences, &spdx.PackageExternalReference{
			Category: common.CategoryOther, RefType: spdxModuleSumRefType, Locator: m.sum,
			ExternalRefComment: "the hash of the module's files in go.sum",
		})
	}
	if m.replaces != "" {
		p.PackageComment = "linked in the place of " + m.replaces
	}
}

func (d *spdxDocument) addProgram(ref string, p program) {
	pkg := d.add(ref, p.path, spdxApplication)
	pkg.PackageFileName = p.path
	pkg.PackageChecksums = checksums(p.digest)
	d.relate(spdxRefImage, common.TypeRelationshipContains, ref)
	if p.main >= 0 {
		d.relate(ref, common.TypeRelationshipGeneratedFrom, moduleRef(p.main))
	}
	for _, m := range p.links {
		d.relate(ref, common.TypeRelationshipStaticLink, moduleRef(m))
	}
}

func (d *spdxDocument) relate(a, relationship, b string) {
	d.Relationships = append(d.Relationships, &spdx.Relationship{
		RefA: common.MakeDocElementID("", a), RefB: common.MakeDocElementID("", b), Relationship: relationship,
	})
}

func addPURL(p *spdx.Package, purl string) {
	if purl != "" {
		p.PackageExternalReferences = append(p.PackageExternalReferences, &spdx.PackageExternalReference{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: purl,
		})
	}
}

// checksums is a digest "sha256:…" in SPDX's terms; none for others.
func checksums(digest string) []common.Checksum {
	if hex := sha256Hex(digest); hex != "" {
		return []common.Checksum{{Algorithm: common.SHA256, Value: hex}}
	}
	return nil
}

// sha256Hex returns the hex part of a digest "sha256:…", and "" of others.
func sha256Hex(digest string) string {
	h, err := v1.NewHash(digest)
	if err != nil || h.Algorithm != "sha256" {
		return ""
	}
	return h.Hex
}
