// Package e2e proves Gopherwood on real things: on root file systems of Debian
// and musl, on Debian's Go packages, on registry servers, and on images that are
// built here of programs that people run. The kernel, the dynamic loaders, readelf
// and the go command are the oracles.
//
// Its tests carry the build tag e2e, need root on an amd64 Debian machine and
// what setup.sh installs:
//
//	e2e/setup.sh && go test -tags e2e -count=1 -timeout 30m ./e2e/...
//
// Downloads and the registry servers that are built here are kept below $XDG_CACHE_HOME/gopherwood-e2e.
package e2e
