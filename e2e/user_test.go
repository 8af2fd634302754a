//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// identity is who a container's program runs as.
type identity struct {
	uid, gid int
	groups   []int
}

// assume gives up the present identity for good.
func (id identity) assume() error {
	if err := syscall.Setgroups(id.groups); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setresgid(id.gid, id.gid, id.gid); err != nil {
		return fmt.Errorf("set group: %w", err)
	}
	if err := syscall.Setresuid(id.uid, id.uid, id.uid); err != nil {
		return fmt.Errorf("set user: %w", err)
	}
	return nil
}

// lookupUser reads user[:group] with this root directory's /etc/passwd and
// /etc/group, as container runtimes do.
func lookupUser(spec string) (identity, error) {
	user, group, hasGroup := strings.Cut(spec, ":")
	if user == "" {
		user = "0"
	}
	var id identity
	name := ""
	entry, known := findEntry("/etc/passwd", user)
	if known {
		name = entry[0]
		id.uid, _ = strconv.Atoi(entry[2])
		id.gid, _ = strconv.Atoi(entry[3])
	} else if n, err := strconv.Atoi(user); err == nil {
		id.uid = n
	} else {
		return id, fmt.Errorf("no user %q in /etc/passwd", user)
	}
	if !hasGroup {
		id.groups = groupsOf(name)
		return id, nil
	}
	entry, known = findEntry("/etc/group", group)
	if known {
		id.gid, _ = strconv.Atoi(entry[2])
	} else if n, err := strconv.Atoi(group); err == nil {
		id.gid = n
	} else {
		return id, fmt.Errorf("no group %q in /etc/group", group)
	}
	return id, nil
}

// findEntry returns the line of a passwd or group file whose name or number is key.
func findEntry(file, key string) ([]string, bool) {
	for _, f := range entries(file) {
		if f[0] == key || f[2] == key {
			return f, true
		}
	}
	return nil, false
}

// groupsOf returns the groups that list the user name as a member.
func groupsOf(name string) []int {
	var groups []int
	for _, f := range entries("/etc/group") {
		if n, err := strconv.Atoi(f[2]); err == nil && name != "" && slices.Contains(strings.Split(f[3], ","), name) {
			groups = append(groups, n)
		}
	}
	return groups
}

// entries splits the lines of a passwd or group file into their fields.
func entries(file string) [][]string {
	f, err := os.Open(file)
	if err != nil {
		return nil // an image need not have one
	}
	defer f.Close()
	var all [][]string
	for scan := bufio.NewScanner(f); scan.Scan(); {
		if fields := strings.Split(scan.Text(), ":"); len(fields) >= 4 {
			all = append(all, fields)
		}
	}
	return all
}
