package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The range of ports that are tried: above the registered services that are in
// use, below NodePorts (from 30000) and below the ports that systems give to
// outgoing connections (from 32768), which could take one at any time.
const (
	firstPort = 20000
	lastPort  = 29999
)

// pickPort returns a port of address that nothing listens on. Something else may
// take it before it is used: who uses it tries again then.
func pickPort(address string) (int, error) {
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return 0, err
		}
		return port, nil
	}
	return 0, &fault.Error{
		Code: fault.Unavailable, Op: "find a free port", Input: address,
		Err: fmt.Errorf("200 of the ports from %d to %d cannot be listened on", firstPort, lastPort),
	}
}
