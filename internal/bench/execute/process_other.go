//go:build !unix

package execute

import "os"

// dump ends a process; there is no signal here that makes it say where it hangs.
func dump(p *os.Process) error { return p.Kill() }
