// Package attach is what travels with an image: statements about it in the
// format of in-toto, stored as OCI referrers of its manifest and, with a key,
// signed as cosign signs them. It makes them, puts them beside the image, and
// reads and verifies those that are there, whoever made them.
//
// The formats are described in docs/formats/attachments.md.
package attach

// The media types of what an attachment's layer holds.
const (
	// statementMedia is an in-toto statement: alone, or in an envelope.
	statementMedia = "application/vnd.in-toto+json"
	// bundleMedia is a Sigstore bundle, bundlePrefix how that of any version begins.
	bundleMedia  = "application/vnd.dev.sigstore.bundle.v0.3+json"
	bundlePrefix = "application/vnd.dev.sigstore.bundle"
	// configMedia is the empty configuration that the OCI image specification has
	// for artifacts.
	configMedia = "application/vnd.oci.empty.v1+json"
)

// The annotations of an attachment's manifest.
const (
	annotationCreated         = "org.opencontainers.image.created"
	annotationPredicate       = "in-toto.io/predicate-type"
	annotationBundleContent   = "dev.sigstore.bundle.content"
	annotationBundlePredicate = "dev.sigstore.bundle.predicateType"
)

// What others attach is bounded, in bytes and in number; the length of manifests
// is by package store.
const (
	maxStatement = 32 << 20
	// maxBundle has room for a statement in base64 and what is around it.
	maxBundle    = maxStatement/3*4 + 1<<20
	maxReferrers = 1000
	maxImages    = 1000
)
