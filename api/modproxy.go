package api

// The kinds of documents about the module proxy's store.
const (
	KindModuleStats        = "ModuleStats"
	KindModuleWarmReport   = "ModuleWarmReport"
	KindModuleVerifyReport = "ModuleVerifyReport"
	KindModuleGCReport     = "ModuleGCReport"
	KindModuleExportReport = "ModuleExportReport"
	KindModuleImportReport = "ModuleImportReport"
)

// ModuleStats is what `gopherwood modproxy stats` prints: what is in a store.
type ModuleStats struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	// Store is a directory or oci://REGISTRY/PREFIX.
	Store    string `json:"store"`
	Modules  int    `json:"modules"`
	Versions int    `json:"versions"`
	// Bytes is the sum of the lengths of all zips, go.mod files and .info
	// documents.
	Bytes int64 `json:"bytes"`
	// Origins has the largest first.
	Origins []ModuleOriginStats `json:"origins"`
	// Items has one entry a module, in the order of their paths.
	Items []ModuleStatsItem `json:"items"`
	// Errors are about what could not be read.
	Errors []Error `json:"errors,omitempty"`
}

// ModuleOriginStats is what came from one origin.
type ModuleOriginStats struct {
	// Origin is the URL of an upstream, "direct" for version control, or "import".
	Origin   string `json:"origin"`
	Versions int    `json:"versions"`
	Bytes    int64  `json:"bytes"`
}

// ModuleStatsItem is what there is of one module.
type ModuleStatsItem struct {
	Path     string `json:"path"`
	Versions int    `json:"versions"`
	Bytes    int64  `json:"bytes"`
	// Newest is the highest version in the order of semver.
	Newest string `json:"newest"`
	// Stored is when the last of the versions was stored, in RFC 3339.
	Stored string `json:"stored"`
	// LastUsed is when one of the versions was last asked for, to the hour;
	// absent when that is not known.
	LastUsed string `json:"lastUsed,omitempty"`
}

// ModuleVersion names a version of a module.
type ModuleVersion struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

// ModuleWarmReport is what `gopherwood modproxy warm` prints: which versions a
// store has now.
type ModuleWarmReport struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	Store         string `json:"store"`
	// Wanted is how many versions were asked for, Present how many of them were
	// there before.
	Wanted  int `json:"wanted"`
	Present int `json:"present"`
	// Fetched are those that are new, Bytes the sum of their lengths.
	Fetched []ModuleVersion `json:"fetched"`
	Bytes   int64           `json:"bytes"`
	// Errors are about versions that are not there, or not as go.sum has them.
	Errors []Error `json:"errors,omitempty"`
}

// ModuleVerifyReport is what `gopherwood modproxy verify` prints.
type ModuleVerifyReport struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	Store         string `json:"store"`
	// Versions is how many versions were hashed, Bytes the sum of their lengths.
	Versions int   `json:"versions"`
	Bytes    int64 `json:"bytes"`
	// Problems has what is wrong, in the order of module paths and versions.
	Problems []ModuleProblem `json:"problems"`
	// Errors are about what could not be compared.
	Errors []Error `json:"errors,omitempty"`
}

// The problems that verify finds.
const (
	// ModuleUnreadable: the artifact is not whole, or is none.
	ModuleUnreadable = "unreadable"
	// ModuleDamaged: its bytes are not those that were stored.
	ModuleDamaged = "damaged"
	// ModuleGoSum: a go.sum file has other hashes.
	ModuleGoSum = "go.sum"
	// ModuleDatabase: the checksum database has other hashes.
	ModuleDatabase = "checksum-database"
)

// ModuleProblem is what is wrong with a version.
type ModuleProblem struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// Problem is "unreadable", "damaged", "go.sum" or "checksum-database".
	Problem string `json:"problem"`
	Message string `json:"message"`
	// Repaired is whether the version has been replaced by what it should be.
	Repaired bool `json:"repaired"`
	// NotRepaired says why a repair that was asked for did not happen.
	NotRepaired string `json:"notRepaired,omitempty"`
}

// ModuleGCReport is what `gopherwood modproxy gc` prints.
type ModuleGCReport struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	Store         string `json:"store"`
	// DryRun is whether Removed is only what would be removed.
	DryRun bool `json:"dryRun"`
	// Versions and Bytes are what there was before.
	Versions int   `json:"versions"`
	Bytes    int64 `json:"bytes"`
	// Removed has the versions that were used least recently first, Freed is the
	// sum of their lengths.
	Removed []ModuleRemoval `json:"removed"`
	Freed   int64           `json:"freed"`
	// InUse are versions that should go, and were being read.
	InUse []ModuleVersion `json:"inUse"`
	// Errors are about what could not be read or removed.
	Errors []Error `json:"errors,omitempty"`
}

// The reasons of gc.
const (
	ModuleUnused = "unused"
	ModuleOld    = "old"
	ModuleQuota  = "max-bytes"
)

// ModuleRemoval is a version that is removed.
type ModuleRemoval struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Bytes   int64  `json:"bytes"`
	// Reason is "unused", "old" or "max-bytes".
	Reason string `json:"reason"`
	// LastUsed is when it was last asked for, or else stored, in RFC 3339.
	LastUsed string `json:"lastUsed"`
}

// ModuleExportReport is what `gopherwood modproxy export` prints.
type ModuleExportReport struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	Store         string `json:"store"`
	// File is the OCI layout: a directory, or a tar archive of one.
	File string `json:"file"`
	// Versions is how many are in it, Bytes the sum of their lengths.
	Versions int   `json:"versions"`
	Bytes    int64 `json:"bytes"`
	// Errors are about versions that are not in it.
	Errors []Error `json:"errors,omitempty"`
}

// ModuleImportReport is what `gopherwood modproxy import` prints.
type ModuleImportReport struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	Store         string `json:"store"`
	File          string `json:"file"`
	// Present is how many of the versions were there before.
	Present int `json:"present"`
	// Imported are those that are new, Bytes the sum of their lengths.
	Imported []ModuleVersion `json:"imported"`
	Bytes    int64           `json:"bytes"`
	// Errors are about versions that were not imported.
	Errors []Error `json:"errors,omitempty"`
}
