package rootfs

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// lookupTree is the file system of the tests of LookPath and LookupUser.
func lookupTree(t *testing.T) FS {
	t.Helper()
	return stackOf(t, []op{
		{name: "usr/bin/prog", mode: 0o755},
		{name: "usr/bin/plain", mode: 0o644},
		{name: "usr/bin/onlyroot", mode: 0o744},
		{name: "usr/bin/folder", kind: dirOp, mode: 0o755},
		{name: "opt/folder", mode: 0o755},
		{name: "opt/plain", mode: 0o755},
		{name: "bin", kind: symlinkOp, target: "usr/bin"},
		{name: "opt/link", kind: symlinkOp, target: "../bin/prog"},
		{name: "opt/dangling", kind: symlinkOp, target: "gone"},
		{name: "opt/fifo", kind: fifoOp, mode: 0o777},
		{name: "etc/passwd", content: "root:x:0:0:root:/root:/bin/sh\n\nweb:x:33:34:web:/:/bin/sh\nshort:x\n  pad:x:50:51::/:\nweb:x:99:99::/:\n"},
		{name: "etc/group", content: "root:x:0:\nadm:x:4:syslog,web\nweb:x:34:\nstaff:x:50:web\n"},
	})
}

func TestLookPath(t *testing.T) {
	fsys := lookupTree(t)
	user := User{UID: 33, GID: 34}
	for _, c := range []struct {
		path, cwd, name string
		user            User
		want            string
		err             error
	}{
		{path: "/usr/bin", name: "prog", want: "/usr/bin/prog"},
		{path: "/nowhere:/bin", name: "prog", want: "/bin/prog"},
		{path: "/opt:/bin", name: "link", want: "/opt/link"},
		{path: DefaultPath, name: "prog", user: user, want: "/usr/bin/prog"},
		{path: "/bin:/opt", name: "plain", want: "/opt/plain"},
		{path: "/bin:/opt", name: "folder", want: "/opt/folder"},
		{path: "/bin", name: "plain", want: "/bin/plain", err: fs.ErrPermission},
		{path: "/bin", name: "onlyroot", want: "/bin/onlyroot"},
		{path: "/bin", name: "onlyroot", user: user, want: "/bin/onlyroot", err: fs.ErrPermission},
		{path: "/bin", name: "folder", err: fs.ErrNotExist},
		{path: "/opt", name: "dangling", err: fs.ErrNotExist},
		{path: "/opt", name: "fifo", want: "/opt/fifo", err: fs.ErrPermission},
		{path: "/bin", name: "none", err: fs.ErrNotExist},
		{path: "", name: "prog", err: fs.ErrNotExist},
		{path: "bin", cwd: "/usr", name: "prog", err: fs.ErrNotExist},
		{path: ":/bin", cwd: "/usr/bin", name: "prog", err: fs.ErrNotExist},
		{path: "bin:/bin", cwd: "/opt", name: "prog", want: "/bin/prog"},
		{name: "/opt/link", want: "/opt/link"},
		{name: "./prog", cwd: "/usr/bin", want: "/usr/bin/./prog"},
		{name: "../bin/prog", cwd: "/usr/bin", want: "/usr/bin/../bin/prog"},
		{name: "usr/bin/prog", want: "/usr/bin/prog"},
		{name: "/usr/bin", want: "/usr/bin", err: syscall.EISDIR},
		{name: "/usr/bin/none", want: "/usr/bin/none", err: fs.ErrNotExist},
		{name: "/usr/bin/prog/x", want: "/usr/bin/prog/x", err: syscall.ENOTDIR},
		{name: "", path: "/bin", err: fs.ErrNotExist},
	} {
		got, err := LookPath(fsys, c.user, c.path, c.cwd, c.name)
		if got != c.want || !errors.Is(err, c.err) || err != nil && c.err == nil {
			t.Errorf("LookPath(uid %d, %q, %q, %q) = %q, %v; want %q, %v", c.user.UID, c.path, c.cwd, c.name, got, err, c.want, c.err)
		}
	}
}

func TestLookupUser(t *testing.T) {
	fsys := lookupTree(t)
	for spec, want := range map[string]User{
		"":            {},
		"0":           {},
		"root":        {},
		"web":         {UID: 33, GID: 34, Groups: []int{4, 50}},
		"33":          {UID: 33, GID: 34, Groups: []int{4, 50}},
		"web:adm":     {UID: 33, GID: 4},
		"web:7":       {UID: 33, GID: 7},
		"33:34":       {UID: 33, GID: 34},
		"65532":       {UID: 65532},
		"65532:65532": {UID: 65532, GID: 65532},
		"65532:staff": {UID: 65532, GID: 50},
		":staff":      {GID: 50},
		"pad":         {UID: 50, GID: 51},
		"short":       {},
		"2147483647":  {UID: 2147483647},
		"web:":        {UID: 33, GID: 34, Groups: []int{4, 50}},
	} {
		got, err := LookupUser(fsys, spec)
		if err != nil {
			t.Errorf("%q: %v", spec, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: (-want +got)\n%s", spec, diff)
		}
	}
	for spec, want := range map[string]fault.Code{
		"nobody":                 fault.NotFound,
		"web:nogroup":            fault.NotFound,
		"-1":                     fault.Invalid,
		"2147483648":             fault.Invalid,
		"0:99999999999999999999": fault.Invalid,
	} {
		if got, err := LookupUser(fsys, spec); fault.CodeOf(err) != want || fault.HintOf(err) == "" {
			t.Errorf("%q: %+v, %v (%s, hint %q); want code %s and a hint", spec, got, err, fault.CodeOf(err), fault.HintOf(err), want)
		}
	}
}

func TestLookupUserWithoutAccounts(t *testing.T) {
	empty := stackOf(t, nil)
	if got, err := LookupUser(empty, "1000:1000"); err != nil || got.UID != 1000 || got.GID != 1000 {
		t.Errorf("numeric ids without files: %+v, %v", got, err)
	}
	if _, err := LookupUser(empty, "web"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a name without files: %v", err)
	}
	moved := stackOf(t, []op{
		{name: "usr/etc/passwd", content: "web:x:33:34::/:\n"},
		{name: "etc", kind: symlinkOp, target: "usr/etc"},
	})
	if got, err := LookupUser(moved, "web"); err != nil || got.UID != 33 {
		t.Errorf("accounts behind a symbolic link: %+v, %v", got, err)
	}
	elsewhere := stackOf(t, []op{
		{name: "data/accounts", content: "web:x:33:34::/:\n"},
		{name: "etc/passwd", kind: symlinkOp, target: "/data/accounts"},
	})
	if _, err := LookupUser(elsewhere, "web"); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("accounts whose content is not kept: %v", err)
	}
}
