package cli

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// setting holds the flags that say which day it is and which Go versions are
// supported.
type setting struct {
	matrices []string
	vendor   bool
	today    dateFlag
}

// addSetting gives cmd the flags of a setting.
func addSetting(cmd *cobra.Command) *setting {
	s := addMatrices(cmd)
	cmd.Flags().Var(&s.today, "today", "the day to judge for, YYYY-MM-DD (default: today)")
	return s
}

// addMatrices gives cmd the flags of a setting but for the day, for what runs for
// more than one.
func addMatrices(cmd *cobra.Command) *setting {
	s := &setting{}
	fl := cmd.Flags()
	fl.StringArrayVar(&s.matrices, "matrix", nil,
		"version matrix file instead of the built-in one; further ones are laid on top")
	fl.BoolVar(&s.vendor, "vendor", false, "lay the built-in matrix of longer vendor support on top")
	return s
}

// load returns what the flags say.
func (s *setting) load(cmd *cobra.Command) (policy.Setting, error) {
	set := policy.Setting{Today: s.today.orToday()}
	if s.vendor && len(s.matrices) > 0 {
		return set, usage(cmd, "--vendor is for the built-in matrix: give the vendor's file with another --matrix")
	}
	for _, name := range s.matrices {
		data, err := readDocument("read version matrix", name)
		if err != nil {
			return set, err
		}
		m, err := matrix.Load(name, data)
		if err != nil {
			return set, err
		}
		if set.Matrix != nil {
			m = matrix.Layer(set.Matrix, m)
		}
		set.Matrix = m
	}
	if set.Matrix == nil {
		set.Matrix = matrix.Embedded(s.vendor)
	}
	return set, nil
}

// loadPolicy compiles the policy file name, or returns the built-in policy for
// an empty name.
func loadPolicy(name string) (*policy.Policy, error) {
	if name == "" {
		return policy.Default(), nil
	}
	data, err := readDocument("read policy", name)
	if err != nil {
		return nil, err
	}
	return policy.Load(name, data)
}

// maxDocument is the largest policy or matrix file that is read, in bytes.
const maxDocument = 4 << 20

// readDocument reads a file that a person wrote.
func readDocument(op, name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: op, Err: err, Hint: "check the file's name"}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: op, Err: err}
	}
	if len(data) > maxDocument {
		return nil, &fault.Error{Code: fault.Limit, Op: op, Input: name,
			Hint: "such a file is at most 4 MiB"}
	}
	return data, nil
}
