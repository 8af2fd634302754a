package workload

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// The values of Container.Kind.
const (
	KindContainer = "container"
	KindInit      = "initContainer"
	KindEphemeral = "ephemeralContainer"
)

// Container is one container of a Pod template, of any kind.
type Container struct {
	// Kind is container, initContainer or ephemeralContainer.
	Kind string
	// Path is the JSON pointer of the container within the object.
	Path          string
	Name, Image   string
	Command, Args []string
	WorkingDir    string
	Env           []corev1.EnvVar
	EnvFrom       []corev1.EnvFromSource
	Resources     corev1.ResourceRequirements
	VolumeMounts  []corev1.VolumeMount
	// SecurityContext is the container's own; see Workload.User.
	SecurityContext *corev1.SecurityContext
}

// Containers returns the containers in the order in which they start: init
// containers, containers, ephemeral containers.
func (w *Workload) Containers() []Container {
	spec := &w.Template.Spec
	all := make([]Container, 0, len(spec.InitContainers)+len(spec.Containers)+len(spec.EphemeralContainers))
	add := func(kind, list string, i int, c *corev1.Container) {
		all = append(all, Container{
			Kind: kind, Path: w.TemplatePath + "/" + list + "/" + strconv.Itoa(i), Name: c.Name, Image: c.Image,
			Command: c.Command, Args: c.Args, WorkingDir: c.WorkingDir, Env: c.Env, EnvFrom: c.EnvFrom,
			Resources: c.Resources, VolumeMounts: c.VolumeMounts, SecurityContext: c.SecurityContext,
		})
	}
	for i := range spec.InitContainers {
		add(KindInit, "initContainers", i, &spec.InitContainers[i])
	}
	for i := range spec.Containers {
		add(KindContainer, "containers", i, &spec.Containers[i])
	}
	for i := range spec.EphemeralContainers {
		c := corev1.Container(spec.EphemeralContainers[i].EphemeralContainerCommon)
		add(KindEphemeral, "ephemeralContainers", i, &c)
	}
	return all
}

// User returns the user that the template asks a container to be run as, in the
// form of facts.Process.User: "uid", "uid:gid", or ":gid" where only the group
// is said; "" leaves it to the image.
func (w *Workload) User(c *Container) string {
	var uid, gid *int64
	if s := w.Template.Spec.SecurityContext; s != nil {
		uid, gid = s.RunAsUser, s.RunAsGroup
	}
	if s := c.SecurityContext; s != nil {
		if s.RunAsUser != nil {
			uid = s.RunAsUser
		}
		if s.RunAsGroup != nil {
			gid = s.RunAsGroup
		}
	}
	user := ""
	if uid != nil {
		user = strconv.FormatInt(*uid, 10)
	}
	if gid != nil {
		user += ":" + strconv.FormatInt(*gid, 10)
	}
	return user
}

// Changed returns the containers of w that an update of old to w has something
// to be asked about. They are none when neither what runs nor where it may run
// has changed: an update of labels, finalizers or the number of replicas. Of a
// Pod they are the containers that are new or different; of a template all, as
// it makes new Pods.
func (w *Workload) Changed(old *Workload) []Container {
	all := w.Containers()
	before := map[string]Container{}
	for _, c := range old.Containers() {
		before[c.Kind+"/"+c.Name] = c
	}
	moved := !equality.Semantic.DeepEqual(w.Template.Spec.NodeSelector, old.Template.Spec.NodeSelector) ||
		!equality.Semantic.DeepEqual(w.Template.Spec.Affinity, old.Template.Spec.Affinity)
	var changed []Container
	for i := range all {
		was, ok := before[all[i].Kind+"/"+all[i].Name]
		if !ok || moved || !same(&all[i], &was) || w.User(&all[i]) != old.User(&was) {
			changed = append(changed, all[i])
		}
	}
	if len(changed) > 0 && !w.IsPod() {
		return all
	}
	return changed
}

// same reports whether a verdict about a is one about b. Resources do not decide
// whether a program starts.
func same(a, b *Container) bool {
	return a.Image == b.Image && a.WorkingDir == b.WorkingDir &&
		equality.Semantic.DeepEqual(a.Command, b.Command) && equality.Semantic.DeepEqual(a.Args, b.Args) &&
		equality.Semantic.DeepEqual(a.Env, b.Env) && equality.Semantic.DeepEqual(a.EnvFrom, b.EnvFrom) &&
		equality.Semantic.DeepEqual(a.VolumeMounts, b.VolumeMounts)
}
