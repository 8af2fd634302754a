package verdict

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gopherwood-dev/gopherwood/internal/facts/rootfs"
)

// mount is where a volume lies over the image's files.
type mount struct {
	path string
	// single is true when a single file or directory of the volume lies there.
	single bool
}

// tokens is where service account tokens are mounted, where nothing starts.
const tokens = "/var/run/secrets/kubernetes.io"

// mountsOf returns a container's mounts, sorted by path.
func mountsOf(all []corev1.VolumeMount) []mount {
	var out []mount
	for _, m := range all {
		p := path.Join("/", m.MountPath)
		if p == tokens || strings.HasPrefix(p, tokens+"/") {
			continue
		}
		out = append(out, mount{p, m.SubPath != "" || m.SubPathExpr != ""})
	}
	slices.SortFunc(out, func(a, b mount) int { return strings.Compare(a.path, b.path) })
	return out
}

// directory is the mode of a directory that the runtime makes.
const directory = fs.ModeDir | 0o755

// errVolume is the error of a file that is no file of the image.
var errVolume = errors.New("it is on a volume, whose content is not known before the pod runs")

// volumes is a root file system with volumes laid over it. Nothing is known of
// what is on them: neither that a file is there nor that it is missing.
type volumes struct {
	rootfs.FS
	mounts []mount
}

// at returns the mount at name, and whether name is below one.
func (v *volumes) at(name string) (m *mount, below bool) {
	for i := range v.mounts {
		m := &v.mounts[i]
		if name == m.path {
			return m, false
		}
		if m.path == "/" || strings.HasPrefix(name, m.path+"/") {
			return nil, true
		}
	}
	return nil, false
}

// Lstat implements rootfs.FS.
func (v *volumes) Lstat(name string) (rootfs.Node, error) {
	m, below := v.at(name)
	if below {
		return rootfs.Node{}, errVolume
	}
	node, err := v.FS.Lstat(name)
	switch {
	case m != nil && (m.single && (err != nil || !node.Mode.IsDir()) || err == nil && node.Mode.IsRegular()):
		return rootfs.Node{Mode: 0o755, Size: 1}, nil
	case m != nil, err != nil && v.parent(name):
		return rootfs.Node{Mode: directory}, nil
	}
	return node, err
}

// parent reports whether name is a directory above a mount, which the runtime
// makes where the image lacks it.
func (v *volumes) parent(name string) bool {
	return slices.ContainsFunc(v.mounts, func(m mount) bool { return strings.HasPrefix(m.path, name+"/") })
}

// File implements rootfs.FS.
func (v *volumes) File(name string) (rootfs.File, error) {
	if m, below := v.at(name); m != nil || below {
		return rootfs.File{}, errVolume
	}
	return v.FS.File(name)
}

// ReadDir implements rootfs.FS. A volume is taken to hold something.
func (v *volumes) ReadDir(name string) ([]string, error) {
	m, below := v.at(name)
	if below {
		return nil, errVolume
	}
	if m != nil {
		return []string{"..data"}, nil
	}
	return v.FS.ReadDir(name)
}
