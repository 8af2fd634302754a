package history

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// commitRow is a commit as it is kept; time is in seconds of Unix time.
type commitRow struct {
	hash    string
	time    int64
	parents []string
	subject string
}

// inOrder sorts commits so that parents come before children, and by time where
// that leaves a choice, then by hash (A. B. Kahn, "Topological Sorting of Large
// Networks", Communications of the ACM 5 (1962)). A commit whose parents are not
// among the commits is placed by its time.
func inOrder(commits []commitRow) []commitRow {
	at := make(map[string]int, len(commits))
	for i, c := range commits {
		at[c.hash] = i
	}
	missing := make([]int, len(commits))
	children := make([][]int, len(commits))
	for i, c := range commits {
		for _, p := range c.parents {
			if parent, ok := at[p]; ok {
				missing[i]++
				children[parent] = append(children[parent], i)
			}
		}
	}
	var ready commitHeap
	for i, c := range commits {
		if missing[i] == 0 {
			ready = append(ready, c)
		}
	}
	heap.Init(&ready)
	sorted := make([]commitRow, 0, len(commits))
	for len(ready) > 0 {
		c := heap.Pop(&ready).(commitRow)
		sorted = append(sorted, c)
		for _, child := range children[at[c.hash]] {
			if missing[child]--; missing[child] == 0 {
				heap.Push(&ready, commits[child])
			}
		}
	}
	return append(sorted, inCycles(commits, missing)...)
}

// inCycles returns the commits that wait for each other, by time. Git has none;
// a store that was written by hand may.
func inCycles(commits []commitRow, missing []int) []commitRow {
	var rest []commitRow
	for i, c := range commits {
		if missing[i] > 0 {
			rest = append(rest, c)
		}
	}
	slices.SortFunc(rest, compareCommits)
	return rest
}

func compareCommits(a, b commitRow) int {
	return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.hash, b.hash))
}

type commitHeap []commitRow

func (h commitHeap) Len() int           { return len(h) }
func (h commitHeap) Less(i, j int) bool { return compareCommits(h[i], h[j]) < 0 }
func (h commitHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *commitHeap) Push(x any)        { *h = append(*h, x.(commitRow)) }
func (h *commitHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// left returns the commits that a filter leaves, in their order.
func (f Filter) left(commits []commitRow) []commitRow {
	wanted := make(map[string]bool, len(f.Commits))
	for _, c := range f.Commits {
		wanted[strings.ToLower(c)] = true
	}
	commits = slices.DeleteFunc(inOrder(commits), func(c commitRow) bool {
		return len(wanted) > 0 && !wanted[c.hash] || !f.Since.IsZero() && c.time < f.Since.Unix()
	})
	if f.Limit > 0 && len(commits) > f.Limit {
		commits = commits[len(commits)-f.Limit:]
	}
	return commits
}

func (c commitRow) document() api.BenchCommit {
	return api.BenchCommit{Hash: c.hash, Time: formatTime(c.time), Subject: c.subject}
}
