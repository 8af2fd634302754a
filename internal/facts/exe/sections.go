package exe

import "io"

// Section is a part of an ELF file that its linker named.
type Section struct {
	Name string
	// Offset and Size say where its content is in the file, in bytes.
	Offset, Size int64
}

// Sections lists the sections of the ELF file of size bytes in r that have a
// content, in their order. The errors are those of Measure.
func Sections(r io.ReaderAt, size int64) ([]Section, error) {
	f := &elfFile{obj: &Object{}, layout: layout{in: input{r: r, size: size}}}
	if err := f.readHeader(); err != nil {
		return nil, err
	}
	if err := f.readSections(); err != nil {
		return nil, err
	}
	var list []Section
	for _, s := range f.sections {
		if s.class != classBSS && s.size > 0 {
			list = append(list, Section{Name: s.name, Offset: int64(s.off), Size: int64(s.size)})
		}
	}
	return list, nil
}
