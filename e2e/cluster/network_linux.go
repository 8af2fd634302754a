package cluster

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// network is the bridge between this machine and the nodes of a cluster. Its block
// of addresses a.b.0.0/16 is divided: a.b.0.1 is this machine, a.b.0.(10+i) node
// i, and a.b.i.0/24 are the pods of node i.
type network struct {
	tag  string // in the names of all links
	a, b byte
	host net.IP
}

func (n *network) bridge() string                 { return "gw-" + n.tag }
func (n *network) veth(i int) string              { return "gw-" + n.tag + "-" + strconv.Itoa(i) }
func (n *network) nodeIP(i int) net.IP            { return net.IPv4(n.a, n.b, 0, byte(10+i)) }
func (n *network) pods(i int) string              { return fmt.Sprintf("%d.%d.%d.0/24", n.a, n.b, i) }
func (n *network) block() string                  { return fmt.Sprintf("%d.%d.0.0/16", n.a, n.b) }
func (n *network) inHostNetwork(ip net.IP) string { return ip.String() + "/24" }

// startNetwork makes the bridge, with addresses that nothing on this machine
// uses.
func (c *Cluster) startNetwork(ctx context.Context) error {
	root, err := runRoot()
	if err != nil {
		return err
	}
	// From the choice until the bridge exists no other cluster may choose.
	lock, err := lockFile(ctx, filepath.Join(filepath.Dir(root), "network.lock"), nil)
	if err != nil {
		return err
	}
	defer lock.unlock()
	n, err := chooseNetwork()
	if err != nil {
		return err
	}
	err = c.reg.update(func(s *state) { s.Links, s.Subnet = append(s.Links, n.bridge()), n.block() })
	if err != nil {
		return err
	}
	c.net = n
	return ipBatch(ctx,
		"link add "+n.bridge()+" type bridge",
		"addr add "+n.inHostNetwork(n.host)+" dev "+n.bridge(),
		"link set "+n.bridge()+" up")
}

// chooseNetwork finds a block of private addresses that overlaps with no address
// and no route of this machine.
func chooseNetwork() (*network, error) {
	used, err := usedNetworks()
	if err != nil {
		return nil, err
	}
	var blocks [][2]byte
	for b := 64; b <= 250; b++ {
		if b != 96 { // Services.
			blocks = append(blocks, [2]byte{10, byte(b)})
		}
	}
	for b := 16; b <= 31; b++ {
		blocks = append(blocks, [2]byte{172, byte(b)})
	}
	mathrand.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
	for _, block := range blocks {
		if free(block, used) {
			tag := make([]byte, 3)
			_, _ = rand.Read(tag) // Never fails.
			return &network{tag: hex.EncodeToString(tag), a: block[0], b: block[1], host: net.IPv4(block[0], block[1], 0, 1)}, nil
		}
	}
	return nil, &fault.Error{
		Code: fault.Unavailable, Op: "choose addresses for nodes",
		Err:  errors.New("every block of private addresses overlaps with an address or a route of this machine"),
		Hint: "see 'ip route'; a VPN that takes all of 10.0.0.0/8 and 172.16.0.0/12 leaves none",
	}
}

// free says whether block, a /16, overlaps with none of the networks.
func free(block [2]byte, used []net.IPNet) bool {
	own := net.IPNet{IP: net.IPv4(block[0], block[1], 0, 0).To4(), Mask: net.CIDRMask(16, 32)}
	for _, u := range used {
		if own.Contains(u.IP) || u.Contains(own.IP) {
			return false
		}
	}
	return true
}

// usedNetworks returns the networks of this machine's addresses and routes,
// without the default route.
func usedNetworks() ([]net.IPNet, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var used []net.IPNet
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
			used = append(used, net.IPNet{IP: n.IP.Mask(n.Mask), Mask: n.Mask})
		}
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil, err
	}
	return append(used, parseRoutes(routes)...), nil
}

// parseRoutes reads /proc/net/route: destination and mask are in the second and
// eighth column, as hexadecimal numbers in the machine's byte order.
func parseRoutes(table []byte) []net.IPNet {
	var routes []net.IPNet
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 {
			continue
		}
		destination, err1 := strconv.ParseUint(fields[1], 16, 32)
		mask, err2 := strconv.ParseUint(fields[7], 16, 32)
		if err1 != nil || err2 != nil || mask == 0 {
			continue
		}
		n := net.IPNet{IP: make(net.IP, 4), Mask: make(net.IPMask, 4)}
		binary.NativeEndian.PutUint32(n.IP, uint32(destination))
		binary.NativeEndian.PutUint32(n.Mask, uint32(mask))
		routes = append(routes, n)
	}
	return routes
}

// ipBatch runs commands of ip(8).
func ipBatch(ctx context.Context, commands ...string) error {
	path, err := lookTool("ip")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return &fault.Error{Code: fault.Unavailable, Op: "set up the network", Err: fmt.Errorf("ip: %w: %s", err, bytes.TrimSpace(out))}
	}
	return nil
}

// toolPath is where system programs are, which PATH need not name.
const toolPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookTool finds a system program.
func lookTool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range filepath.SplitList(toolPath) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", &fault.Error{Code: fault.NotFound, Op: "run", Input: name, Err: exec.ErrNotFound}
}

// removeLinks removes the links that are still there. A bridge takes its routes
// with it; a veth goes when its node's network namespace does.
func removeLinks(names []string) error {
	var errs []error
	for _, name := range names {
		if _, err := os.Lstat("/sys/class/net/" + name); err != nil {
			continue
		}
		err := ipBatch(context.Background(), "link del "+name)
		if _, still := os.Lstat("/sys/class/net/" + name); err != nil && still == nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
