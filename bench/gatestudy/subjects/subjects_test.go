package subjects

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"text/template"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// sink keeps results alive.
var sink any

// operations measures operations of the pieces of work that this build does.
func operations(b *testing.B, piece func(i int)) {
	pieces := Pieces + Percent()
	b.ReportAllocs()
	for b.Loop() {
		for i := range pieces {
			piece(i)
		}
	}
}

// each is a list of a value for each piece, which make makes from a random source that is
// always the same.
func each[T any](make func(r *rand.Rand) T) []T {
	r := rand.New(rand.NewPCG(1, 2))
	list := []T{}
	for range Pieces + Most {
		list = append(list, make(r))
	}
	return list
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// word is a random word.
func word(r *rand.Rand, length int) string {
	letters := make([]byte, length)
	for i := range letters {
		letters[i] = "etaoinshrdlu"[r.IntN(12)]
	}
	return string(letters)
}

func words(r *rand.Rand, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = word(r, 3+r.IntN(8))
	}
	return list
}

// text is n random words of a vocabulary, so that it can be compressed.
func text(r *rand.Rand, n int) string {
	vocabulary, said := words(r, 40), make([]string, n)
	for i := range said {
		said[i] = vocabulary[r.IntN(len(vocabulary))]
	}
	return strings.Join(said, " ")
}

type order struct {
	ID       int               `json:"id"`
	Customer string            `json:"customer"`
	Paid     bool              `json:"paid"`
	Total    float64           `json:"total"`
	Lines    []line            `json:"lines"`
	Labels   map[string]string `json:"labels"`
}

type line struct {
	Article string  `json:"article"`
	Count   int     `json:"count"`
	Price   float64 `json:"price"`
}

func newOrder(r *rand.Rand) order {
	o := order{ID: r.IntN(1e6), Customer: word(r, 12), Total: r.Float64() * 1000, Labels: map[string]string{"region": word(r, 2), "source": word(r, 6)}}
	for range 5 {
		o.Lines = append(o.Lines, line{word(r, 10), 1 + r.IntN(9), r.Float64() * 100})
	}
	return o
}

func BenchmarkJSONDecode(b *testing.B) {
	documents := each(func(r *rand.Rand) []byte {
		data, err := json.Marshal(newOrder(r))
		check(b, err)
		return data
	})
	operations(b, func(i int) {
		var o order
		check(b, json.Unmarshal(documents[i], &o))
		sink = o.ID
	})
}

func BenchmarkJSONEncode(b *testing.B) {
	orders := each(newOrder)
	operations(b, func(i int) {
		data, err := json.Marshal(orders[i])
		check(b, err)
		sink = data
	})
}

func BenchmarkSortInts(b *testing.B) {
	lists := each(func(r *rand.Rand) []int { return r.Perm(500) })
	buffer := make([]int, 500)
	operations(b, func(i int) {
		copy(buffer, lists[i])
		slices.Sort(buffer)
	})
}

func BenchmarkSortStrings(b *testing.B) {
	lists := each(func(r *rand.Rand) []string { return words(r, 200) })
	buffer := make([]string, 200)
	operations(b, func(i int) {
		copy(buffer, lists[i])
		sort.Slice(buffer, func(i, j int) bool { return buffer[i] < buffer[j] })
	})
}

// logLine is like a web server's.
func logLine(r *rand.Rand) string {
	return fmt.Sprintf("10.%d.%d.%d - - [27/Nov/2026:10:%02d:00 +0000] \"GET /%s/%s HTTP/1.1\" 200 %d", r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(60), word(r, 8), word(r, 5), r.IntN(1e5))
}

func BenchmarkRegexpMatch(b *testing.B) {
	lines := each(logLine)
	pattern := regexp.MustCompile(`(GET|POST) /[a-z]+/[a-z]+ HTTP/[0-9.]+" 5[0-9][0-9] `)
	operations(b, func(i int) { sink = pattern.MatchString(lines[i]) })
}

func BenchmarkRegexpSubmatch(b *testing.B) {
	lines := each(logLine)
	pattern := regexp.MustCompile(`^([0-9.]+) .*"(GET|POST) ([^ ]+) HTTP/[0-9.]+" ([0-9]+)`)
	operations(b, func(i int) { sink = pattern.FindStringSubmatch(lines[i]) })
}

func BenchmarkDeflate(b *testing.B) {
	texts := each(func(r *rand.Rand) []byte { return []byte(text(r, 300)) })
	w, err := flate.NewWriter(io.Discard, flate.DefaultCompression)
	check(b, err)
	operations(b, func(i int) {
		w.Reset(io.Discard)
		_, err := w.Write(texts[i])
		check(b, err)
		check(b, w.Close())
	})
}

func BenchmarkInflate(b *testing.B) {
	packed := each(func(r *rand.Rand) []byte {
		var buffer bytes.Buffer
		w, err := flate.NewWriter(&buffer, flate.DefaultCompression)
		check(b, err)
		_, err = io.WriteString(w, text(r, 300))
		check(b, err)
		check(b, w.Close())
		return buffer.Bytes()
	})
	from := flate.NewReader(nil)
	operations(b, func(i int) {
		check(b, from.(flate.Resetter).Reset(bytes.NewReader(packed[i]), nil))
		_, err := io.Copy(io.Discard, from)
		check(b, err)
	})
}

func version(r *rand.Rand) string {
	return fmt.Sprintf("v%d.%d.%d-%s.%d", r.IntN(3), r.IntN(20), r.IntN(10), word(r, 4), r.IntN(9))
}

func BenchmarkModFile(b *testing.B) {
	files := each(func(r *rand.Rand) []byte {
		said := "module example.com/m\n\ngo 1.26\n\nrequire (\n"
		for range 12 {
			said += "\texample.com/" + word(r, 5) + "/" + word(r, 8) + " v1." + fmt.Sprint(r.IntN(100)) + ".0 // indirect\n"
		}
		return []byte(said + ")\n")
	})
	operations(b, func(i int) {
		f, err := modfile.Parse("go.mod", files[i], nil)
		check(b, err)
		sink = f
	})
}

func BenchmarkSemver(b *testing.B) {
	lists := each(func(r *rand.Rand) []string {
		versions := make([]string, 16)
		for i := range versions {
			versions[i] = version(r)
		}
		return versions
	})
	buffer := make([]string, 16)
	operations(b, func(i int) {
		copy(buffer, lists[i])
		semver.Sort(buffer)
	})
}

func BenchmarkMapCount(b *testing.B) {
	texts := each(func(r *rand.Rand) []string { return words(r, 60) })
	operations(b, func(i int) {
		counts := map[string]int{}
		for _, w := range texts[i] {
			counts[w]++
		}
		sink = counts
	})
}

func BenchmarkMapLookup(b *testing.B) {
	const size = 1 << 14
	table := make(map[uint64]uint64, size)
	keys := each(func(r *rand.Rand) []uint64 {
		list := make([]uint64, 50)
		for i := range list {
			list[i] = r.Uint64()
			table[list[i]] = uint64(i)
		}
		return list
	})
	for r := rand.New(rand.NewPCG(3, 4)); len(table) < size; {
		table[r.Uint64()] = 1
	}
	var sum uint64
	operations(b, func(i int) {
		for _, k := range keys[i] {
			sum += table[k]
		}
	})
	sink = sum
}

type node struct {
	left, right *node
	value       int
}

// insert puts values into a binary tree, one allocation each.
func (n *node) insert(value int) *node {
	switch {
	case n == nil:
		return &node{value: value}
	case value < n.value:
		n.left = n.left.insert(value)
	default:
		n.right = n.right.insert(value)
	}
	return n
}

func BenchmarkTree(b *testing.B) {
	lists := each(func(r *rand.Rand) []int { return r.Perm(64) })
	operations(b, func(i int) {
		var root *node
		for _, v := range lists[i] {
			root = root.insert(v)
		}
		sink = root
	})
}

func BenchmarkStrings(b *testing.B) {
	texts := each(func(r *rand.Rand) string { return text(r, 40) })
	operations(b, func(i int) {
		fields := strings.Fields(texts[i])
		slices.Reverse(fields)
		sink = strings.ToUpper(strings.Join(fields, "_"))
	})
}

func BenchmarkSHA256(b *testing.B) {
	texts := each(func(r *rand.Rand) []byte { return []byte(text(r, 300)) })
	operations(b, func(i int) {
		sum := sha256.Sum256(texts[i])
		sink = sum[0]
	})
}

func BenchmarkChannel(b *testing.B) {
	questions, answers := make(chan int), make(chan int)
	go func() {
		for q := range questions {
			answers <- q + 1
		}
	}()
	defer close(questions)
	sum := 0
	operations(b, func(i int) {
		questions <- i
		sum += <-answers
	})
	sink = sum
}

func BenchmarkTemplate(b *testing.B) {
	orders := each(newOrder)
	page := template.Must(template.New("").Parse(`{{.Customer}}: {{range .Lines}}{{.Count}} x {{.Article}} {{end}}{{if .Paid}}paid{{else}}open{{end}}`))
	operations(b, func(i int) { check(b, page.Execute(io.Discard, orders[i])) })
}

func BenchmarkSprintf(b *testing.B) {
	orders := each(newOrder)
	operations(b, func(i int) {
		o := &orders[i]
		sink = fmt.Sprintf("%d %s %8.2f %t %v", o.ID, o.Customer, o.Total, o.Paid, o.Lines[0])
	})
}

func BenchmarkBigMul(b *testing.B) {
	numbers := each(func(r *rand.Rand) *big.Int {
		bits := make([]byte, 256)
		for i := range bits {
			bits[i] = byte(r.Uint32() | 1)
		}
		return new(big.Int).SetBytes(bits)
	})
	var product big.Int
	operations(b, func(i int) { product.Mul(numbers[i], numbers[len(numbers)-1-i]) })
}

func BenchmarkCSV(b *testing.B) {
	tables := each(func(r *rand.Rand) string {
		var said strings.Builder
		for range 8 {
			fmt.Fprintln(&said, strings.Join(words(r, 6), ","))
		}
		return said.String()
	})
	operations(b, func(i int) {
		rows, err := csv.NewReader(strings.NewReader(tables[i])).ReadAll()
		check(b, err)
		sink = rows
	})
}

// TestBuild says what build this is: nothing is added where the linker was told nothing.
func TestBuild(t *testing.T) {
	if Percent() != 0 || Label() != "base" {
		t.Errorf("%d %%, %s", Percent(), Label())
	}
}
