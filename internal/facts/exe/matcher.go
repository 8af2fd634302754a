package exe

import (
	"bytes"
	"encoding/binary"
	"math"
)

// matcher finds the symbols of Capabilities in a run of names that end in NUL
// bytes. It allocates nothing for a name.
type matcher struct {
	// bits has, for each symbol, a bit for each entry of Capabilities it shows.
	bits map[string]uint64
	// ends has a bit for the end of each symbol (see end): it spares nearly all
	// names the look-up.
	ends              [1 << endBits / 64]uint64
	shortest, longest int
	seen              uint64
	// carry is the beginning of a name that the next piece continues.
	carry []byte
}

func newMatcher() *matcher {
	m := &matcher{bits: map[string]uint64{}, shortest: math.MaxInt}
	for i, c := range Capabilities {
		for _, s := range c.Symbols {
			m.bits[s] |= 1 << i
			e := end([]byte(s))
			m.ends[e/64] |= 1 << (e % 64)
			m.shortest, m.longest = min(m.shortest, len(s)), max(m.longest, len(s))
		}
	}
	return m
}

// match looks one name up.
func (m *matcher) match(name []byte) {
	if len(name) < m.shortest {
		return
	}
	if e := end(name); m.ends[e/64]&(1<<(e%64)) != 0 {
		m.seen |= m.bits[string(name)] // does not allocate
	}
}

const endBits = 13

// end hashes the length and the last four bytes of a name that has as many.
func end(name []byte) uint32 {
	last := binary.LittleEndian.Uint32(name[len(name)-4:])
	return (last + uint32(len(name))) * 0x9e3779b1 >> (32 - endBits)
}

// scan matches the names in b, which continues the piece before.
func (m *matcher) scan(b []byte) {
	if len(m.carry) > 0 {
		end := bytes.IndexByte(b, 0)
		if end < 0 {
			m.keep(b)
			return
		}
		m.keep(b[:end])
		m.match(m.carry)
		m.carry = m.carry[:0]
		b = b[end+1:]
	}
	for {
		end := bytes.IndexByte(b, 0)
		if end < 0 {
			m.keep(b)
			return
		}
		m.match(b[:end])
		b = b[end+1:]
	}
}

// keep appends to carry as much as decides that a name is too long.
func (m *matcher) keep(b []byte) {
	room := m.longest + 1 - len(m.carry)
	m.carry = append(m.carry, b[:min(len(b), room)]...)
}

// found returns the names of what was seen, in the order of Capabilities.
func (m *matcher) found() []string {
	names := []string{}
	for i, c := range Capabilities {
		if m.seen&(1<<i) != 0 {
			names = append(names, c.Name)
		}
	}
	return names
}
