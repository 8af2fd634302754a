package exe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// ErrNotExecutable is returned (wrapped) for a file that is no executable or
// shared library of a known format: no magic, or an object file for a linker.
var ErrNotExecutable = errors.New("not an executable of a known format")

// Options says what Measure reads beyond the facts.
type Options struct {
	// Links also reads the dynamic symbols: Dynamic.Imports and Exports.
	Links bool
}

// The values of api.Facts.Format.
const (
	formatELF   = "elf"
	formatMachO = "macho"
	formatPE    = "pe"
	// formatFat is several Mach-O files in one; it is known and not measured.
	formatFat = "fat-macho"
)

// HeadSize is how many of a file's first bytes IsExecutable looks at.
const HeadSize = 8

// maxFatArches is more architectures than any fat Mach-O has and less than the
// major version of any Java class, which begins with the same magic.
const maxFatArches = 43

// IsExecutable reports whether a file that begins with head may be measured:
// whether it has the magic of ELF, Mach-O or PE. Fewer than HeadSize bytes are
// enough only for a file that is no longer.
func IsExecutable(head []byte) bool { return formatOf(head) != "" }

func formatOf(head []byte) string {
	if len(head) >= 2 && head[0] == 'M' && head[1] == 'Z' {
		return formatPE
	}
	if len(head) < HeadSize {
		return ""
	}
	switch binary.BigEndian.Uint32(head) {
	case 0x7f454c46: // "\x7fELF"
		return formatELF
	case 0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe: // MH_MAGIC, MH_MAGIC_64, and swapped
		return formatMachO
	case 0xcafebabe, 0xcafebabf: // FAT_MAGIC, FAT_MAGIC_64
		if binary.BigEndian.Uint32(head[4:]) < maxFatArches {
			return formatFat
		}
	}
	return ""
}

// Measure reads the facts of the executable or shared library of size bytes in
// r. It reads headers and tables only, and holds no more than a few times the
// largest of them.
//
// The error matches ErrNotExecutable for other files; it is a *fault.Error with
// code Invalid for a corrupt or truncated one, Limit for one with absurdly large
// tables, Unsupported for a fat Mach-O; else it is what r returned. Damage that
// keeps no program from starting is told in Facts.Notes instead.
func Measure(r io.ReaderAt, size int64, opt Options) (*Object, error) {
	in := input{r: r, size: size}
	head, err := in.read(0, uint64(min(size, HeadSize)), "header")
	if err != nil {
		return nil, err
	}
	format := formatOf(head)
	obj := &Object{Facts: api.Facts{Size: size, Format: format}}
	var lay *layout
	switch format {
	case formatELF:
		lay, err = measureELF(in, obj, opt)
	case formatMachO:
		lay, err = measureMachO(in, obj)
	case formatPE:
		lay, err = measurePE(in, obj)
	case formatFat:
		return nil, &fault.Error{
			Code: fault.Unsupported,
			Err:  errors.New("a fat Mach-O file holds several executables"),
			Hint: "take one out with lipo -thin ARCH and inspect that",
		}
	default:
		return nil, ErrNotExecutable
	}
	if err != nil {
		return nil, err
	}
	obj.Facts.Sections = lay.sizes()
	obj.Facts.Hardening.Stripped = lay.stripped()
	packer, err := lay.packer()
	switch {
	case err != nil:
		return nil, err
	case packer != "":
		obj.setPacked(packer)
		return obj, nil
	}
	if err := measureGo(lay, obj); err != nil {
		return nil, err
	}
	return obj, nil
}

// note adds a remark about something that could not be measured.
func (o *Object) note(format string, args ...any) {
	o.Facts.Notes = append(o.Facts.Notes, fmt.Sprintf(format, args...))
}

// invalid is the error for content that is not what the format asks for.
func invalid(format string, args ...any) error {
	return &fault.Error{Code: fault.Invalid, Err: fmt.Errorf(format, args...)}
}
