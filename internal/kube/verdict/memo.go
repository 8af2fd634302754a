package verdict

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
)

// What memo keeps: this many predictions, each with this many findings at most.
const (
	memoEntries  = 4096
	memoFindings = 32
)

// memoKey stands for everything that a prediction depends on: the content by its
// digest, and what is started in it.
type memoKey [sha256.Size]byte

func keyOf(s *facts.Subject, mounts []mount, level int) memoKey {
	b := make([]byte, 0, 1024)
	add := func(text string) {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	add(s.Image.Digest)
	add(s.Platform.String())
	for _, list := range [][]string{s.Process.Args, s.Process.Env, {s.Process.User, s.Process.WorkingDir}} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, text := range list {
			add(text)
		}
	}
	for _, m := range mounts {
		add(m.path)
		if m.single {
			b = append(b, 1)
		}
	}
	return sha256.Sum256(binary.AppendUvarint(b, uint64(level)))
}

// memo remembers predictions of starts, the last used memoEntries. They are facts
// about content that does not change; no verdict is in it. The zero value is
// empty and safe for concurrent use.
type memo struct {
	mu     sync.Mutex
	byKey  map[memoKey]*list.Element
	recent list.List // of *prediction, the last used first
}

type prediction struct {
	key      memoKey
	findings []api.Finding
}

// get returns the findings for key, which are shared.
func (m *memo) get(key memoKey) ([]api.Finding, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.byKey[key]
	if !ok {
		return nil, false
	}
	m.recent.MoveToFront(e)
	p, _ := e.Value.(*prediction)
	return p.findings, true
}

func (m *memo) put(key memoKey, findings []api.Finding) {
	if len(findings) > memoFindings {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.byKey[key]; ok {
		return
	}
	if m.byKey == nil {
		m.byKey = map[memoKey]*list.Element{}
	}
	m.byKey[key] = m.recent.PushFront(&prediction{key, findings})
	if m.recent.Len() > memoEntries {
		oldest, _ := m.recent.Remove(m.recent.Back()).(*prediction)
		delete(m.byKey, oldest.key)
	}
}
