// Package machine tells what a machine is on which benchmarks run, how noisy it
// is, and runs their processes bound to processors and with their instructions
// counted.
//
// What a system lacks is a typed error (errors.ErrUnsupported) with the reason,
// and an absent field of [Facts]: nothing is guessed.
package machine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// Facts returns what can be read of this machine without rights. What cannot be
// read is absent. Counters is "available" when [OpenCounters] succeeds, otherwise
// why it does not. Noise is absent: see [Loop] and [Noise].
func Facts() api.BenchMachine {
	m, id := read()
	m.OS, m.Arch = runtime.GOOS, runtime.GOARCH
	m.Counters = "available"
	if _, err := OpenCounters(); err != nil {
		m.Counters = err.Error()
	}
	m.ID = id.of(m)
	return m
}

// identity has what tells machines apart, besides what is in the facts.
type identity struct {
	// model has what the processor's name leaves out: family, model, stepping.
	model string
	// processors counts those that are built in, whoever may use them.
	processors int
	// instance is the operating system's own name for this installation; secret.
	instance string
}

// of returns an ID: a hash of the kind of machine and, where the operating
// system has a name for the installation, a hyphen and a hash of that. The name
// is a secret (machine-id(5) asks that only hashes leave the machine).
func (id identity) of(m api.BenchMachine) string {
	kind := sha256.Sum256(fmt.Appendf(nil, "%q", []string{
		m.OS, m.Arch, m.CPU, id.model, fmt.Sprint(id.processors), m.Virtualization,
	}))
	s := hex.EncodeToString(kind[:6])
	if id.instance != "" {
		mac := hmac.New(sha256.New, []byte(id.instance))
		mac.Write([]byte("gopherwood bench machine"))
		s += "-" + hex.EncodeToString(mac.Sum(nil)[:6])
	}
	return s
}

// Kind returns the part of the ID of a machine that all machines have in common
// which have the same processors, as many of them, and the same operating system
// and virtualization: for example the runners of a CI service, of which each run
// gets a new one.
func Kind(id string) string {
	kind, _, _ := strings.Cut(id, "-")
	return kind
}
