// Package controlplane holds Gopherwood's webhook and fleet to what they promise,
// on a real API server: etcd, kube-apiserver, kube-controller-manager and
// kube-scheduler without nodes, a registry that can be made to fail, and the
// gopherwood program itself with the rights that the chart gives it.
//
// Its tests carry the build tags e2e and controlplane. They need no rights and
// nothing installed but Go; the control plane is built the first time:
//
//	go test -tags controlplane -count=1 ./e2e/controlplane
package controlplane
