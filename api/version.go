package api

// KindVersion is the kind of Version.
const KindVersion = "Version"

// Version is what `gopherwood version` prints: which build is running.
type Version struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	// Version is the module version that was built, or "(devel)".
	Version string `json:"version"`
	// Go is the toolchain that built it.
	Go       string   `json:"go"`
	Platform Platform `json:"platform"`
	// VCS is absent where the build was not stamped.
	VCS *VCS `json:"vcs,omitempty"`
}
