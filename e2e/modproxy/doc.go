// Package modproxy proves the module proxy on real things: go commands of every
// release since 1.21, which come through the proxy themselves, a graph of more
// than 300 public modules, git over https and ssh, three registries, and a
// checksum database.
//
// The proxy and the go commands run in a network of their own that has no way
// out but a proxy of the tests, which notes every request. So "offline" is cut off
// indeed, and what a private module's name was told to is known.
//
// Its tests carry the build tag e2e, need root on Linux and Debian's packages
// (e2e/setup.sh):
//
//	e2e/setup.sh && go test -tags e2e -count=1 -timeout 20m ./e2e/modproxy
package modproxy
