// Package cluster runs a real Kubernetes on one machine: for tests, and for
// developers who have no Docker.
//
// Everything is built from pinned Go modules by the go command and kept outside
// the repository: etcd, the control plane, and for real nodes the kubelet,
// containerd, runc and the CNI plugins. A control plane needs no rights, takes
// seconds to start and listens on free loopback ports. A node needs Linux and
// root; it lives in its own mount, network, process and host name namespaces
// with a file system of its own, so that nothing of the machine is changed.
// Several clusters run side by side.
//
// A program that starts clusters calls Main first thing: nodes, and the process
// that removes a cluster whose owner was killed, are this program again under
// another name.
package cluster
