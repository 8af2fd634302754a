// Package exe measures executables and shared libraries from their bytes: what
// the Go toolchain recorded, how the file is linked, how it is hardened, and
// what is linked in. It never runs anything and never trusts a length it reads.
package exe

import (
	"github.com/gopherwood-dev/gopherwood/api"
)

// Object is everything measured of one executable or shared library.
//
// It is immutable once measured and depends on the file's bytes only, so it may
// be cached by the file's digest.
type Object struct {
	// Facts holds what users see. Ref, Path, Entrypoint and Image are the
	// source's to fill in; Digest too, since hashing is the reader's work.
	Facts api.Facts `json:"facts"`
	// Program is true for a file that the kernel can start: an executable or
	// a PIE, not a plain shared library.
	Program bool `json:"program,omitempty"`
	// ELF holds what the kernel and the dynamic loader look at; nil for other
	// formats.
	ELF *ELF `json:"elf,omitempty"`
}

// ELF is what the kernel and a dynamic loader read of an ELF file, taken from
// the program headers and PT_DYNAMIC, as they take it, never from sections.
type ELF struct {
	// Class is 32 or 64; Machine, Type and OSABI are the header's own numbers
	// (EM_X86_64 = 62, ET_DYN = 3, …); BigEndian its byte order.
	Class     int    `json:"class"`
	Machine   uint16 `json:"machine"`
	Type      uint16 `json:"type"`
	OSABI     uint8  `json:"osabi,omitempty"`
	BigEndian bool   `json:"bigEndian,omitempty"`
	// Interp is PT_INTERP without its NUL; HasInterp tells an empty one apart.
	Interp    string `json:"interp,omitempty"`
	HasInterp bool   `json:"hasInterp,omitempty"`
	// Dynamic is nil when there is no PT_DYNAMIC.
	Dynamic *Dynamic `json:"dynamic,omitempty"`
	// ISALevel is the x86-64 level of the GNU property X86_ISA_1_NEEDED, 1 to
	// 4; 0 when there is none.
	ISALevel int `json:"isaLevel,omitempty"`
	// SystemDirs are the directories compiled into glibc's dynamic loader, in
	// their order and without a final slash; only set for the loader itself.
	SystemDirs []string `json:"systemDirs,omitempty"`
}

// Dynamic is the dynamic section of an ELF file.
type Dynamic struct {
	Soname string   `json:"soname,omitempty"`
	Needed []string `json:"needed,omitempty"`
	// Rpath and Runpath are unsplit; a file that has Runpath ignores Rpath
	// under glibc.
	Rpath      string `json:"rpath,omitempty"`
	Runpath    string `json:"runpath,omitempty"`
	HasRunpath bool   `json:"hasRunpath,omitempty"`
	// BindNow is true with DF_BIND_NOW, DF_1_NOW or DT_BIND_NOW: every symbol
	// is bound at start. NoDefaultLib is DF_1_NODEFLIB.
	BindNow      bool `json:"bindNow,omitempty"`
	NoDefaultLib bool `json:"noDefaultLib,omitempty"`
	// Requires is .gnu.version_r: versions asked of each needed library.
	Requires []Requirement `json:"requires,omitempty"`
	// Defines is .gnu.version_d without the base entry; HasVersions is true
	// when the table exists at all.
	Defines     []string `json:"defines,omitempty"`
	HasVersions bool     `json:"hasVersions,omitempty"`
	// Imports are the dynamic symbols that relocations make the loader look
	// up in other files; undefined ones that nothing refers to are left out.
	Imports []Import `json:"imports,omitempty"`
	// Exports is the set of names of the defined dynamic symbols.
	Exports SymbolSet `json:"exports,omitempty"`
}

// Requirement is the versions that an ELF file asks of one library.
type Requirement struct {
	Library  string    `json:"library"`
	Versions []Version `json:"versions"`
}

// Version is one symbol version. A Weak one (VER_FLG_WEAK) may be absent.
type Version struct {
	Name string `json:"name"`
	Weak bool   `json:"weak,omitempty"`
}

// Import is an undefined dynamic symbol.
type Import struct {
	Name string `json:"name"`
	// Weak symbols may stay undefined.
	Weak bool `json:"weak,omitempty"`
	// Lazy is true when only jump slots (DT_JMPREL) refer to it, so that glibc
	// binds it at its first call unless BindNow holds. musl never is lazy.
	Lazy bool `json:"lazy,omitempty"`
}
