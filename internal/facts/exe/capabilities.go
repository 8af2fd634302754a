package exe

import (
	"fmt"
	"strings"
)

// Capability is something a Go program can do because the code for it is linked
// in.
type Capability struct {
	// Name is what facts call it.
	Name string
	// Description says what a program with it can do.
	Description string
	// Symbols are function names as the function table has them. One of them
	// is enough.
	Symbols []string
	// BlindSpots says when the capability is there and not found, or found
	// and of no consequence.
	BlindSpots string
}

// Capabilities is the table of all capabilities, sorted by name. It is not to be
// changed.
//
// The linker leaves out functions that nothing can reach, so that a function's
// name in the table means that some code path leads to it, if only from a
// library's code; functions inlined everywhere are named, too. Programs that call
// methods by name (reflect-method) keep all exported methods of their types.
var Capabilities = []Capability{
	{
		Name:        "cgo",
		Description: "calls C code, or is called by it",
		Symbols:     []string{"crosscall2", "runtime/cgo.set_crosscall2"},
		BlindSpots:  "The standard library's use counts. Libraries loaded without cgo (purego) are not seen.",
	},
	{
		Name:        "chroot",
		Description: "changes its root directory",
		Symbols: []string{
			"syscall.Chroot", "syscall.PivotRoot",
			"golang.org/x/sys/unix.Chroot", "golang.org/x/sys/unix.PivotRoot",
		},
		BlindSpots: "SysProcAttr.Chroot of a child process and raw system calls are not seen.",
	},
	{
		Name:        "embedded-ca-roots",
		Description: "brings its own CA certificates for when the system has none",
		Symbols:     []string{"crypto/x509.SetFallbackRoots"},
		BlindSpots:  "Certificates put into a tls.Config by hand are not seen. What the program embeds is not checked.",
	},
	{
		Name:        "exec",
		Description: "starts other programs",
		Symbols:     []string{"syscall.forkExec", "syscall.StartProcess", "syscall.Exec", "golang.org/x/sys/unix.Exec", "golang.org/x/sys/execabs.Command"},
		BlindSpots:  "Raw system calls and C code are not seen.",
	},
	{
		Name:        "expvar",
		Description: "publishes its variables at /debug/vars of the default HTTP mux",
		Symbols:     []string{"expvar.init.0", "expvar.expvarHandler"},
		BlindSpots:  "Whether the default mux is served is not known.",
	},
	{
		Name:        "grpc",
		Description: "is a gRPC client or server (grpc-go)",
		Symbols: []string{
			"google.golang.org/grpc.NewServer", "google.golang.org/grpc.(*Server).Serve",
			"google.golang.org/grpc.NewClient", "google.golang.org/grpc.(*ClientConn).Invoke",
		},
		BlindSpots: "Other implementations (Connect, Twirp) are not seen.",
	},
	{
		Name:        "http-client",
		Description: "makes HTTP requests",
		Symbols:     []string{"net/http.(*Transport).RoundTrip"},
		BlindSpots:  "Other implementations (fasthttp) are not seen. Libraries link it in for optional features.",
	},
	{
		Name:        "http-server",
		Description: "answers HTTP requests",
		Symbols:     []string{"net/http.(*Server).Serve"},
		BlindSpots:  "Other implementations (fasthttp) are not seen.",
	},
	{
		Name:        "http2",
		Description: "speaks HTTP/2 as client or server",
		Symbols: []string{
			"net/http.(*http2Framer).ReadFrame", "net/http/internal/http2.(*Framer).ReadFrame",
			"golang.org/x/net/http2.(*Framer).ReadFrame",
		},
		BlindSpots: "Whether it is switched off (GODEBUG, TLSNextProto) is not known. The tag nethttpomithttp2 leaves it out.",
	},
	{
		Name:        "mmap",
		Description: "maps files or memory by itself",
		Symbols: []string{
			"syscall.Mmap", "syscall.(*mmapper).Mmap",
			"golang.org/x/sys/unix.Mmap", "golang.org/x/sys/unix.(*mmapper).Mmap",
			"golang.org/x/sys/unix.MmapPtr", "golang.org/x/sys/windows.MapViewOfFile", "syscall.MapViewOfFile",
		},
		BlindSpots: "The runtime's own mappings, raw system calls and C code are not seen.",
	},
	{
		Name:        "mount",
		Description: "mounts or unmounts file systems",
		Symbols: []string{
			"syscall.Mount", "syscall.Unmount",
			"golang.org/x/sys/unix.Mount", "golang.org/x/sys/unix.Unmount",
			"golang.org/x/sys/unix.Fsmount", "golang.org/x/sys/unix.MoveMount",
		},
		BlindSpots: "Raw system calls are not seen.",
	},
	{
		Name:        "namespaces",
		Description: "enters or makes Linux namespaces",
		Symbols:     []string{"syscall.Unshare", "golang.org/x/sys/unix.Unshare", "golang.org/x/sys/unix.Setns"},
		BlindSpots:  "SysProcAttr.Cloneflags of a child process and raw system calls are not seen.",
	},
	{
		Name:        "net",
		Description: "opens network connections",
		Symbols:     []string{"net.(*sysDialer).dialSingle"},
		BlindSpots:  "Sockets made by hand (syscall.Socket) are not seen. Unix sockets count.",
	},
	{
		Name:        "net-listen",
		Description: "accepts network connections or packets",
		Symbols:     []string{"net.(*ListenConfig).Listen", "net.(*ListenConfig).ListenPacket", "net.FileListener", "net.ListenTCP", "net.ListenUDP", "net.ListenUnix"},
		BlindSpots:  "Sockets made by hand (syscall.Socket) are not seen.",
	},
	{
		Name:        "plugin",
		Description: "loads Go plugins at run time",
		Symbols:     []string{"plugin.lastmoduleinit", "plugin._Cfunc_pluginOpen"},
		BlindSpots:  "The stub that programs without cgo get does not count. dlopen from C code is not seen.",
	},
	{
		Name:        "pprof",
		Description: "serves profiles at /debug/pprof/ of the default HTTP mux",
		Symbols:     []string{"net/http/pprof.init.0", "net/http/pprof.Index"},
		BlindSpots:  "Whether the default mux is served is not known. runtime/pprof alone does not count.",
	},
	{
		Name:        "ptrace",
		Description: "traces other processes",
		Symbols: []string{
			"syscall.PtraceAttach", "syscall.PtraceCont", "syscall.PtraceSyscall",
			"golang.org/x/sys/unix.PtraceAttach", "golang.org/x/sys/unix.PtraceSeize", "golang.org/x/sys/unix.PtraceCont", "golang.org/x/sys/unix.PtraceSyscall",
		},
		BlindSpots: "SysProcAttr.Ptrace of a child process and raw system calls are not seen.",
	},
	{
		Name:        "reflect-method",
		Description: "calls methods found by name at run time, so that the linker keeps all exported methods",
		Symbols:     []string{"reflect.Value.MethodByName", "reflect.Value.Method"},
		BlindSpots:  "text/template and html/template use it. With it, other capabilities may be in methods that nothing calls.",
	},
	{
		Name:        "reflect-unsafe-addr",
		Description: "takes addresses of reflected values, which unsafe can make pointers of",
		Symbols:     []string{"reflect.Value.UnsafeAddr"},
		BlindSpots:  "The use of unsafe itself leaves no trace in a binary.",
	},
	{
		Name:        "reflect-unsafe-pointer",
		Description: "takes pointers out of reflected values",
		Symbols:     []string{"reflect.Value.UnsafePointer"},
		BlindSpots:  "fmt links it in, to print pointers. The use of unsafe itself leaves no trace in a binary.",
	},
	{
		Name:        "setuid",
		Description: "changes its user or groups",
		Symbols: []string{
			"syscall.Setuid", "syscall.Setgid", "syscall.Setgroups", "syscall.Setreuid", "syscall.Setregid", "syscall.Setresuid", "syscall.Setresgid",
			"golang.org/x/sys/unix.Setuid", "golang.org/x/sys/unix.Setgid", "golang.org/x/sys/unix.Setgroups", "golang.org/x/sys/unix.Setresuid", "golang.org/x/sys/unix.Setresgid",
		},
		BlindSpots: "SysProcAttr.Credential of a child process and raw system calls are not seen.",
	},
	{
		Name:        "sql",
		Description: "uses a database through database/sql",
		Symbols:     []string{"database/sql.Open", "database/sql.OpenDB"},
		BlindSpots:  "Drivers used directly (pgx) are not seen.",
	},
	{
		Name:        "system-ca-roots",
		Description: "reads the system's CA certificates to verify certificates",
		Symbols:     []string{"crypto/x509.loadSystemRoots"},
		BlindSpots:  "Linked in with every TLS client and server, used or not.",
	},
	{
		Name:        "thread-lock",
		Description: "binds goroutines to operating system threads",
		Symbols:     []string{"runtime.LockOSThread"},
		BlindSpots:  "The standard library's use counts.",
	},
	{
		Name:        "timezone",
		Description: "loads time zones by name, for which it needs a zoneinfo database",
		Symbols:     []string{"time.LoadLocation"},
		BlindSpots:  "The local time zone, which every program may load, does not count.",
	},
	{
		Name:        "tls",
		Description: "speaks TLS as client or server",
		Symbols:     []string{"crypto/tls.(*Conn).clientHandshake", "crypto/tls.(*Conn).serverHandshake"},
		BlindSpots:  "net/http links it in, for plain HTTP too. Other implementations (BoringSSL through cgo) are not seen.",
	},
	{
		Name:        "tzdata",
		Description: "brings its own time zone database",
		Symbols:     []string{"time/tzdata.loadFromEmbeddedTZData"},
		BlindSpots:  "time.LoadLocationFromTZData with embedded files is not seen.",
	},
}

// CapabilityTable returns the table in Markdown, for docs/formats/facts.md.
func CapabilityTable() string {
	var b strings.Builder
	b.WriteString("| Capability | The program… | Symbols, any of | Blind spots |\n| --- | --- | --- | --- |\n")
	for _, c := range Capabilities {
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", c.Name, c.Description, strings.Join(c.Symbols, "` `"), c.BlindSpots)
	}
	return b.String()
}
