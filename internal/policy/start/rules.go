package start

import "github.com/gopherwood-dev/gopherwood/api"

// The ids of the start-up rules.
const (
	EntrypointMissing        = "start/entrypoint-missing"
	UserUnknown              = "start/user-unknown"
	NotExecutable            = "start/not-executable"
	ExecFormat               = "start/exec-format"
	Arch                     = "start/arch"
	ScriptInterpreterMissing = "start/script-interpreter-missing"
	InterpreterMissing       = "start/interpreter-missing"
	InterpreterInvalid       = "start/interpreter-invalid"
	LibraryMissing           = "start/library-missing"
	LibraryInvalid           = "start/library-invalid"
	SymbolVersion            = "start/symbol-version"
	SymbolMissing            = "start/symbol-missing"
	CPULevel                 = "start/cpu-level"
	Unmeasured               = "start/unmeasured"
	ArchCompat               = "start/arch-compat"
	PreloadIgnored           = "start/preload-ignored"
	Setuid                   = "start/setuid"
	NoCACertificates         = "start/no-ca-certificates"
	NoZoneinfo               = "start/no-zoneinfo"
	Wrapper                  = "start/wrapper"
)

// Rule describes one start-up rule.
type Rule struct {
	ID string
	// Severity is what a finding of it counts unless the policy says otherwise.
	Severity string
	// Description says when the rule speaks and what happens at run time.
	Description string
	// Hint is what mends it.
	Hint string
}

// Rules is every start-up rule, in the order in which a start would fail.
var Rules = []Rule{
	{EntrypointMissing, api.Deny,
		"The image names no program, or the program is neither at the given path nor in a directory of PATH. The container runtime answers \"no such file or directory\" or \"executable file not found in $PATH\".",
		"set ENTRYPOINT or CMD to the path of a file that the image holds"},
	{UserUnknown, api.Deny,
		"The image's user or group has a name that /etc/passwd or /etc/group of the image does not list, so the container runtime refuses to start it.",
		"use a numeric user, for example 65532:65532, or add the user to the image"},
	{NotExecutable, api.Deny,
		"The program, or the interpreter of a script, may not be executed by the image's user: no execute permission, a directory on the way that may not be searched, or no regular file. execve(2) answers EACCES.",
		"give the file mode 0755 (COPY --chmod=0755) and its directories at least 0711"},
	{ExecFormat, api.Deny,
		"The program is neither an executable of a known format nor a script that begins with #!. execve(2) answers ENOEXEC, \"exec format error\".",
		"begin a script with #!/path/of/its/interpreter, and check that the file was not truncated"},
	{Arch, api.Deny,
		"The program was built for another operating system or processor than the image claims. execve(2) answers ENOEXEC, \"exec format error\".",
		"build with the GOOS and GOARCH of the image's platform, or mend the image's platform"},
	{ScriptInterpreterMissing, api.Deny,
		"A script names an interpreter that the image lacks. execve(2) answers ENOENT: \"no such file or directory\" although the script is there.",
		"install the interpreter, start the program without a script, or choose a base image that has a shell"},
	{InterpreterMissing, api.Deny,
		"The program is dynamically linked and its dynamic loader (PT_INTERP) is not in the image. execve(2) answers ENOENT: \"no such file or directory\" although the program is there. This is what a glibc program meets on a musl, static or empty image.",
		"link statically (CGO_ENABLED=0 without -buildmode=pie), or use a base image with the C library that the program was linked for"},
	{InterpreterInvalid, api.Deny,
		"The dynamic loader is there, but it is no executable of the program's architecture or may not be executed. execve(2) answers ELIBBAD or EACCES.",
		"install the C library of the program's own architecture"},
	{LibraryMissing, api.Deny,
		"A shared library (DT_NEEDED), perhaps one that another library needs, is not found by the dynamic loader with the image's own environment. The program ends with status 127 before main.",
		"add the package that holds the library to the image, or link statically"},
	{LibraryInvalid, api.Deny,
		"The first file that the dynamic loader finds under a library's name is no library that it can load.",
		"remove the file or put the right library before it in the search order"},
	{SymbolVersion, api.Deny,
		"A library is older than the one that the program was linked with: it does not define a symbol version that the program or a library imports, for example GLIBC_2.38. The program ends with status 1 before main.",
		"build on a system as old as the image's, use a base image at least as new as the build system, or link statically"},
	{SymbolMissing, api.Deny,
		"A symbol that the loader must bind at start is defined by none of the loaded libraries.",
		"use the library version (and the C library family) that the program was linked with"},
	{CPULevel, api.Deny,
		"The program or a library of it was built for a newer x86-64 level than the CPU given with --cpu. A Go program ends at once with a message about GOAMD64; others with \"illegal instruction\".",
		"build with a lower GOAMD64, or schedule it on newer CPUs"},
	{Unmeasured, api.Warn,
		"A file on the way from the entrypoint to main could not be measured, so whether the program starts is not known.",
		"see the reason in the message; raise the limit it names or repair the file"},
	{ArchCompat, api.Warn,
		"The program was built for the 32-bit sibling of the image's processor, which only kernels with that compatibility mode run.",
		"build with the GOARCH of the image's platform"},
	{PreloadIgnored, api.Warn,
		"A library of LD_PRELOAD or /etc/ld.so.preload cannot be loaded; the loader complains on every start and goes on without it.",
		"remove the entry or add the library"},
	{Setuid, api.Warn,
		"The program is set-user-ID or set-group-ID: it runs with other rights than the image's user has, and the loader ignores LD_LIBRARY_PATH.",
		"remove the bit (chmod a-s) and run the container as the user it needs"},
	{NoCACertificates, api.Warn,
		"The Go program verifies TLS certificates with the system's roots, and the image holds none where Go looks: every outgoing TLS connection fails with \"certificate signed by unknown authority\".",
		"add the CA certificates (package ca-certificates, or copy /etc/ssl/certs/ca-certificates.crt), or link golang.org/x/crypto/x509roots/fallback"},
	{NoZoneinfo, api.Warn,
		"The Go program can load time zones by name, and neither the image nor the program holds the zone data: time.LoadLocation fails with \"unknown time zone\".",
		"import time/tzdata (or build with -tags timetzdata), or add the package tzdata"},
	{Wrapper, api.Info,
		"The entrypoint is a shell or script: that it starts is known, what it then starts is not looked at.",
		"start the program itself: ENTRYPOINT [\"/app\"] in exec form also receives signals"},
}
