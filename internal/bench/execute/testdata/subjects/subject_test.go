// Package subjects has benchmarks of all kinds of behaviour.
package subjects

import (
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

var (
	sink  int
	bytes []byte
	loops = flag.Int("loops", 100, "what work does")
)

func TestMain(m *testing.M) {
	flag.Parse()
	fmt.Print("setting up\t1\tthing, no newline: ")
	fmt.Fprintln(os.Stderr, "warnings of TestMain")
	if os.Getenv("SILENT") != "" {
		os.Stdout, _ = os.Open(os.DevNull)
	}
	code := m.Run()
	if message := os.Getenv("FAIL_AFTERWARDS"); message != "" {
		fmt.Fprintln(os.Stderr, message)
		code = 1
	}
	os.Exit(code)
}

func TestNeverRuns(t *testing.T) { panic("a test ran") }

func work() {
	for i := range *loops {
		sink += i
	}
}

func BenchmarkN(b *testing.B) {
	for i := 0; i < b.N; i++ {
		work()
	}
}

func BenchmarkLoop(b *testing.B) {
	for b.Loop() {
		work()
	}
}

func BenchmarkParallel(b *testing.B) {
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s := 0
			for i := range 100 {
				s += i
			}
			runtime.KeepAlive(s)
		}
	})
}

func BenchmarkFast(b *testing.B) {
	for i := 0; i < b.N; i++ {
	}
}

func BenchmarkSlow(b *testing.B) {
	for i := 0; i < b.N; i++ {
		time.Sleep(150 * time.Millisecond)
	}
}

func BenchmarkSetup(b *testing.B) {
	time.Sleep(100 * time.Millisecond)
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		time.Sleep(time.Millisecond)
	}
}

func BenchmarkUntimed(b *testing.B) {
	for i := 0; i < b.N; i++ {
		b.StopTimer()
		time.Sleep(time.Millisecond)
		b.StartTimer()
		work()
	}
}

func BenchmarkFirstSlow(b *testing.B) {
	for i := 0; b.Loop(); i++ {
		if i == 0 {
			time.Sleep(20 * time.Millisecond)
		}
		work()
	}
}

func BenchmarkNoTime(b *testing.B) {
	for b.Loop() {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(1, "things/op")
}

func BenchmarkOwnTime(b *testing.B) {
	for b.Loop() {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(3, "ns/op")
}

func BenchmarkMetrics(b *testing.B) {
	b.SetBytes(1 << 20)
	for b.Loop() {
		work()
		bytes = make([]byte, 1000)
	}
	b.ReportMetric(12.5, "µs-p99/op")
	b.ReportMetric(0, "zero/op")
	b.ReportMetric(-3, "negative/op")
	b.ReportMetric(math.NaN(), "nan/op")
	b.ReportMetric(math.Inf(1), "inf/op")
	b.ReportMetric(math.Inf(-1), "minus-inf/op")
}

func BenchmarkPrints(b *testing.B) {
	fmt.Print("no newline 1")
	for b.Loop() {
		work()
	}
	fmt.Print("BenchmarkOther-2\tlooks like one 12")
}

func BenchmarkPrintsLines(b *testing.B) {
	for i := 0; i < b.N; i++ {
		fmt.Println("Benchmark\t1\tof many lines")
		fmt.Fprintln(os.Stderr, "and more")
	}
}

func BenchmarkPrintsLong(b *testing.B) {
	for i := 0; i < b.N; i++ {
		fmt.Print(strings.Repeat("0123456789 ", 20_000))
	}
}

func BenchmarkPrintsResult(b *testing.B) {
	for i := 0; i < b.N; i++ {
		work()
	}
	fmt.Printf("\n%8d\t   17.00 ns/op\n", b.N)
}

func BenchmarkFlood(b *testing.B) {
	line := []byte(strings.Repeat("x", 1<<20) + "\n")
	for {
		os.Stdout.Write(line)
	}
}

func BenchmarkLogs(b *testing.B) {
	for b.Loop() {
		work()
	}
	b.Log("       7\t 1 ns/op is no result")
}

func BenchmarkFatal(b *testing.B) {
	b.Log("before")
	fmt.Println("printed")
	b.Fatal("what is wrong")
}

func BenchmarkError(b *testing.B) {
	for b.Loop() {
		work()
	}
	b.Error("wrong in the end")
}

func BenchmarkFatalLater(b *testing.B) {
	for i := 0; i < b.N; i++ {
		work()
	}
	if b.N > 1 {
		b.Fatal("only when measured")
	}
}

func BenchmarkBreak(b *testing.B) {
	for b.Loop() {
		break
	}
}

func BenchmarkPanic(b *testing.B) { panic("a panic") }

func BenchmarkExit0(b *testing.B) { os.Exit(0) }

func BenchmarkExit7(b *testing.B) {
	fmt.Fprintln(os.Stderr, "last words")
	os.Exit(7)
}

func BenchmarkSkip(b *testing.B) { b.Skip("not here") }

func BenchmarkSkipLater(b *testing.B) {
	if b.N > 1 {
		b.Skip("not so often")
	}
}

func BenchmarkHang(b *testing.B) { time.Sleep(time.Hour) }

func BenchmarkChild(b *testing.B) {
	if err := exec.Command("sleep", "600").Start(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		work()
	}
}

func BenchmarkChildHolds(b *testing.B) {
	child := exec.Command("sleep", "600")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	os.WriteFile(os.Getenv("PID_FILE"), fmt.Append(nil, child.Process.Pid), 0o600)
	for b.Loop() {
		work()
	}
}

func BenchmarkFile(b *testing.B) {
	content, err := os.ReadFile("testdata/file.txt")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		sink += len(content)
	}
}

func BenchmarkEnv(b *testing.B) {
	for b.Loop() {
		work()
	}
	b.ReportMetric(float64(len(os.Getenv("HOW_LONG"))), "chars")
	b.ReportMetric(float64(*loops), "loops")
}

func BenchmarkSub(b *testing.B) {
	for _, name := range []string{"a", "size=1k", "with space", "a/b", "x|y(z)[0]$", "a", "", "gomaxprocs-2", "tab\tbell\a", "ü"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				work()
			}
			b.ReportMetric(float64(len(name)), "chars")
		})
	}
}

func BenchmarkSubFails(b *testing.B) {
	b.Run("good", func(b *testing.B) {
		for b.Loop() {
			work()
		}
	})
	b.Run("bad", func(b *testing.B) { b.Fatal("sub is wrong") })
	b.Run("panics", func(b *testing.B) { panic("sub panics") })
	b.Run("after", func(b *testing.B) {
		for b.Loop() {
			work()
		}
	})
}

func BenchmarkParentPanics(b *testing.B) {
	b.Run("a", func(b *testing.B) {
		for b.Loop() {
			work()
		}
	})
	panic("parent panics")
}

func BenchmarkParentFails(b *testing.B) {
	b.Run("a", func(b *testing.B) {
		for b.Loop() {
			work()
		}
	})
	b.Fatal("parent fails")
}

func BenchmarkEmpty(b *testing.B) {}
