package exe

import (
	"bytes"
	"debug/elf"
	"fmt"
)

// maxVersions is far more symbol versions than any library defines or needs.
const maxVersions = 64 << 10

// maxDynamic is the largest dynamic section taken, in bytes: 65,536 entries of a
// 64-bit file, where real ones have less than a hundred.
const maxDynamic = 1 << 20

// dynamic is the dynamic section while it is being read: as the loader does, by
// addresses alone.
type dynamic struct {
	f *elfFile
	// facts is nil when there is no PT_DYNAMIC.
	facts *Dynamic
	// val holds the first value of each tag; needed all of DT_NEEDED.
	val    map[elf.DynTag]uint64
	needed []uint64
	flags1 elf.DynFlag1
	str    stringTable
}

// readDynamic reads PT_DYNAMIC and what it points at.
func (f *elfFile) readDynamic(opt Options) (*dynamic, error) {
	d := &dynamic{f: f, val: map[elf.DynTag]uint64{}}
	p, ok := f.prog(elf.PT_DYNAMIC)
	if !ok {
		return d, nil
	}
	if p.filesz == 0 {
		return nil, fmt.Errorf("ELF file with an empty dynamic section, such as separate debug information: %w", ErrNotExecutable)
	}
	steps := []func() error{
		func() error { return d.readTags(p) },
		func() error { return d.readStrings(opt.Links) },
		d.readNames,
		d.readRequires,
		d.readDefines,
	}
	if opt.Links {
		steps = append(steps, d.readSymbols)
	}
	d.facts = &Dynamic{}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *dynamic) has(tag elf.DynTag) bool {
	_, ok := d.val[tag]
	return ok
}

func (d *dynamic) readTags(p elfProg) error {
	if p.filesz > maxDynamic {
		return invalid("dynamic section has %d bytes: more than %d", p.filesz, maxDynamic)
	}
	entry := 2 * d.f.ptrSize
	return d.f.chunksAt(p.addr, p.filesz, entry, "dynamic section", func(b []byte) bool {
		for ; len(b) > 0; b = b[entry:] {
			r := d.f.fields(b)
			tag, val := elf.DynTag(r.word()), r.word()
			switch {
			case tag == elf.DT_NULL:
				return false
			case tag == elf.DT_NEEDED:
				d.needed = append(d.needed, val)
			case !d.has(tag):
				d.val[tag] = val
			}
		}
		return true
	})
}

// readStrings finds the string table. All of it is read only when the symbols'
// names will be asked for, too: they are most of it.
func (d *dynamic) readStrings(all bool) error {
	if !d.has(elf.DT_STRTAB) {
		return nil
	}
	const what = "dynamic string table"
	size := d.val[elf.DT_STRSZ]
	off, ok := d.f.offsetOf(d.val[elf.DT_STRTAB], size)
	if !ok {
		return invalid("%s of %d bytes at address %#x lies outside the mapped file", what, size, d.val[elf.DT_STRTAB])
	}
	d.str = newStringTable(d.f.in, off, size)
	if all {
		return d.str.load(0, size, what)
	}
	return nil
}

// readNames reads the tags that hold strings and flags.
func (d *dynamic) readNames() (err error) {
	for _, off := range d.needed {
		name, err := d.str.at(off, "name of a needed library (DT_NEEDED)")
		if err != nil {
			return err
		}
		d.facts.Needed = append(d.facts.Needed, string(name))
	}
	for _, s := range []struct {
		tag  elf.DynTag
		what string
		to   *string
	}{
		{elf.DT_SONAME, "DT_SONAME", &d.facts.Soname},
		{elf.DT_RPATH, "DT_RPATH", &d.facts.Rpath},
		{elf.DT_RUNPATH, "DT_RUNPATH", &d.facts.Runpath},
	} {
		if !d.has(s.tag) {
			continue
		}
		name, err := d.str.at(d.val[s.tag], s.what)
		if err != nil {
			return err
		}
		*s.to = string(name)
	}
	d.facts.HasRunpath = d.has(elf.DT_RUNPATH)
	d.flags1 = elf.DynFlag1(d.val[elf.DT_FLAGS_1])
	d.facts.BindNow = d.has(elf.DT_BIND_NOW) || d.flags1&elf.DF_1_NOW != 0 ||
		elf.DynFlag(d.val[elf.DT_FLAGS])&elf.DF_BIND_NOW != 0
	d.facts.NoDefaultLib = d.flags1&elf.DF_1_NODEFLIB != 0
	return nil
}

// records walks a chain of version records: size bytes each, the first at addr,
// each saying by what step returns how far the next one is; 0 ends it.
func (d *dynamic) records(addr, size uint64, budget *int, what string, step func(at uint64, r fields) (next uint32, err error)) error {
	for {
		if *budget--; *budget < 0 {
			return invalid("%s: more than %d records", what, maxVersions)
		}
		b, err := d.f.readAt(addr, size, what)
		if err != nil {
			return err
		}
		next, err := step(addr, d.f.fields(b))
		if err != nil || next == 0 {
			return err
		}
		addr += uint64(next)
	}
}

// readRequires reads the versions needed (Verneed and Vernaux records).
func (d *dynamic) readRequires() error {
	const what = "needed symbol versions (DT_VERNEED)"
	if !d.has(elf.DT_VERNEED) || d.val[elf.DT_VERNEEDNUM] == 0 {
		return nil
	}
	budget := maxVersions
	return d.records(d.val[elf.DT_VERNEED], 16, &budget, what, func(at uint64, r fields) (uint32, error) {
		r.skip(2) // vn_version
		count := r.u16()
		file, aux, next := r.u32(), r.u32(), r.u32()
		name, err := d.str.at(uint64(file), what)
		if err != nil {
			return 0, err
		}
		req := Requirement{Library: string(name)}
		if count > 0 {
			req.Versions, err = d.readVersions(at+uint64(aux), &budget, what)
		}
		d.facts.Requires = append(d.facts.Requires, req)
		return next, err
	})
}

func (d *dynamic) readVersions(addr uint64, budget *int, what string) (versions []Version, err error) {
	const verFlgWeak = 2 // VER_FLG_WEAK
	err = d.records(addr, 16, budget, what, func(_ uint64, r fields) (uint32, error) {
		r.skip(4) // vna_hash
		flags := r.u16()
		r.skip(2) // vna_other
		str, next := r.u32(), r.u32()
		name, err := d.str.at(uint64(str), what)
		versions = append(versions, Version{Name: string(name), Weak: flags&verFlgWeak != 0})
		return next, err
	})
	return versions, err
}

// readDefines reads the versions defined (Verdef records); the first Verdaux of
// each holds its name, the others its parents.
func (d *dynamic) readDefines() error {
	const what = "defined symbol versions (DT_VERDEF)"
	const verFlgBase = 1 // VER_FLG_BASE
	if !d.has(elf.DT_VERDEF) || d.val[elf.DT_VERDEFNUM] == 0 {
		return nil
	}
	d.facts.HasVersions = true
	budget := maxVersions
	return d.records(d.val[elf.DT_VERDEF], 20, &budget, what, func(at uint64, r fields) (uint32, error) {
		r.skip(2) // vd_version
		flags := r.u16()
		r.skip(2) // vd_ndx
		count := r.u16()
		r.skip(4) // vd_hash
		aux, next := r.u32(), r.u32()
		if flags&verFlgBase != 0 || count == 0 {
			return next, nil
		}
		b, err := d.f.readAt(at+uint64(aux), 8, what)
		if err != nil {
			return 0, err
		}
		first := d.f.fields(b)
		name, err := d.str.at(uint64(first.u32()), what)
		d.facts.Defines = append(d.facts.Defines, string(name))
		return next, err
	})
}

// stringTable is DT_STRTAB, of which a window is held. Strings in it may overlap,
// so that a small file could name gigabytes: budget bounds how much is handed out
// in all.
type stringTable struct {
	in        input
	off, size uint64
	// window is what is held of the table from its byte start on.
	window []byte
	start  uint64
	budget uint64
}

// newStringTable allows every byte to be named by several records, as happens
// with needed libraries and versions, and short tables to be used often.
func newStringTable(in input, off, size uint64) stringTable {
	return stringTable{in: in, off: off, size: size, budget: 8*size + 1<<20}
}

// load makes the n bytes from start on the window.
func (t *stringTable) load(start, n uint64, what string) (err error) {
	t.start = start
	t.window, err = t.in.read(t.off+start, n, what)
	return err
}

// at returns the string at off, valid for good.
func (t *stringTable) at(off uint64, what string) ([]byte, error) {
	if off >= t.size {
		return nil, invalid("%s: offset %d is beyond the string table (%d bytes)", what, off, t.size)
	}
	const step = 4 << 10 // most tables without their symbols' names
	for n := uint64(step); ; n *= 2 {
		if off >= t.start && off-t.start < uint64(len(t.window)) {
			s := t.window[off-t.start:]
			if end := bytes.IndexByte(s, 0); end >= 0 {
				return s[:end], t.charge(uint64(end), what)
			}
			if t.start+uint64(len(t.window)) == t.size {
				return nil, invalid("%s: the string at offset %d has no end", what, off)
			}
		}
		if err := t.load(off, min(n, t.size-off), what); err != nil {
			return nil, err
		}
	}
}

func (t *stringTable) charge(n uint64, what string) error {
	if n > t.budget {
		return invalid("%s: the strings are longer than the table allows", what)
	}
	t.budget -= n
	return nil
}
