package direct

import (
	"cmp"
	"context"
	"encoding/json"
	"os"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// GoEnv is what the go command of this machine says about module proxies.
type GoEnv struct {
	GOPROXY, GOSUMDB, GOPRIVATE, GONOPROXY, GONOSUMDB string
}

// FromGoEnv asks a go command ("go" when it is empty) for its settings: the
// environment's, then those of `go env -w`, then those it was built with.
func FromGoEnv(ctx context.Context, goCommand string) (GoEnv, error) {
	var env GoEnv
	run := command{name: cmp.Or(goCommand, "go"), env: os.Environ(), limit: artifact.MaxInfo}
	out, err := run.output(ctx, "env", "-json", "GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB")
	if err == nil {
		err = json.Unmarshal(out, &env)
	}
	if err != nil {
		return env, &fault.Error{Code: fault.CodeOf(err), Op: "ask the go command for", Input: "its settings", Err: err}
	}
	return env, nil
}
