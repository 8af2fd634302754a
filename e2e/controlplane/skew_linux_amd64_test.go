//go:build controlplane || e2e

package controlplane

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// shiftClock makes the wall clock of a running process differ from this machine's.
// Go asks the kernel's shared library for the time, through a function pointer of
// its runtime (pointer); that is set to a few instructions which ask the same and add seconds
// to CLOCK_REALTIME. They are put in the place of a function that runs only in a
// crash (place). The monotonic clock stays as it is, as on a node whose clock is wrong.
func (p *process) shiftClock(t *testing.T, pointer, place int64, by time.Duration) {
	t.Helper()
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", p.cmd.Process.Pid), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	var real [8]byte
	until(t, 5*time.Second, "the runtime knows the kernel's clock", func() error {
		if _, err := memory.ReadAt(real[:], pointer); err != nil {
			return err
		}
		if real == [8]byte{} {
			return errors.New("not yet")
		}
		return nil
	})
	code := []byte{0x57, 0x56, 0x48, 0x83, 0xec, 0x08}  // push rdi; push rsi; sub rsp, 8
	code = append(append(code, 0x48, 0xb8), real[:]...) // mov rax, real
	code = append(code, 0xff, 0xd0)                     // call rax
	code = append(code, 0x48, 0x83, 0xc4, 0x08)         // add rsp, 8
	code = append(code, 0x5e, 0x5f, 0x85, 0xff)         // pop rsi; pop rdi; test edi, edi
	code = append(code, 0x75, 13, 0x48, 0xb9)           // jne to ret; mov rcx, seconds
	code = binary.LittleEndian.AppendUint64(code, uint64(int64(by/time.Second)))
	code = append(code, 0x48, 0x01, 0x0e, 0xc3) // add [rsi], rcx; ret
	var address [8]byte
	binary.LittleEndian.PutUint64(address[:], uint64(place))
	if _, err := memory.WriteAt(code, place); err != nil {
		t.Fatal(err)
	}
	if _, err := memory.WriteAt(address[:], pointer); err != nil {
		t.Fatal(err)
	}
}

// runtimeSymbols returns where a Go program keeps the pointer to the kernel's
// clock, and where there is room for code.
func runtimeSymbols(t *testing.T, program string) (pointer, place int64) {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		switch {
		case s.Name == "runtime.vdsoClockgettimeSym":
			pointer = int64(s.Value)
		case s.Name == "runtime.dumpregs" && s.Size >= 64:
			place = int64(s.Value)
		}
	}
	if pointer == 0 || place == 0 {
		t.Fatalf("%s: the runtime's symbols are not known", program)
	}
	return pointer, place
}

// wallClock returns the time of the last line that the process has logged.
func (p *process) wallClock(t *testing.T) time.Time {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(tail(p.log)), "\n")
	_, rest, _ := strings.Cut(lines[len(lines)-1], `"time":"`)
	text, _, _ := strings.Cut(rest, `"`)
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatalf("%v in %q", err, lines[len(lines)-1])
	}
	return at
}

// TestClockSkew runs the webhook with a wrong clock: a little wrong, so that it
// works, and so wrong that it does not believe the API server. It makes the
// certificates, from nothing. What has run out by the API server's clock is not
// excused by a late one, nor what is excused refused by an early one; and a replica
// whose clock is right takes over from any of them.
func TestClockSkew(t *testing.T) {
	old, _ := lab.registry.push(t, "skew/old:v1", made{program: unsupported})
	pointer, place := runtimeSymbols(t, lab.gopherwood)
	for _, skew := range []time.Duration{45 * time.Minute, -45 * time.Minute, 72 * time.Hour, -72 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			secret := certificateSecret(t)
			secret.Data = nil
			requireNoError(t, lab.api.Update(t.Context(), secret), "empty the Secret")
			r := launchReplica(t)
			r.shiftClock(t, pointer, place, skew)
			r.join(t)
			works := false
			for end := time.Now().Add(5 * time.Second); !works && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				works = r.ready() == nil
			}
			t.Logf("a clock %v ahead: ready %v", skew, works)
			if works {
				if at := r.wallClock(t); (time.Until(at) - skew).Abs() > 20*time.Second {
					t.Fatalf("the replica's clock says %v", at)
				}
				requireDay(t, old)
			} else {
				if skew.Abs() < time.Hour {
					t.Error("it is not ready")
				}
				requireWords(t, tail(r.log), "is not yet valid")
				if err := lab.api.Create(t.Context(), pod(newNamespace(t), "unanswered", old)); err == nil {
					t.Error("a pod was admitted that nobody has judged")
				}
			}

			startReplica(t).join(t)
			lab.webhooks.remove(r.serving)
			until(t, 20*time.Second, "a replica with a right clock has taken over", func() error {
				return lab.api.Create(t.Context(), pod(newNamespace(t), "fine", old))
			})
			requireDay(t, old)
		})
	}
}

// requireDay holds the webhook to the day that it is: an exemption is in force
// today, and one that ended yesterday is not.
func requireDay(t *testing.T, image string) {
	t.Helper()
	today, yesterday := newNamespace(t), newNamespace(t)
	inForce(t, goPolicy(today, "p", exempting("**", time.Now())))
	inForce(t, goPolicy(yesterday, "p", exempting("**", time.Now().AddDate(0, 0, -1))))
	requireNoError(t, lab.api.Create(t.Context(), pod(today, "app", image)), "a pod with an exemption until today")
	requireRefused(t, lab.api.Create(t.Context(), pod(yesterday, "app", image)), "go/supported")
}
