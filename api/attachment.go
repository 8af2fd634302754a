package api

// KindAttachmentList is the kind of AttachmentList.
const KindAttachmentList = "AttachmentList"

// The predicate types of the statements that travel with an image.
const (
	// PredicateFacts has a FactsList, PredicateBuildFacts a BuildFacts.
	PredicateFacts      = "https://gopherwood.dev/facts/v1"
	PredicateBuildFacts = "https://gopherwood.dev/build-facts/v1"
	// The others are what their names' owners define.
	PredicateProvenance = "https://slsa.dev/provenance/v1"
	PredicateSPDX       = "https://spdx.dev/Document"
	PredicateCycloneDX  = "https://cyclonedx.org/bom"
	PredicateSignature  = "https://sigstore.dev/cosign/sign/v1"
)

// AttachmentList is what `gopherwood attestations` and `gopherwood verify` print.
type AttachmentList struct {
	SchemaVersion string       `json:"schemaVersion"`
	Kind          string       `json:"kind"`
	Items         []Attachment `json:"items"`
	Errors        []Error      `json:"errors,omitempty"`
}

// Attachment is a statement that a registry or layout holds about an image.
type Attachment struct {
	// Ref is the reference as the user gave it; Subject is the digest that the
	// statement is about, an index's or a manifest's, and Platform the latter's.
	Ref      string    `json:"ref"`
	Subject  string    `json:"subject"`
	Platform *Platform `json:"platform,omitempty"`
	// Digest is the attachment's own manifest's.
	Digest string `json:"digest"`
	// PredicateType says what the statement says; empty for what is no statement.
	PredicateType string `json:"predicateType,omitempty"`
	// MediaType is the layer's: an in-toto statement or a Sigstore bundle.
	MediaType string `json:"mediaType"`
	// Size is the statement's length in bytes.
	Size int64 `json:"size"`
	// Signed is true when there is a signature; Verified when a trusted key made
	// it, KeyID being that key's: the hex SHA-256 of its DER form.
	Signed   bool   `json:"signed"`
	Verified bool   `json:"verified"`
	KeyID    string `json:"keyId,omitempty"`
	// Problem says why it does not count, for example a wrong digest.
	Problem string `json:"problem,omitempty"`
}
