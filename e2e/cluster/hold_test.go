//go:build !(e2e && linux)

package cluster_test

// holdIfAsked is for tests with nodes.
func holdIfAsked() {}
