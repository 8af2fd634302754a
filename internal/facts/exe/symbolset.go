package exe

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
)

// SymbolSet is a set of symbol names, kept as sorted 64-bit FNV-1a hashes: a C
// library exports thousands of names, and all that is ever asked is membership.
type SymbolSet []uint64

// NewSymbolSet returns the set of names.
func NewSymbolSet(names []string) SymbolSet {
	s := make(SymbolSet, len(names))
	for i, n := range names {
		s[i] = symbolHash(n)
	}
	slices.Sort(s)
	return slices.Compact(s)
}

// Has reports whether name is in the set; a false yes has a probability of
// about len(s)/2^64.
func (s SymbolSet) Has(name string) bool {
	_, ok := slices.BinarySearch(s, symbolHash(name))
	return ok
}

// MarshalJSON writes the hashes as one base64 string, little-endian.
func (s SymbolSet) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 8*len(s))
	for _, h := range s {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(b))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *SymbolSet) UnmarshalJSON(data []byte) error {
	var b []byte
	if err := json.Unmarshal(data, &b); err != nil {
		return err
	}
	if len(b)%8 != 0 {
		return fmt.Errorf("symbol set of %d bytes: want a multiple of 8", len(b))
	}
	*s = make(SymbolSet, len(b)/8)
	for i := range *s {
		(*s)[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	if !slices.IsSorted(*s) {
		return fmt.Errorf("symbol set is not sorted")
	}
	return nil
}

func symbolHash(name string) uint64 {
	return symbolHashBytes([]byte(name))
}

// symbolHashBytes is 64-bit FNV-1a, written out since a library has thousands of
// symbols and hash/fnv allocates for each.
func symbolHashBytes(name []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range name {
		h ^= uint64(b)
		h *= 1099511628211
	}
	return h
}
