package fleet

import (
	"encoding/hex"
	"strings"
)

// running is what a node says about the image of a container.
type running struct {
	// ref is what is opened: the repository that the pod names, with the digest
	// that runs.
	ref string
	// other is the same content in the repository that the node names, where that
	// is another one; empty where it is not.
	other string
	// digest is the digest that runs; empty when no node reports one.
	digest string
	note   string
}

// The notes of containers whose digest no node reports.
const (
	noteNotStarted = "not started yet: the digest is what the image's name stands for now"
	noteNoDigest   = "the node reports no repository digest: this is what the image's name stands for now"
	noteLocalImage = "the node reports no repository digest: this is what the image names"
)

// identify says which image runs. image is what the pod names, imageID what the
// container's status says: "repo@sha256:…" (containerd, CRI-O),
// "docker-pullable://repo@sha256:…" (Docker), or the id of a configuration, in
// which no registry can look anything up.
func identify(image, imageID string) running {
	if _, rest, ok := strings.Cut(imageID, "://"); ok {
		imageID = rest
	}
	repo, digest, ok := strings.Cut(imageID, "@")
	if ok && repo != "" && isDigest(digest) {
		return running{ref: at(image, repo, digest), other: other(image, repo, digest), digest: digest}
	}
	if _, digest, ok := strings.Cut(image, "@"); ok && isDigest(digest) {
		if imageID == "" {
			return running{ref: image, digest: digest}
		}
		return running{ref: image, digest: digest, note: noteLocalImage}
	}
	if imageID == "" {
		return running{ref: image, note: noteNotStarted}
	}
	return running{ref: image, note: noteNoDigest}
}

// at returns the digest in the repository that the pod names: the pod's pull
// secrets are for that one. A pod may name an image by nothing but an id.
func at(image, repo, digest string) string {
	if named := repository(image); named != "" && !isDigest(image) && !isHexID(image) {
		return named + "@" + digest
	}
	return repo + "@" + digest
}

func other(image, repo, digest string) string {
	o := repo + "@" + digest
	if ref := at(image, repo, digest); familiar(ref) == familiar(o) {
		return ""
	}
	return o
}

// repository returns image without its tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		image = image[:i]
	}
	return image
}

// familiar leaves out what a name of Docker Hub may leave out.
func familiar(ref string) string {
	ref = strings.TrimPrefix(ref, "index.")
	if rest, ok := strings.CutPrefix(ref, "docker.io/"); ok {
		return strings.TrimPrefix(rest, "library/")
	}
	return ref
}

// isDigest reports whether s is a digest of an algorithm that OCI registers.
func isDigest(s string) bool {
	algorithm, value, ok := strings.Cut(s, ":")
	switch {
	case !ok:
		return false
	case algorithm == "sha256":
		return len(value) == 64 && isHex(value)
	case algorithm == "sha512":
		return len(value) == 128 && isHex(value)
	}
	return false
}

func isHexID(s string) bool { return len(s) == 64 && isHex(s) }

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}
