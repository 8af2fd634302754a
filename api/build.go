package api

// The kinds of the documents about builds.
const (
	KindConfig        = "Config"
	KindBuildList     = "BuildList"
	KindBuildFacts    = "BuildFacts"
	KindRebuildReport = "RebuildReport"
)

// Config is the file .gopherwood.yaml of a repository. It is described in
// docs/formats/config.md.
type Config struct {
	SchemaVersion string      `json:"schemaVersion" yaml:"schemaVersion"`
	Kind          string      `json:"kind" yaml:"kind"`
	Build         BuildConfig `json:"build,omitzero" yaml:"build"`
	Trust         TrustConfig `json:"trust,omitzero" yaml:"trust"`
	Bench         BenchConfig `json:"bench,omitzero" yaml:"bench"`
}

// TrustConfig says whose attachments are believed.
type TrustConfig struct {
	// Keys are files with public keys (PEM), relative to the configuration's
	// directory. An attachment that one of them verifies is trusted.
	Keys []string `json:"keys,omitempty" yaml:"keys"`
}

// BuildConfig is how packages become images.
type BuildConfig struct {
	// Platforms are os/arch[/level]; none means linux and the processor of the
	// machine.
	Platforms []string `json:"platforms,omitempty" yaml:"platforms"`
	// Push lists image names in registries; "{name}" stands for the program's name.
	Push []string `json:"push,omitempty" yaml:"push"`
	// Bases are the images to choose from once it is known how a program is linked.
	Bases Bases `json:"bases,omitzero" yaml:"bases"`
	// Compression of the layers: gzip (the default) or zstd.
	Compression string `json:"compression,omitempty" yaml:"compression"`
	// Labels go into the image's configuration, Annotations into its manifest and index.
	Labels      map[string]string `json:"labels,omitempty" yaml:"labels"`
	Annotations map[string]string `json:"annotations,omitempty" yaml:"annotations"`
	// Key is the file of the private key that signs; empty signs nothing.
	Key string `json:"key,omitempty" yaml:"key"`
	// Defaults hold for every package; Packages, by the path of the package's
	// directory from the configuration's ("./cmd/app"), override them key by key.
	Defaults PackageConfig            `json:"defaults,omitzero" yaml:"defaults"`
	Packages map[string]PackageConfig `json:"packages,omitempty" yaml:"packages"`
}

// Bases are references to base images, by the C library that a program needs.
type Bases struct {
	// Static is for static programs; empty means the built-in base.
	Static string `json:"static,omitempty" yaml:"static"`
	Glibc  string `json:"glibc,omitempty" yaml:"glibc"`
	Musl   string `json:"musl,omitempty" yaml:"musl"`
}

// The values of PackageConfig.CGO.
const (
	CGOAuto = "auto"
	CGOOff  = "off"
	CGOOn   = "on"
)

// PackageConfig is how one main package is compiled and packed.
type PackageConfig struct {
	// CGO is auto (the default), off or on.
	CGO string `json:"cgo,omitempty" yaml:"cgo"`
	// Tags, Ldflags and Gcflags are those of go build, each flag an item of its own.
	Tags    []string `json:"tags,omitempty" yaml:"tags"`
	Ldflags []string `json:"ldflags,omitempty" yaml:"ldflags"`
	Gcflags []string `json:"gcflags,omitempty" yaml:"gcflags"`
	// PIE asks for a position-independent executable, Race for the race detector.
	PIE  *bool `json:"pie,omitempty" yaml:"pie"`
	Race *bool `json:"race,omitempty" yaml:"race"`
	// PGO is a profile's path, "auto" or "off".
	PGO string `json:"pgo,omitempty" yaml:"pgo"`
	// Go is the toolchain that compiles, for example "1.26.8" (GOTOOLCHAIN);
	// empty means the one that the go command chooses.
	Go string `json:"go,omitempty" yaml:"go"`
	// Env holds environment variables of the go command, such as CC or GOEXPERIMENT.
	Env map[string]string `json:"env,omitempty" yaml:"env"`

	// Base names a base image; empty means that one is chosen from BuildConfig.Bases.
	Base string `json:"base,omitempty" yaml:"base"`
	// Assets is a directory whose content the image has at $KO_DATA_PATH; empty
	// means the directory kodata of the package, if there is one.
	Assets string `json:"assets,omitempty" yaml:"assets"`
	// User is whom the image runs as; empty means 65532:65532.
	User string `json:"user,omitempty" yaml:"user"`
	// Args are arguments that follow the program in the image's entrypoint.
	Args []string `json:"args,omitempty" yaml:"args"`
	// ImageEnv holds environment variables of the image, Ports what it exposes
	// ("8080/tcp").
	ImageEnv map[string]string `json:"imageEnv,omitempty" yaml:"imageEnv"`
	Ports    []string          `json:"ports,omitempty" yaml:"ports"`
}

// BuildList is what `gopherwood build --format json` prints.
type BuildList struct {
	SchemaVersion string  `json:"schemaVersion"`
	Kind          string  `json:"kind"`
	Items         []Build `json:"items"`
	Errors        []Error `json:"errors,omitempty"`
}

// Build is one package made into an image.
type Build struct {
	// Package is the import path of the main package.
	Package string `json:"package"`
	// Refs are where the image was put, by digest; empty when it was refused.
	Refs []string `json:"refs"`
	// Digest is the index's, or the manifest's where there is one platform.
	Digest string `json:"digest,omitempty"`
	// Images are sorted by platform.
	Images []BuiltImage `json:"images"`
}

// BuiltImage is the image of one platform.
type BuiltImage struct {
	Platform Platform `json:"platform"`
	// Digest is the manifest's.
	Digest string `json:"digest"`
	// Size is what a registry holds of it: layers, configuration, manifest; bytes.
	Size   int64   `json:"size"`
	Layers []Layer `json:"layers"`
	// Base says which base was chosen and why.
	Base BaseChoice `json:"base"`
	// Facts were measured of the program, Build is what only its builder knows.
	Facts Facts      `json:"facts"`
	Build BuildFacts `json:"build"`
	// Verdict is what check says of the finished image.
	Verdict Verdict `json:"verdict"`
}

// BaseChoice is the base of an image.
type BaseChoice struct {
	// Ref is "static" for the built-in base.
	Ref string `json:"ref"`
	// Digest is the base's manifest's for the platform.
	Digest string `json:"digest"`
	Reason string `json:"reason"`
}

// BuildFacts is what the builder of an executable knows and the executable does
// not tell: -trimpath leaves out the linker and cgo flags, and nothing records
// the C compiler. With the source they are enough to build the image again. It
// is the predicate of the attachment that docs/formats/attachments.md describes.
type BuildFacts struct {
	SchemaVersion string   `json:"schemaVersion"`
	Kind          string   `json:"kind"`
	Package       string   `json:"package"`
	Platform      Platform `json:"platform"`
	// Module is the main module, Dir the package's directory within it, slash-separated.
	Module Module `json:"module"`
	Dir    string `json:"dir"`
	// ModuleGraph is "sha256:" and the digest of the lines "path version sum\n"
	// of all modules that are linked, sorted; it stands for the dependencies.
	ModuleGraph string `json:"moduleGraph"`
	// Source is the commit; absent outside a repository.
	Source *VCS `json:"source,omitempty"`
	// Go is the toolchain that compiled, for example "go1.26.8".
	Go string `json:"go"`
	// CGO is what was decided about cgo, and why.
	CGO CGODecision `json:"cgo"`
	// Flags are the arguments of go build in their order, without paths of the
	// machine; Env is the environment that matters to it, with GOFLAGS, GOAMD64,
	// GOEXPERIMENT and the CGO flags.
	Flags []string          `json:"flags"`
	Env   map[string]string `json:"env"`
	// Profile is "sha256:" and the digest of the profile of -pgo, if any.
	Profile string `json:"profile,omitempty"`
	// Program is the executable's path in the image, Digest and Size its content's.
	Program string `json:"program,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Size    int64  `json:"size,omitempty"`
	// Base is what the image was put on, Compression how its layers are
	// compressed, Created the time in it (RFC 3339); Labels and Annotations are
	// what was asked for.
	Base        BaseChoice        `json:"base,omitzero"`
	Compression string            `json:"compression,omitempty"`
	Created     string            `json:"created,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Config is what was asked for.
	Config PackageConfig `json:"config"`
}

// CGODecision says whether cgo is on.
type CGODecision struct {
	Enabled bool `json:"enabled"`
	// Asked is auto, off or on.
	Asked string `json:"asked"`
	// Reason is a sentence for people; Packages are the packages with cgo code
	// outside the standard library that the program links.
	Reason   string   `json:"reason"`
	Packages []string `json:"packages,omitempty"`
	// Compiler is set where a C compiler was used.
	Compiler *CCompiler `json:"compiler,omitempty"`
}

// CCompiler is a C compiler.
type CCompiler struct {
	// Command is what CC names, Version the first line of its --version, Target
	// its machine ("x86_64-linux-gnu").
	Command string `json:"command"`
	Version string `json:"version"`
	Target  string `json:"target"`
}

// The values of Rebuild.Verdict.
const (
	RebuildSame      = "same"
	RebuildDifferent = "different"
)

// RebuildReport is what `gopherwood build --verify` prints.
type RebuildReport struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	Ref           string `json:"ref"`
	// Items are the platforms' images, sorted by platform.
	Items []Rebuild `json:"items"`
}

// Rebuild says whether one image came out the same again.
type Rebuild struct {
	Platform Platform `json:"platform"`
	Verdict  string   `json:"verdict"`
	// Recorded is the image's manifest digest, Rebuilt that of the new one.
	Recorded string `json:"recorded"`
	Rebuilt  string `json:"rebuilt"`
	// Differences explain a different digest, causes first.
	Differences []Difference `json:"differences,omitempty"`
}

// Difference is one thing that is not the same.
type Difference struct {
	// Kind is setting, config, layer, file, section or buildinfo.
	Kind string `json:"kind"`
	// Name is the setting's, the file's path, or the file's and the section's.
	Name string `json:"name"`
	// Recorded and Rebuilt are the two values; empty for what is not there.
	Recorded string `json:"recorded"`
	Rebuilt  string `json:"rebuilt"`
}
