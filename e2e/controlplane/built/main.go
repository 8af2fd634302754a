// Command built prints "built" when the programs of the control plane are there, so
// that its tests cost minutes less, and otherwise what to do.
package main

import (
	"fmt"

	"github.com/gopherwood-dev/gopherwood/e2e/cluster"
)

func main() {
	if cluster.Built(cluster.ControlPlane | cluster.Kubectl) {
		fmt.Println("built")
		return
	}
	fmt.Println("the control plane is not built yet: its tests are left to make e2e, which builds it")
}
