package cluster_test

import (
	"os"
	"testing"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

func TestMain(m *testing.M) {
	cluster.Main()
	holdIfAsked()
	os.Exit(m.Run())
}
