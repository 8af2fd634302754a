package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/kube/fleet"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

func newFleetDiff(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff OLD [NEW]",
		Short: "Say what differs between two moments of a cluster",
		Long: `Diff compares two files that 'gopherwood fleet inspect -o json' (or yaml) wrote, or
one with what runs now: which containers came and went, and of which the image,
the Go version or the verdict changed, with the rules that speak against them
anew and no more. Different numbers of pods alone are no difference.

JSON and YAML are a FleetDiff, described in docs/formats/fleet.md.

The flags about the cluster are for a comparison with what runs now, which looks
at the namespaces and labels that OLD did unless they say otherwise.`,
		Example: "  gopherwood fleet diff monday.json\n  gopherwood fleet diff monday.json friday.json -o json",
		Args:    cobra.MatchAll(needArgs(1, "a file OLD"), maxArgs(2)),
	}
	f := addFleet(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		from, err := readFleet(args[0])
		if err != nil {
			return err
		}
		to, err := f.second(cmd, a, from, args[1:])
		if err != nil {
			return err
		}
		if err := render.FleetDiff(a.stdout, format.value, fleet.Diff(from, to), a.look); err != nil {
			return err
		}
		return partial(1, len(to.Errors))
	}
	return cmd
}

// second returns the list of the file, or of what runs now.
func (f *fleetFlags) second(cmd *cobra.Command, a *app, from *api.FleetList, files []string) (*api.FleetList, error) {
	if len(files) > 0 {
		return readFleet(files[0])
	}
	if len(f.namespaces) == 0 && !f.all {
		f.namespaces = from.Namespaces
	}
	if f.selector == "" {
		f.selector = from.Selector
	}
	return f.scan(cmd, a)
}

// maxFleet is the largest list that is read, in bytes: one of 5,000 containers
// with all facts is far smaller.
const maxFleet = 512 << 20

// readFleet reads a FleetList in JSON or YAML.
func readFleet(name string) (*api.FleetList, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "read fleet list", Err: err, Hint: "check the file's name"}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFleet+1))
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeOf(err), Op: "read fleet list", Input: name, Err: err}
	}
	if len(data) > maxFleet {
		return nil, &fault.Error{Code: fault.Limit, Op: "read fleet list", Input: name, Hint: "such a file is at most 512 MiB"}
	}
	list, err := parseFleet(data)
	if err != nil {
		return nil, &fault.Error{Code: fault.Invalid, Op: "read fleet list", Input: name, Err: err,
			Hint: "'gopherwood fleet inspect -o json' writes such a file"}
	}
	return list, nil
}

func parseFleet(data []byte) (*api.FleetList, error) {
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] != '{' {
		var doc any
		if err := yaml.Unmarshal(data, &doc); err != nil {
			return nil, err
		}
		var err error
		if data, err = json.Marshal(doc); err != nil {
			return nil, err
		}
	}
	list := &api.FleetList{}
	if err := json.Unmarshal(data, list); err != nil {
		return nil, err
	}
	if list.SchemaVersion != api.SchemaVersion || list.Kind != api.KindFleetList {
		return nil, fmt.Errorf("it is no %s of %s but %q of %q", api.KindFleetList, api.SchemaVersion, list.Kind, list.SchemaVersion)
	}
	for i := range list.Items {
		if item := &list.Items[i]; item.Kind == "" || item.Name == "" || item.Container == "" {
			return nil, errors.New("an item has no workload or container")
		}
	}
	return list, nil
}
