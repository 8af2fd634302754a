package api

// KindGoVersionList is the kind of GoVersionList.
const KindGoVersionList = "GoVersionList"

// VersionMatrix is a version matrix file: when the Go minors came, how long they
// are supported and what they brought. It is described in docs/formats/matrix.md.
type VersionMatrix struct {
	SchemaVersion string         `json:"schemaVersion" yaml:"schemaVersion"`
	Kind          string         `json:"kind" yaml:"kind"`
	Metadata      MatrixMetadata `json:"metadata" yaml:"metadata"`
	// NewestSupported is upstream's rule: a minor is supported until this many
	// newer ones are out. Zero in a layer, whose releases say until when.
	NewestSupported int `json:"newestSupported,omitempty" yaml:"newestSupported,omitempty"`
	// Releases are the minors, the oldest first.
	Releases []MatrixRelease `json:"releases" yaml:"releases"`
	Features []GoFeature     `json:"features,omitempty" yaml:"features,omitempty"`
}

// MatrixMetadata says whose statement a matrix is and how old it is.
type MatrixMetadata struct {
	// Name is "upstream" or a vendor's name; it is what Support.Source shows.
	Name        string `json:"name" yaml:"name"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	// Updated is the day on which the data was last checked, YYYY-MM-DD.
	Updated string `json:"updated" yaml:"updated"`
	// Source says where the dates come from.
	Source string `json:"source,omitempty" yaml:"source,omitempty"`
}

// MatrixRelease is one Go minor.
type MatrixRelease struct {
	// Version is the minor, for example "1.22".
	Version string `json:"version" yaml:"version"`
	// Released is the day of its first release, YYYY-MM-DD.
	Released string `json:"released,omitempty" yaml:"released,omitempty"`
	// Until is the last day of support, YYYY-MM-DD. In a matrix that has
	// newestSupported it is derived and must not be given.
	Until string `json:"until,omitempty" yaml:"until,omitempty"`
	// Use says what the minor is good for now.
	Use string `json:"use,omitempty" yaml:"use,omitempty"`
	// Scenarios says who should stay on the minor, and with what care.
	Scenarios []string `json:"scenarios,omitempty" yaml:"scenarios,omitempty"`
}

// GoFeature is something that Go has since some minor.
type GoFeature struct {
	// ID is what the CEL function hasFeature takes, for example "generics".
	ID   string `json:"id" yaml:"id"`
	Name string `json:"name" yaml:"name"`
	// Since is the first minor that has it, ready to use and without an
	// experiment being switched on.
	Since       string `json:"since" yaml:"since"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	// Build is set for features that a build asks for.
	Build *BuildFeature `json:"build,omitempty" yaml:"build,omitempty"`
}

// BuildFeature is how a build asks for a feature.
type BuildFeature struct {
	// Flag is the go build flag, for example "-trimpath".
	Flag string `json:"flag,omitempty" yaml:"flag,omitempty"`
	// Env is the environment variable, for example "GOAMD64".
	Env string `json:"env,omitempty" yaml:"env,omitempty"`
	// Default is what the go command does when it is not asked.
	Default string `json:"default,omitempty" yaml:"default,omitempty"`
}

// GoVersionList is what `gopherwood versions` prints: a matrix, with its layers,
// as it stands on one day.
type GoVersionList struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	// Today is the day that Supported is about, YYYY-MM-DD.
	Today string `json:"today"`
	// Matrices are the layers, the lowest first.
	Matrices []MatrixMetadata `json:"matrices"`
	Items    []GoVersion      `json:"items"`
}

// GoVersion is one Go minor as it stands on one day.
type GoVersion struct {
	Version string `json:"version"`
	// Released is YYYY-MM-DD; empty when no layer says it.
	Released  string `json:"released,omitempty"`
	Supported bool   `json:"supported"`
	// Until is the last day of support, YYYY-MM-DD; empty while it is not known.
	Until string `json:"until,omitempty"`
	// Source is the layer that supports it longest: "upstream", or "vendor NAME".
	Source string `json:"source"`
	// Use and Scenarios come from the uppermost layer that has them.
	Use       string   `json:"use,omitempty"`
	Scenarios []string `json:"scenarios,omitempty"`
	// Features are those that came with this minor.
	Features []GoFeature `json:"features,omitempty"`
}
