package exe

import (
	"bytes"

	"github.com/gopherwood-dev/gopherwood/api"
)

// upxMagic is what UPX leaves for itself behind the headers of what it packs, in
// every format: l_magic of struct l_info, or the magic of its PackHeader.
const upxMagic = "UPX!"

// packerWindow is how far behind the headers the mark may be, in bytes.
const packerWindow = 512

// packer returns the name of the packer that made the file, or "".
func (l *layout) packer() (string, error) {
	n := min(packerWindow, uint64(l.in.size)-min(l.headersEnd, uint64(l.in.size)))
	b, err := l.in.read(l.headersEnd, n, "packer's mark")
	if err != nil || !bytes.Contains(b, []byte(upxMagic)) {
		return "", err
	}
	return "upx", nil
}

// setPacked takes back what is true only of the stub that unpacks the program.
func (o *Object) setPacked(packer string) {
	o.Facts.Hardening.Packed = packer
	o.Facts.Link = api.Link{}
	o.Facts.Notes = nil
	o.note("packed with %s: linkage, Go and capabilities are the packed program's, which cannot be read", packer)
}
