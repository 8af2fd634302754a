package machine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// role is the variable of the environment that makes this test binary a child.
const role = "GOPHERWOOD_TEST_ROLE"

// TestMain is the children, too: "report" and "work" print what they see or use a
// processor; "report,work" is report with a child work, and so on.
func TestMain(m *testing.M) {
	is, rest, _ := strings.Cut(os.Getenv(role), ",")
	switch is {
	case "":
		os.Exit(m.Run())
	case "report":
		fmt.Println(runtime.GOMAXPROCS(0), runtime.NumCPU(), strings.Join(threads("proc/self"), " "))
	case "work":
		for range 30 {
			NewLoop().Run()
		}
	}
	if rest != "" {
		cmd := child(rest)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}

// child returns this test binary in a role.
func child(is string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{role + "=" + is}
	return cmd
}

// threads returns what the threads of a process are bound to.
func threads(process string) []string {
	var lists []string
	tasks, _ := filepath.Glob("/" + process + "/task/*/status")
	for _, name := range tasks {
		if b, err := os.ReadFile(name); err == nil { // the thread may have ended
			lists = append(lists, fields(string(b))["Cpus_allowed_list"])
		}
	}
	return lists
}

// TestStart binds a program, which starts another: all threads of both are bound,
// and none of this process.
func TestStart(t *testing.T) {
	allowed, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	before := threads("proc/self")[0]
	var wait sync.WaitGroup
	for range 4 {
		for _, cpu := range []int{allowed[0], allowed[len(allowed)-1]} {
			wait.Go(func() { testStart(t, fmt.Sprint(cpu)) })
		}
	}
	wait.Wait()
	for _, list := range threads("proc/self") {
		if list != before {
			t.Errorf("a thread of this process is bound to %s, before to %s", list, before)
		}
	}
	if now, err := allowedCPUs(); err != nil || !slices.Equal(now, allowed) {
		t.Errorf("allowed are %v, %v; before %v", now, err, allowed)
	}
}

// testStart binds a program to one processor.
func testStart(t *testing.T, list string) {
	a, err := Pin(list)
	if err != nil || a.String() != list {
		t.Errorf("Pin(%q) = %s, %v", list, a, err)
		return
	}
	cmd := child("report,report")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := a.Start(cmd); err != nil {
		t.Error(err)
		return
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, &out)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Errorf("%d lines: %s", len(lines), &out)
	}
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "1" || words[1] != "1" {
			t.Errorf("GOMAXPROCS, processors and threads of a program on processor %s: %s", list, line)
			continue
		}
		for _, bound := range words[2:] {
			if bound != list {
				t.Errorf("a thread is bound to %s, want %s", bound, list)
			}
		}
	}
}

func TestStartUnbound(t *testing.T) {
	a, err := Pin(" ")
	if a != nil || err != nil || a.String() != "" || a.CPUs() != nil {
		t.Fatalf("Pin of nothing: %v, %v", a, err)
	}
	cmd := child("report")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(cmd); err != nil {
		t.Fatal(err)
	}
	var procs, cpus int
	var list string
	if _, err := fmt.Fscan(out, &procs, &cpus, &list); err != nil || cpus != runtime.NumCPU() {
		t.Errorf("%d processors, %v; want %d", cpus, err, runtime.NumCPU())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestPinErrors(t *testing.T) {
	allowed, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	choose := "choose from " + formatCPUs(allowed)
	first := fmt.Sprint(allowed[0])
	for list, hint := range map[string]string{"x": `"0,2-3"`, "1-": `"0,2-3"`, "8191": choose, first + ",8190-8191": choose} {
		a, err := Pin(list)
		if a != nil || fault.CodeOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), hint) {
			t.Errorf("Pin(%q): %v, %v (%s)", list, a, err, fault.HintOf(err))
		}
		if hint == choose && !strings.Contains(err.Error(), "8191 are not online or not allowed") {
			t.Errorf("Pin(%q): %v", list, err)
		}
	}
}

// TestStartFails starts what is not there, and binds to what went away.
func TestStartFails(t *testing.T) {
	allowed, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	a := &Affinity{allowed[:1]}
	if err := a.Start(exec.Command("/does/not/exist")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
	gone := &Affinity{[]int{maxCPUs - 1}}
	cmd := child("report")
	var f *fault.Error
	if err := gone.Start(cmd); !errors.As(err, &f) || !errors.Is(err, syscall.EINVAL) || f.Hint == "" || cmd.Process != nil {
		t.Errorf("a processor that went away: %v", err)
	}
	if now, err := allowedCPUs(); err != nil || !slices.Equal(now, allowed) {
		t.Errorf("allowed are %v, %v; before %v", now, err, allowed)
	}
}

// TestDo binds a goroutine, and frees it even when it panics.
func TestDo(t *testing.T) {
	allowed, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	a := &Affinity{allowed[:1]}
	var inside []int
	func() {
		defer func() {
			if recover() != "out" {
				t.Error("the panic was lost")
			}
		}()
		_ = a.Do(func() {
			inside, _ = allowedCPUs()
			panic("out")
		})
	}()
	if !slices.Equal(inside, allowed[:1]) {
		t.Errorf("inside, %v were allowed, want %v", inside, allowed[:1])
	}
	if now, err := allowedCPUs(); err != nil || !slices.Equal(now, allowed) {
		t.Errorf("allowed are %v, %v; before %v", now, err, allowed)
	}
}
