package verdict

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/kube/workload"
)

// started is what a container runtime will be told to start.
type started struct {
	// image is the image's configuration as the container changes it.
	image   api.Image
	process facts.Process
	// doubt says why the process is not known, when it is not.
	doubt string
}

// startOf lays what a container says over the image's configuration, as the
// kubelet and the runtime do: command takes the place of entrypoint and cmd, args
// that of cmd, variables are added, $(NAME) is expanded.
func startOf(img *api.Image, w *workload.Workload, c *workload.Container) started {
	s := started{image: *img}
	env := environmentOf(c)
	if len(c.Command) > 0 {
		s.image.Entrypoint, s.image.Cmd = env.expandAll(c.Command), nil
	}
	if len(c.Args) > 0 {
		s.image.Cmd = env.expandAll(c.Args)
	}
	if len(env.lines) > 0 {
		s.image.Env = slices.Concat(img.Env, env.lines)
	}
	if c.WorkingDir != "" {
		s.image.WorkingDir = c.WorkingDir
	}
	s.image.User = userOf(img.User, w.User(c))
	s.process = facts.Process{
		Args: slices.Concat(s.image.Entrypoint, s.image.Cmd), Env: s.image.Env,
		User: s.image.User, WorkingDir: s.image.WorkingDir,
	}
	s.doubt = env.doubt(c, s.process.Args)
	return s
}

// userOf lays the user that the pod asks for over the image's.
func userOf(image, pod string) string {
	switch {
	case pod == "":
		return image
	case strings.HasPrefix(pod, ":"):
		user, _, _ := strings.Cut(image, ":")
		return user + pod
	}
	return pod
}

// environment is what a container's env makes of it.
type environment struct {
	// lines holds KEY=VALUE for what is known, in order.
	lines  []string
	values map[string]string
	// unknown says of the other variables where their value comes from.
	unknown map[string]string
}

func environmentOf(c *workload.Container) environment {
	env := environment{}
	if len(c.Env) > 0 {
		env.values, env.unknown = map[string]string{}, map[string]string{}
	}
	for i := range c.Env {
		env.add(&c.Env[i])
	}
	return env
}

func (env *environment) add(v *corev1.EnvVar) {
	if v.ValueFrom != nil {
		env.unknown[v.Name] = sourceOf(v.ValueFrom)
		delete(env.values, v.Name)
		return
	}
	value := v.Value
	if strings.Contains(value, "$") {
		if from := env.dependsOn(value); from != "" {
			env.unknown[v.Name] = from
			delete(env.values, v.Name)
			return
		}
		value = expand(value, env.values)
	}
	env.values[v.Name] = value
	delete(env.unknown, v.Name)
	env.lines = append(env.lines, v.Name+"="+value)
}

// sourceOf names where the value of a variable comes from.
func sourceOf(s *corev1.EnvVarSource) string {
	switch {
	case s.SecretKeyRef != nil:
		return "Secret " + s.SecretKeyRef.Name
	case s.ConfigMapKeyRef != nil:
		return "ConfigMap " + s.ConfigMapKeyRef.Name
	case s.FieldRef != nil:
		return "the field " + s.FieldRef.FieldPath
	case s.ResourceFieldRef != nil:
		return "the resource " + s.ResourceFieldRef.Resource
	}
	return "elsewhere"
}

func (env *environment) expandAll(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = expand(t, env.values)
	}
	return out
}

// dependsOn says where a value comes from that text has a reference to and that
// is not known; "" when there is none.
func (env *environment) dependsOn(text string) string {
	from := ""
	references(text, func(name string) {
		if source, ok := env.unknown[name]; ok && from == "" {
			from = source
		}
	})
	return from
}

// loaderVariables decide what the dynamic loader does.
var loaderVariables = []string{"LD_LIBRARY_PATH", "LD_PRELOAD"}

// doubt says why it is not known what the container starts.
func (env *environment) doubt(c *workload.Container, args []string) string {
	if len(c.Command) > 0 {
		if from := env.dependsOn(c.Command[0]); from != "" {
			return "the command " + c.Command[0] + " comes from " + from
		}
	}
	if len(c.EnvFrom) > 0 && len(args) > 0 && strings.Contains(args[0], "$(") {
		return "the command " + args[0] + " comes from a Secret or ConfigMap"
	}
	if from, ok := env.unknown["PATH"]; ok && len(args) > 0 && !strings.Contains(args[0], "/") {
		return "PATH comes from " + from
	}
	for _, name := range loaderVariables {
		if from, ok := env.unknown[name]; ok {
			return name + " comes from " + from
		}
	}
	return ""
}

// expand replaces $(NAME) by the value of NAME, as the kubelet does: $$ stands
// for one $, and a reference to what is not defined stays as it is.
func expand(text string, values map[string]string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	var b strings.Builder
	scan(text, func(literal string) { b.WriteString(literal) }, func(name string) {
		if value, ok := values[name]; ok {
			b.WriteString(value)
			return
		}
		b.WriteString("$(" + name + ")")
	})
	return b.String()
}

// references calls use with each NAME of $(NAME) in text.
func references(text string, use func(name string)) {
	scan(text, func(string) {}, use)
}

// scan splits text into literal pieces and references.
func scan(text string, literal, reference func(string)) {
	for {
		before, rest, found := strings.Cut(text, "$")
		literal(before)
		if !found {
			return
		}
		text = rest
		switch {
		case strings.HasPrefix(rest, "$"):
			literal("$")
			text = rest[1:]
		case strings.HasPrefix(rest, "("):
			name, after, closed := strings.Cut(rest[1:], ")")
			if !closed {
				literal("$(")
				text = rest[1:]
				continue
			}
			reference(name)
			text = after
		default:
			literal("$")
		}
	}
}
