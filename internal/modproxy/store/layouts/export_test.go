package layouts

import (
	"maps"
	"slices"
)

// What tests put in the place of the file system.
type (
	Disk     = disk
	DiskFile = diskFile
	OSDisk   = osDisk
)

// OnDisk returns options with the file system d.
func OnDisk(d Disk) Options { return Options{disk: d} }

// ParseIndex returns how many descriptors an index.json has.
func ParseIndex(data []byte) (int, error) {
	doc, entries, err := parseIndex(data)
	for _, e := range entries {
		_ = layout{}.versionOf(e)
	}
	if len(doc.Manifests) != len(entries) {
		panic("descriptors are lost")
	}
	return len(entries), err
}

// ParseSeen returns the versions in a _seen.json.
func ParseSeen(data []byte) ([]string, error) {
	since, err := parseSeen(data)
	return slices.Sorted(maps.Keys(since)), err
}
