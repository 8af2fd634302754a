package cli

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
)

// formatFlag is the value of -o, or of --format.
type formatFlag struct {
	value   render.Format
	allowed []render.Format
}

// addFormat gives cmd the flag -o with the allowed formats, of which the first
// is the default.
func addFormat(cmd *cobra.Command, allowed ...render.Format) *formatFlag {
	return addFormatAs(cmd, "output", "o", allowed...)
}

// addFormatAs is addFormat for a flag of another name.
func addFormatAs(cmd *cobra.Command, name, shorthand string, allowed ...render.Format) *formatFlag {
	f := &formatFlag{value: allowed[0], allowed: allowed}
	cmd.Flags().VarP(f, name, shorthand, "output format: "+f.names())
	complete(cmd, name, strings.Split(f.names(), "|")...)
	return f
}

func (f *formatFlag) String() string { return string(f.value) }
func (f *formatFlag) Type() string   { return "format" }

func (f *formatFlag) names() string {
	var names []string
	for _, a := range f.allowed {
		names = append(names, string(a))
	}
	return strings.Join(names, "|")
}

func (f *formatFlag) Set(s string) error {
	if !slices.Contains(f.allowed, render.Format(s)) {
		return fmt.Errorf("must be one of %s", f.names())
	}
	f.value = render.Format(s)
	return nil
}

// complete gives a flag's values to the shell. The only error is that the flag
// does not exist, which the tests of completion would show.
func complete(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// sizeFlag is a number of bytes with an optional unit; 0 stands for the default.
type sizeFlag int64

func (f *sizeFlag) String() string {
	if *f == 0 {
		return ""
	}
	return render.Size(int64(*f))
}

func (f *sizeFlag) Type() string { return "size" }

func (f *sizeFlag) Set(s string) error {
	n, err := parseSize(s)
	*f = sizeFlag(n)
	return err
}

// parseSize reads "1048576", "512KiB", "1.5 GiB", "200MB" or, as Kubernetes writes
// it, "256Mi": units of 1024 have an i, those of 1000 have none.
func parseSize(s string) (int64, error) {
	i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if i < 0 {
		i = len(s)
	}
	unit, ok := sizeUnit(strings.TrimSpace(s[i:]))
	n, err := strconv.ParseFloat(s[:i], 64)
	if err != nil || !ok {
		return 0, fmt.Errorf("%q is no size: write a number and a unit, for example 512MiB or 2GiB", s)
	}
	bytes := n * unit
	if bytes < 1 || bytes >= math.MaxInt64 {
		return 0, fmt.Errorf("size %q is out of range", s)
	}
	return int64(bytes), nil
}

func sizeUnit(name string) (float64, bool) {
	if name == "" || strings.EqualFold(name, "b") {
		return 1, true
	}
	power := strings.IndexByte("KMGT", name[0]&^0x20) + 1
	if power == 0 {
		return 0, false
	}
	switch strings.ToLower(name[1:]) {
	case "ib", "i":
		return math.Pow(1024, float64(power)), true
	case "b":
		return math.Pow(1000, float64(power)), true
	}
	return 0, false
}

// dateFlag is a day; zero stands for today.
type dateFlag struct{ time.Time }

func (f *dateFlag) String() string {
	if f.IsZero() {
		return ""
	}
	return f.Format(time.DateOnly)
}

func (f *dateFlag) Type() string { return "date" }

func (f *dateFlag) Set(s string) error {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return fmt.Errorf("%q is no date: write YYYY-MM-DD", s)
	}
	f.Time = t
	return nil
}

// orToday returns the day asked for, or today.
func (f *dateFlag) orToday() time.Time {
	if f.IsZero() {
		return time.Now().UTC().Truncate(24 * time.Hour)
	}
	return f.Time
}

// cpuFlag is an x86-64 level; 0 stands for the default.
type cpuFlag int

func (f *cpuFlag) String() string {
	if *f == 0 {
		return ""
	}
	return "v" + strconv.Itoa(int(*f))
}

func (f *cpuFlag) Type() string { return "level" }

func (f *cpuFlag) Set(s string) error {
	i := slices.Index([]string{"v1", "v2", "v3", "v4"}, s)
	if i < 0 {
		return fmt.Errorf("must be one of v1|v2|v3|v4")
	}
	*f = cpuFlag(i + 1)
	return nil
}
