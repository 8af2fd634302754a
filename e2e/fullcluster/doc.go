// Package fullcluster proves Gopherwood on a whole cluster: a real control plane
// and real nodes, which pull from a real registry and run what is admitted. It is
// installed by its chart, with Helm and without, from an image that
// `gopherwood build` has made of this tree.
//
// Its tests carry the build tag e2e, need root on Linux, a C compiler and Debian's
// packages (e2e/setup.sh):
//
//	e2e/setup.sh && go test -tags e2e -count=1 -timeout 30m ./e2e/fullcluster
package fullcluster
