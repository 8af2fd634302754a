package admission

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

// The variables of the Go runtime.
const (
	envMemoryLimit = "GOMEMLIMIT"
	envMaxProcs    = "GOMAXPROCS"
	envDebug       = "GODEBUG"
	// debugContainer is the setting of GODEBUG that makes GOMAXPROCS follow the
	// CPU limit; it is on since Go 1.25, in modules whose go line says so.
	debugContainer = "containermaxprocs"
)

// The Go minors that brought the two.
const (
	sinceMemoryLimit   = "1.19"
	sinceContainerProc = "1.25"
)

// variable is an environment variable to be added.
type variable struct{ name, value string }

// program is a Go program that a container starts, with its image.
type program struct {
	facts *api.Facts
	image *api.Image
}

// programs returns what the container starts on each platform; ok is false unless
// all of them are known Go programs.
func (h *Handler) programs(a *asked, e *examined) (out []program, ok bool) {
	for _, s := range pulled(e.image.Subjects) {
		f, known := h.Judge.Program(s, a.work, &e.Container)
		if !known || f.Go == nil {
			return nil, false
		}
		out = append(out, program{f, s.Image})
	}
	return out, len(out) > 0
}

// isSet reports whether the container, or the image, sets or may set a variable.
func isSet(name string, e *examined, programs []program) bool {
	if slices.ContainsFunc(e.Env, func(v corev1.EnvVar) bool { return v.Name == name }) {
		return true
	}
	// What is in a ConfigMap or Secret is not read: it could be there.
	if slices.ContainsFunc(e.EnvFrom, func(s corev1.EnvFromSource) bool { return strings.HasPrefix(name, s.Prefix) }) {
		return true
	}
	return slices.ContainsFunc(programs, func(p program) bool {
		_, ok := lookup(p.image.Env, name)
		return ok
	})
}

// lookup finds a variable in KEY=VALUE lines, of which the last counts.
func lookup(lines []string, name string) (string, bool) {
	for _, line := range slices.Backward(lines) {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// memoryLimit is GOMEMLIMIT, in bytes, from the container's memory limit.
func memoryLimit(percent int32, e *examined, programs []program) (variable, bool) {
	limit := e.Resources.Limits.Memory().Value()
	if percent == 0 || limit <= 0 || isSet(envMemoryLimit, e, programs) || !allSince(programs, sinceMemoryLimit) {
		return variable{}, false
	}
	bytes := limit/100*int64(percent) + limit%100*int64(percent)/100
	return variable{envMemoryLimit, strconv.FormatInt(bytes, 10) + "B"}, true
}

// allSince reports whether all programs were built with the minor or a newer one.
func allSince(programs []program, minor string) bool {
	return !slices.ContainsFunc(programs, func(p program) bool {
		order, err := goversion.Compare(p.facts.Go.Version, minor)
		return err != nil || order < 0
	})
}

// maxProcs is GOMAXPROCS where the Go runtime would not find a good value itself:
// from the CPU limit for programs that do not look at it, from the request where
// there is no limit. The rule is that of Go 1.25: rounded up, and at least 2, so
// that garbage is collected beside the program. cpus is the most processors that
// a node has, which is never exceeded; 0 when it is not known.
func maxProcs(cpus int64, e *examined, programs []program) (variable, bool) {
	limit, request := e.Resources.Limits.Cpu(), e.Resources.Requests.Cpu()
	basis := limit
	switch {
	case isSet(envMaxProcs, e, programs):
		return variable{}, false
	case limit.Sign() > 0:
		if !slices.ContainsFunc(programs, func(p program) bool { return !followsLimit(&p, e) }) || switchedOff(e) {
			return variable{}, false
		}
	case request.Sign() > 0:
		basis = request
	default:
		return variable{}, false
	}
	return variable{envMaxProcs, strconv.FormatInt(procs(basis, cpus), 10)}, true
}

func procs(q *resource.Quantity, cpus int64) int64 {
	// Value rounds up.
	n := max(q.Value(), 2)
	if cpus > 0 {
		n = min(n, cpus)
	}
	return n
}

// followsLimit reports whether the Go runtime in the program looks at the CPU
// limit of its container.
func followsLimit(p *program, e *examined) bool {
	if !allSince([]program{*p}, sinceContainerProc) {
		return false
	}
	on := setting(p.facts.Go.Settings["DefaultGODEBUG"], debugContainer) != "0"
	env, _ := lookup(p.image.Env, envDebug)
	for _, v := range e.Env {
		if v.Name == envDebug {
			env = v.Value
		}
	}
	if own := setting(env, debugContainer); own != "" {
		on = own != "0"
	}
	return on
}

// switchedOff reports whether the user has said that GOMAXPROCS shall not follow
// the limit.
func switchedOff(e *examined) bool {
	return slices.ContainsFunc(e.Env, func(v corev1.EnvVar) bool {
		return v.Name == envDebug && setting(v.Value, debugContainer) == "0"
	})
}

// setting returns the value of a GODEBUG setting, of which the last counts; ""
// when it is not there.
func setting(list, key string) string {
	value := ""
	for part := range strings.SplitSeq(list, ",") {
		if v, ok := strings.CutPrefix(part, key+"="); ok {
			value = v
		}
	}
	return value
}
