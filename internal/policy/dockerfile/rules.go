package dockerfile

import (
	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/start"
)

// Rule describes one rule, in the form of the start-up rules.
type Rule = start.Rule

// The ids of the rules.
const (
	LibcMismatch       = "dockerfile/libc-mismatch"
	PIEStatic          = "dockerfile/pie-static"
	GlibcOlder         = "dockerfile/glibc-older"
	StaticWithoutNetgo = "dockerfile/static-without-netgo"
	CGORuntimeOnly     = "dockerfile/cgo-runtime-only"
	Arch               = "dockerfile/arch"
	EntrypointMissing  = "dockerfile/entrypoint-missing"
	ShellMissing       = "dockerfile/shell-missing"
	ShellEntrypoint    = "dockerfile/shell-entrypoint"
	NoCACertificates   = "dockerfile/no-ca-certificates"
	NoZoneinfo         = "dockerfile/no-zoneinfo"
	Root               = "dockerfile/root"
	UserName           = "dockerfile/user-name"
	Secret             = "dockerfile/secret"
	AddRemote          = "dockerfile/add-remote"
	GoUnsupported      = "dockerfile/go-unsupported"
	GoUnknown          = "dockerfile/go-unknown"
	GoUnpinned         = "dockerfile/go-unpinned"
	BaseUnpinned       = "dockerfile/base-unpinned"
	BaseWithoutDigest  = "dockerfile/base-without-digest"
	NoTrimpath         = "dockerfile/no-trimpath"
	CopyBeforeDownload = "dockerfile/copy-before-download"
	NoCacheMount       = "dockerfile/no-cache-mount"
)

// Rules is every rule about Dockerfiles: what keeps a program from starting
// first, then what it misses once it runs, and then how it is built.
var Rules = []Rule{
	{ID: LibcMismatch, Severity: api.Deny,
		Description: "A program is built with cgo for one C library and copied to an image with another one, none, or a glibc from before 2.34 where the builder's is newer. Its dynamic loader or its symbols are not there: \"no such file or directory\" although the file is, or \"version `GLIBC_2.34' not found\". Without CGO_ENABLED, cgo is on wherever the builder has a C compiler, as the Debian images of Go do, and the packages net and os/user use it.",
		Hint:        "set CGO_ENABLED=0 in the builder where no package needs C, or give builder and runtime the same distribution and release"},
	{ID: PIEStatic, Severity: api.Deny,
		Description: "A program is built with -buildmode=pie and without cgo, and copied to an image without glibc. The executables that Go's own linker makes in this mode still name glibc's dynamic loader, which is not there.",
		Hint:        "drop -buildmode=pie, or use a runtime image with glibc"},
	{ID: GlibcOlder, Severity: api.Warn,
		Description: "A program that is built with CGO_ENABLED=1 runs on an older glibc than it was linked with. It starts only if its C code needs no symbol version that came in between.",
		Hint:        "use the same release of the distribution for builder and runtime"},
	{ID: StaticWithoutNetgo, Severity: api.Warn,
		Description: "The C linker is told to link statically with glibc while the packages net and os/user may still use cgo. If only these use it, Go's own linker links, ignores -extldflags, and the program stays dynamic; if the C linker does link, getaddrinfo and getpwnam in it still load the very same glibc when they are called. Also said of -ldflags=-static, which is no flag of Go's linker: the build fails.",
		Hint:        "set CGO_ENABLED=0, or add -tags netgo,osusergo to -ldflags '-linkmode external -extldflags -static'"},
	{ID: CGORuntimeOnly, Severity: api.Warn,
		Description: "CGO_ENABLED is set where no go build sees it: in the runtime stage, after the build, or as an ARG before FROM that the stage does not repeat. It is a setting of the go command and does nothing when the program runs.",
		Hint:        "set CGO_ENABLED in the builder before go build"},
	{ID: Arch, Severity: api.Deny,
		Description: "The program's processor or operating system is not the image's: the builder runs on the build platform and GOARCH does not follow TARGETARCH, GOARCH is fixed in a file for several platforms, or GOOS is not Linux. The container answers \"exec format error\".",
		Hint:        "declare ARG TARGETOS TARGETARCH in the builder stage and build with GOOS=$TARGETOS GOARCH=$TARGETARCH"},
	{ID: EntrypointMissing, Severity: api.Deny,
		Description: "The entrypoint names a program in an image that holds only what the stage copies, and nothing copies it there. The container answers \"no such file or directory\".",
		Hint:        "let ENTRYPOINT name the path that COPY puts the program to"},
	{ID: ShellMissing, Severity: api.Deny,
		Description: "ENTRYPOINT or CMD needs a shell and the image has none: the shell form runs /bin/sh -c.",
		Hint:        "write it in exec form: ENTRYPOINT [\"/app\", \"flag\"]"},
	{ID: ShellEntrypoint, Severity: api.Warn,
		Description: "ENTRYPOINT or CMD in shell form makes a shell process 1. It does not pass SIGTERM on, so the service cannot shut down in order and is killed after the grace period; after an ENTRYPOINT in exec form, the words of a shell-form CMD become its arguments.",
		Hint:        "write it in exec form, or begin the script with exec"},
	{ID: NoCACertificates, Severity: api.Warn,
		Description: "The image that the program runs on holds no CA certificates: outgoing TLS connections fail with \"certificate signed by unknown authority\".",
		Hint:        "install ca-certificates, copy /etc/ssl/certs/ca-certificates.crt from the builder, or link golang.org/x/crypto/x509roots/fallback"},
	{ID: NoZoneinfo, Severity: api.Info,
		Description: "The image holds no time zone data: time.LoadLocation fails with \"unknown time zone\", unless the program imports time/tzdata.",
		Hint:        "import time/tzdata, build with -tags timetzdata, or copy /usr/share/zoneinfo"},
	{ID: Root, Severity: api.Warn,
		Description: "The final stage runs as root. What breaks out of the program has root's rights in the container, and clusters that enforce the restricted Pod Security Standard refuse it.",
		Hint:        "end the stage with USER 65532:65532, or another numeric user"},
	{ID: UserName, Severity: api.Warn,
		Description: "The final stage runs as a user with a name. Kubernetes cannot tell whether a name is root, and refuses to start it where runAsNonRoot is set; in an empty image the name is not known at all.",
		Hint:        "use the number: USER 65532:65532"},
	{ID: Secret, Severity: api.Deny,
		Description: "A credential gets into the image, its history or the build cache: as a value of ARG or ENV, in a command, or as a file that is copied.",
		Hint:        "use RUN --mount=type=secret,id=NAME and `docker build --secret id=NAME,src=FILE`, and replace the credential: it has been seen"},
	{ID: AddRemote, Severity: api.Warn,
		Description: "ADD downloads a file that may be another one tomorrow.",
		Hint:        "pin it: ADD --checksum=sha256:… URL"},
	{ID: GoUnsupported, Severity: api.Deny,
		Description: "The builder's Go version gets no more security fixes.",
		Hint:        "build with a supported Go version"},
	{ID: GoUnknown, Severity: api.Info,
		Description: "The builder's Go version is newer than all that the version matrix lists, so nothing is known about its support.",
		Hint:        "update Gopherwood or its version matrix"},
	{ID: GoUnpinned, Severity: api.Warn,
		Description: "The builder's image does not say which minor of Go it is, so that the same source is built with another compiler on another day.",
		Hint:        "name the version, for example golang:1.26.8-trixie"},
	{ID: BaseUnpinned, Severity: api.Warn,
		Description: "The runtime image has no tag or the tag latest, so that the same source becomes another image on another day.",
		Hint:        "name a release, and best also the digest"},
	{ID: BaseWithoutDigest, Severity: api.Info,
		Description: "The runtime image is named by a tag, which can be moved.",
		Hint:        "add the digest: NAME:TAG@sha256:…"},
	{ID: NoTrimpath, Severity: api.Info,
		Description: "The program is built without -trimpath: it holds the builder's paths, and is another file when it is built at another path.",
		Hint:        "add -trimpath to go build"},
	{ID: CopyBeforeDownload, Severity: api.Info,
		Description: "The whole source is copied before go mod download, so that every change of a file downloads all modules again.",
		Hint:        "COPY go.mod go.sum ./ and RUN go mod download before COPY . ."},
	{ID: NoCacheMount, Severity: api.Info,
		Description: "go build runs without a cache mount, so that it compiles every package again whenever a file has changed.",
		Hint:        "RUN --mount=type=cache,target=/root/.cache/go-build go build …"},
}
