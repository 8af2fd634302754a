package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The files that LookupUser reads.
const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// LookupUser turns what an image's configuration calls its user into the ids
// that a container runtime starts the program with. spec is "user", "uid",
// "user:group", "uid:gid" or a mix; "" is root.
//
// It reads /etc/passwd and /etc/group of fsys by the rules that runc follows: a
// number is always an id and needs no entry; a name needs one; the first
// matching line counts; supplementary groups are taken only when spec names no
// group. The error is a *fault.Error: NotFound for a name without an entry,
// Invalid for a number out of range or an account file that cannot be read.
func LookupUser(fsys FS, spec string) (User, error) {
	userPart, groupPart, _ := strings.Cut(spec, ":")
	u, name, err := lookupAccount(fsys, userPart)
	if err != nil {
		return User{}, userError(spec, err)
	}
	if groupPart != "" {
		u.GID, err = lookupGroup(fsys, groupPart)
	} else if name != "" {
		u.Groups, err = groupsOf(fsys, name)
	}
	if err != nil {
		return User{}, userError(spec, err)
	}
	return u, nil
}

func userError(spec string, err error) error {
	code := fault.Invalid
	if errors.Is(err, errNoEntry) {
		code = fault.NotFound
	}
	return &fault.Error{
		Code: code, Op: "look up user", Input: spec, Err: err,
		Hint: "add the entry to the image, or name the user by its numeric id",
	}
}

var errNoEntry = errors.New("no such entry")

// lookupAccount returns the ids of a user and, when /etc/passwd has a line for
// it, its name.
func lookupAccount(fsys FS, account string) (User, string, error) {
	id, numeric, err := parseID(account)
	if err != nil {
		return User{}, "", err
	}
	if account == "" {
		numeric = true // id is root's
	}
	lines, err := accountLines(fsys, passwdFile)
	if err != nil {
		return User{}, "", err
	}
	for fields := range lines {
		uid, gid := idField(fields, 2), idField(fields, 3)
		if numeric && uid == id || !numeric && fields[0] == account {
			return User{UID: uid, GID: gid}, fields[0], nil
		}
	}
	if !numeric {
		return User{}, "", fmt.Errorf("%q in %s: %w", account, passwdFile, errNoEntry)
	}
	return User{UID: id}, "", nil
}

func lookupGroup(fsys FS, group string) (int, error) {
	id, numeric, err := parseID(group)
	if err != nil || numeric {
		return id, err
	}
	lines, err := accountLines(fsys, groupFile)
	if err != nil {
		return 0, err
	}
	for fields := range lines {
		if fields[0] == group {
			return idField(fields, 2), nil
		}
	}
	return 0, fmt.Errorf("%q in %s: %w", group, groupFile, errNoEntry)
}

// groupsOf returns the ids of the groups that list name as a member.
func groupsOf(fsys FS, name string) ([]int, error) {
	lines, err := accountLines(fsys, groupFile)
	if err != nil {
		return nil, err
	}
	var ids []int
	for fields := range lines {
		if len(fields) > 3 && slices.Contains(strings.Split(fields[3], ","), name) {
			ids = append(ids, idField(fields, 2))
		}
	}
	return ids, nil
}

// accountLines yields the colon-separated fields of each line of an account
// file; there are none when the file does not exist.
func accountLines(fsys FS, file string) (iter.Seq[[]string], error) {
	content, err := ReadKept(fsys, User{}, file)
	if err != nil {
		return nil, err
	}
	return func(yield func([]string) bool) {
		for line := range bytes.Lines(content) {
			line = bytes.TrimSpace(line)
			if len(line) > 0 && !yield(strings.Split(string(line), ":")) {
				return
			}
		}
	}, nil
}

// ReadKept returns the content of a kept file (see Kept), which u looks for; nil
// when there is no such file.
func ReadKept(fsys FS, u User, file string) ([]byte, error) {
	real, _, err := Resolve(fsys, u, "/", file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := fsys.File(real)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if f.Content == nil {
		return nil, fmt.Errorf("%s (%s): its content is not known", file, real)
	}
	return f.Content, nil
}

// parseID reads s as an id, which runtimes limit to 31 bits; numeric is false
// when s is no number at all.
func parseID(s string) (id int, numeric bool, err error) {
	id, err = strconv.Atoi(s)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && (id < 0 || id > math.MaxInt32):
		return 0, true, fmt.Errorf("id %s is not between 0 and %d", s, math.MaxInt32)
	case err != nil:
		return 0, false, nil
	}
	return id, true, nil
}

// idField returns field i as a number. What is missing or no number counts as
// 0, as it does for runc.
func idField(fields []string, i int) int {
	if i >= len(fields) {
		return 0
	}
	id, err := strconv.Atoi(fields[i])
	if err != nil {
		return 0
	}
	return id
}
