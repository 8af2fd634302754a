package build

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gopherwood-dev/gopherwood/internal/bench/build/command"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// randLayout is the linker's flag that shuffles functions by a seed, since Go 1.22
// (https://go.dev/doc/go1.22#linker).
const randLayout = "-randlayout"

// layoutSeeds returns the seeds of n layouts: 0, which is the linker's own order,
// and others that are drawn from seed.
func layoutSeeds(n int, seed uint64) []uint64 {
	seeds := []uint64{0}
	random := rand.New(rand.NewPCG(seed, 0))
	for len(seeds) < n {
		if next := uint64(random.Int64()); !slices.Contains(seeds, next) { // the flag is an int64
			seeds = append(seeds, next)
		}
	}
	return seeds
}

// checkLayouts returns an error unless the linker can shuffle functions.
func (t *toolchain) checkLayouts(ctx context.Context) error {
	var failed *command.Error
	_, err := t.Output(ctx, "tool", "link") // without arguments it prints its flags, and fails
	if err == nil || errors.As(err, &failed) && strings.Contains(failed.Message, randLayout) {
		return nil
	}
	if !errors.As(err, &failed) {
		return err
	}
	return &fault.Error{Code: fault.Unsupported, Op: "shuffle functions with", Input: t.settings["GOVERSION"],
		Err: errors.Join(errors.New("its linker has no flag "+randLayout), errors.ErrUnsupported), Hint: "leave out --layouts, or use Go 1.22 or newer on both sides"}
}

// noDebug are the linker's flags with which go test links what it runs itself.
const noDebug = "-s -w"

// linkFlags are flags of go test after those of the user: for a binary as go test
// runs it, in a layout. The last -ldflags whose pattern matches a package counts,
// so that each that the user gave, in GOFLAGS too, is repeated with them.
func linkFlags(goflags string, flags []string, seed uint64) ([]string, error) {
	environment, err := splitQuoted(goflags)
	if err != nil {
		return nil, &fault.Error{Code: fault.Usage, Op: "read", Input: "GOFLAGS", Err: err}
	}
	ours := noDebug
	if seed != 0 {
		ours += fmt.Sprintf(" %s=%d", randLayout, seed)
	}
	out := []string{"-ldflags=" + ours}
	for _, value := range valuesOf("ldflags", slices.Concat(environment, flags)) {
		out = append(out, "-ldflags="+strings.TrimRight(value, " ")+" "+ours)
	}
	return out, nil
}

// valuesOf returns the values of a flag, which has one or two dashes and its value
// behind "=" or as the next argument.
func valuesOf(name string, args []string) (values []string) {
	for i := 0; i < len(args); i++ {
		flag, ok := strings.CutPrefix(args[i], "-")
		if !ok {
			continue
		}
		flag, value, attached := strings.Cut(strings.TrimPrefix(flag, "-"), "=")
		switch {
		case flag != name:
		case attached:
			values = append(values, value)
		case i+1 < len(args):
			i++
			values = append(values, args[i])
		}
	}
	return values
}

// splitQuoted splits GOFLAGS as the go command does: fields may be quoted as a
// whole, and have no escapes.
func splitQuoted(s string) (fields []string, err error) {
	const space = " \t\r\n"
	for s = strings.TrimLeft(s, space); s != ""; s = strings.TrimLeft(s, space) {
		if quote := s[:1]; quote == "'" || quote == `"` {
			field, rest, ok := strings.Cut(s[1:], quote)
			if !ok {
				return nil, fmt.Errorf("a %s has no end", quote)
			}
			fields, s = append(fields, field), rest
			continue
		}
		end := strings.IndexAny(s, space)
		if end < 0 {
			end = len(s)
		}
		fields, s = append(fields, s[:end]), s[end:]
	}
	return fields, nil
}
