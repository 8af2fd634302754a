package codepages

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestRelease(t *testing.T) {
	before := resident(t)
	total, err := Release()
	if err != nil {
		t.Fatal(err)
	}
	after := resident(t)
	t.Logf("%d KiB of the file were mapped, %d KiB are, of %d KiB", before, after, total>>10)
	if total == 0 || after >= before {
		t.Error("nothing was given back")
	}
}

// resident is how much of files the process has mapped in memory, in KiB.
func resident(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "RssFile:"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no RssFile")
	return 0
}

func TestUntouched(t *testing.T) {
	for smaps, want := range map[string]int{
		"00400000-027cf000 r-xp 00000000 fe:00 123   /opt/a program\nRss: 4 kB\nAnonymous:       0 kB\n":                                             1,
		"027cf000-0533b000 r--p 023cf000 fe:00 123   /opt/a program\nAnonymous: 0 kB\n":                                                              1,
		"027cf000-0533b000 r--p 023cf000 fe:00 123   /opt/a program\nAnonymous: 8 kB\n":                                                              0,
		"027cf000-0533b000 r--p 023cf000 fe:00 123   /opt/a program\nRss: 0 kB\n":                                                                    0,
		"0533b000-05436000 rw-p 04f3b000 fe:00 123   /opt/a program\nAnonymous: 0 kB\n":                                                              0,
		"05436000-05437000 ---p 00000000 fe:00 123   /opt/a program\nAnonymous: 0 kB\n":                                                              0,
		"7f0000000000-7f0000001000 r-xp 00000000 fe:00 9 /lib/other\nAnonymous: 0 kB\n":                                                              0,
		"7f0000000000-7f0000001000 r-xp 00000000 00:00 0 \nAnonymous: 0 kB\n":                                                                        0,
		"zz-7f r-xp 00000000 fe:00 123   /opt/a program\nAnonymous: 0 kB\n":                                                                          0,
		"2000-1000 r-xp 00000000 fe:00 123   /opt/a program\nAnonymous: 0 kB\n":                                                                      0,
		"1000-2000 r-xp 00000000 fe:00 123   /opt/a program\nAnonymous: 0 kB\n2000-3000 r--p 00001000 fe:00 123   /opt/a program\nAnonymous: 0 kB\n": 2,
		"": 0,
	} {
		if got := untouched([]byte(smaps), "/opt/a program"); len(got) != want {
			t.Errorf("%q: %v, want %d", smaps, got, want)
		}
	}
}
