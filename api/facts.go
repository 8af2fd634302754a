package api

// FactsList is what `gopherwood inspect` prints.
type FactsList struct {
	SchemaVersion string  `json:"schemaVersion"`
	Kind          string  `json:"kind"`
	Items         []Facts `json:"items"`
	// Errors names what could not be read; the items are the rest.
	Errors []Error `json:"errors,omitempty"`
}

// Facts is what was measured of one executable. Every field comes from the
// bytes of the artifact; what could not be measured is absent and named in
// Notes, never guessed.
type Facts struct {
	// Ref is the reference as the user gave it.
	Ref string `json:"ref"`
	// Path is where the executable is within a directory or an image.
	Path string `json:"path,omitempty"`
	// Digest is "sha256:" and the hex digest of the file; empty with --no-digest.
	Digest string `json:"digest,omitempty"`
	// Size is the length of the file in bytes.
	Size int64 `json:"size"`
	// Format is the executable format: elf, macho or pe.
	Format string `json:"format"`
	// Platform is read from the file's headers and its build settings.
	Platform Platform `json:"platform"`
	// Entrypoint is true for the program that an image starts.
	Entrypoint bool `json:"entrypoint,omitempty"`
	// Go is absent where the file is no Go program.
	Go        *Go       `json:"go,omitempty"`
	Link      Link      `json:"link"`
	Hardening Hardening `json:"hardening"`
	// Sections is the file's size by class of section, in bytes.
	Sections Sections `json:"sections"`
	// Capabilities names what is linked in, sorted, of the table in
	// docs/formats/facts.md; null when the function table could not be read.
	Capabilities []string `json:"capabilities"`
	// Image is set for executables found in a container image.
	Image *Image `json:"image,omitempty"`
	// Notes says what could not be measured, and why.
	Notes []string `json:"notes,omitempty"`
	// Source says where inspect has all of this from: measured, from the bytes, or
	// attached, from a statement beside the image that a trusted key signed.
	Source string `json:"source,omitempty"`
}

// The values of Facts.Source.
const (
	SourceMeasured = "measured"
	SourceAttached = "attached"
)

// Go is what the Go toolchain recorded in the executable.
type Go struct {
	// Version is the toolchain's version, for example "go1.26.8".
	Version string `json:"version"`
	// Main is the import path of the main package.
	Main string `json:"main,omitempty"`
	// Module is the module that holds the main package.
	Module *Module `json:"module,omitempty"`
	// Deps lists every module linked in, in the order of build information.
	Deps []Module `json:"deps,omitempty"`
	// Settings are the build settings, for example "GOAMD64": "v1" or
	// "-trimpath": "true". -trimpath leaves out -ldflags and the CGO flags.
	Settings map[string]string `json:"settings,omitempty"`
	// Experiments are the GOEXPERIMENT values that differ from the default.
	Experiments []string `json:"experiments,omitempty"`
	// FIPS140 is GOFIPS140's value, empty when off.
	FIPS140 string `json:"fips140,omitempty"`
	// BuildMode is exe, pie, c-shared, c-archive, plugin or empty if unrecorded.
	BuildMode string `json:"buildMode,omitempty"`
	// Trimpath is true when the build was told to leave out local paths.
	Trimpath bool `json:"trimpath"`
	// VCS is absent where the build was not stamped.
	VCS *VCS `json:"vcs,omitempty"`
}

// Module is one module of the build.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version,omitempty"`
	// Sum is the go.sum line's hash, "h1:…"; empty for the main module and for
	// modules replaced by a directory.
	Sum string `json:"sum,omitempty"`
	// Replace is the module that took this one's place.
	Replace *Module `json:"replace,omitempty"`
}

// VCS says which commit was built.
type VCS struct {
	System   string `json:"system,omitempty"`
	Revision string `json:"revision,omitempty"`
	// Time is the commit's time, RFC 3339.
	Time string `json:"time,omitempty"`
	// Modified is true when the work tree had uncommitted changes.
	Modified bool `json:"modified"`
}

// The values of Link.Mode.
const (
	LinkStatic    = "static"
	LinkStaticPIE = "static-pie"
	LinkDynamic   = "dynamic"
	// LinkLibrary is a shared library: it has no interpreter of its own.
	LinkLibrary = "library"
)

// The values of Link.Libc.
const (
	LibcGNU  = "glibc"
	LibcMusl = "musl"
	LibcNone = "none"
)

// Link is how the executable meets other files when it starts. It is read from
// the program headers: CGO_ENABLED says nothing about linkage.
type Link struct {
	// Mode is static, static-pie, dynamic or library; empty when unknown (packed).
	Mode string `json:"mode,omitempty"`
	// Interpreter is the dynamic loader's path (PT_INTERP).
	Interpreter string `json:"interpreter,omitempty"`
	// Libc is the family of C library that it asks for: glibc, musl or none;
	// empty where the file does not say.
	Libc string `json:"libc,omitempty"`
	// Floor is the highest GLIBC_x.y that it imports, for example "GLIBC_2.34".
	Floor string `json:"floor,omitempty"`
	// Floors is the highest GLIBC_x.y imported from each library, by library.
	Floors map[string]string `json:"floors,omitempty"`
	// Needed lists the DT_NEEDED entries in their order.
	Needed []string `json:"needed,omitempty"`
	// Rpath and Runpath are DT_RPATH and DT_RUNPATH, split at colons.
	Rpath   []string `json:"rpath,omitempty"`
	Runpath []string `json:"runpath,omitempty"`
}

// The values of Hardening.RELRO.
const (
	RELRONone    = "none"
	RELROPartial = "partial"
	RELROFull    = "full"
)

// Hardening is what the linker did for the program's defence.
type Hardening struct {
	PIE bool `json:"pie"`
	// RELRO is none, partial or full; empty for formats other than ELF.
	RELRO string `json:"relro,omitempty"`
	// NX is true when the stack is not executable.
	NX bool `json:"nx"`
	// Stripped is true when neither a symbol table nor DWARF is left.
	Stripped bool `json:"stripped"`
	// Packed names the packer, for example "upx": all other facts are then the
	// packer's stub's.
	Packed string `json:"packed,omitempty"`
}

// Sections is the file's size by class of section, in bytes.
type Sections struct {
	Text   int64 `json:"text,omitempty"`
	ROData int64 `json:"rodata,omitempty"`
	// Data is initialised writable data; BSS takes memory but no file space.
	Data    int64 `json:"data,omitempty"`
	BSS     int64 `json:"bss,omitempty"`
	Pclntab int64 `json:"pclntab,omitempty"`
	Symtab  int64 `json:"symtab,omitempty"`
	Debug   int64 `json:"debug,omitempty"`
	Other   int64 `json:"other,omitempty"`
}

// Image is what a container image's manifest and configuration say.
type Image struct {
	// Digest is the manifest's digest, ConfigDigest the configuration's.
	Digest       string  `json:"digest,omitempty"`
	ConfigDigest string  `json:"configDigest,omitempty"`
	Layers       []Layer `json:"layers,omitempty"`
	// Platform is what the image's configuration claims.
	Platform   Platform `json:"platform"`
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
	User       string   `json:"user,omitempty"`
	Env        []string `json:"env,omitempty"`
	WorkingDir string   `json:"workingDir,omitempty"`
	// ExposedPorts has the form "8080/tcp", sorted.
	ExposedPorts []string `json:"exposedPorts,omitempty"`
}

// Layer is one layer of an image, the lowest first.
type Layer struct {
	Digest string `json:"digest"`
	// DiffID is the digest of the uncompressed layer.
	DiffID string `json:"diffId,omitempty"`
	// Size is the compressed length in bytes.
	Size      int64  `json:"size"`
	MediaType string `json:"mediaType,omitempty"`
}
