package cli

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/internal/image/attach"
	"github.com/gopherwood-dev/gopherwood/internal/kube"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/telemetry"
)

// service holds the flags of what runs within a cluster.
type service struct {
	kubeconfig, namespace string
	health, metrics       string
	elect                 bool
	lease                 string
	pullSecrets           bool
	mirrors               mirrorFlag
	plainHTTP             []string
	keys                  []string
	cacheDir              string
	cacheSize, memory     sizeFlag
	fetches               int
	fetchTimeout, tagTTL  time.Duration
	log                   logFlags
	setting               *setting
}

// addService gives cmd the flags of a service whose lease is called lease, and
// that reads so many images at once by default.
func addService(cmd *cobra.Command, lease string, fetches int) *service {
	s := &service{setting: addMatrices(cmd)}
	fl := cmd.Flags()
	fl.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig file (default: the cluster this runs in, $KUBECONFIG or ~/.kube/config)")
	fl.StringVarP(&s.namespace, "namespace", "n", "", "namespace of the service's own objects (default: that of the pod)")
	fl.StringVar(&s.health, "health", ":8081", "address of /healthz and /readyz; 0 for none")
	fl.StringVar(&s.metrics, "metrics", ":8080", "address of /metrics; 0 for none")
	fl.BoolVar(&s.elect, "leader-elect", true, "let one of several replicas write what only one may write")
	fl.StringVar(&s.lease, "lease", lease, "name of the Lease for --leader-elect")
	fl.BoolVar(&s.pullSecrets, "pull-secrets", true, "read images with the pull secrets of pods and their service accounts")
	fl.Var(&s.mirrors, "registry-mirror", "mirror that is asked before a registry, HOST=URL; may be repeated")
	fl.StringArrayVar(&s.plainHTTP, "plain-http-registry", nil, "registry, HOST[:PORT], that is talked to in HTTP; may be repeated")
	fl.StringArrayVar(&s.keys, "key", nil, "file with public keys whose attached facts are trusted; may be repeated")
	fl.StringVar(&s.cacheDir, "cache-dir", "", "directory that keeps facts of images (default: memory only)")
	fl.Var(&s.cacheSize, "cache-size", "most bytes in --cache-dir, for example 256MiB")
	fl.Var(&s.memory, "memory-cache", "most bytes of facts in memory (default 64MiB)")
	fl.IntVar(&s.fetches, "fetches", fetches, "how many images are read at once; of one registry one less")
	fl.DurationVar(&s.fetchTimeout, "fetch-timeout", 2*time.Minute, "how long reading one image may take")
	fl.DurationVar(&s.tagTTL, "tag-ttl", 10*time.Second, "how long a tag is taken for the digest that it had")
	s.log.add(cmd)
	return s
}

// check finds what is wrong with the flags themselves, and fills in the namespace.
func (s *service) check(cmd *cobra.Command) error {
	if s.namespace == "" {
		name, ok := kube.OwnNamespace()
		if !ok {
			return usage(cmd, "--namespace is needed outside of a cluster")
		}
		s.namespace = name
	}
	switch {
	case s.fetches < 1:
		return usage(cmd, "--fetches must be at least 1")
	case s.fetchTimeout <= 0 || s.tagTTL <= 0:
		return usage(cmd, "--fetch-timeout and --tag-ttl must be above 0")
	case s.cacheSize != 0 && s.cacheDir == "":
		return usage(cmd, "--cache-size needs --cache-dir")
	case slices.Contains(s.plainHTTP, ""):
		return usage(cmd, "--plain-http-registry must not be empty")
	}
	return nil
}

// images returns how images are read.
func (s *service) images() (images.Options, error) {
	opt := images.Options{
		CacheDir: s.cacheDir, CacheSize: int64(s.cacheSize), MemoryBytes: int64(s.memory),
		Fetches: s.fetches, FetchTimeout: s.fetchTimeout, TagTTL: s.tagTTL,
		Mirrors: s.mirrors, PlainHTTPHosts: s.plainHTTP,
	}
	if len(s.keys) > 0 {
		v, err := attach.LoadVerifier(s.keys)
		if err != nil {
			return opt, err
		}
		opt.Verifier = v
	}
	return opt, nil
}

// build is what the service says it is.
func build() telemetry.Build {
	v := buildVersion()
	b := telemetry.Build{Version: v.Version, GoVersion: v.Go}
	if v.VCS != nil {
		b.Revision = v.VCS.Revision
	}
	return b
}

// agent is how the service calls itself at the API server.
func agent() string { return "gopherwood/" + buildVersion().Version }

// mirrorFlag maps registries to their mirrors.
type mirrorFlag map[string][]string

func (f *mirrorFlag) String() string { return "" }
func (f *mirrorFlag) Type() string   { return "HOST=URL" }

func (f *mirrorFlag) Set(s string) error {
	host, mirror, ok := strings.Cut(s, "=")
	u, err := url.Parse(mirror)
	if !ok || host == "" || err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%q is no mirror: write HOST=URL, for example docker.io=https://mirror.example.org", s)
	}
	if *f == nil {
		*f = mirrorFlag{}
	}
	(*f)[host] = append((*f)[host], mirror)
	return nil
}

// logFlags say what is logged, and how.
type logFlags struct{ format, level choiceFlag }

func (f *logFlags) add(cmd *cobra.Command) {
	f.format = choiceFlag{value: "json", allowed: []string{"json", "text"}}
	f.level = choiceFlag{value: "info", allowed: []string{"debug", "info", "warn", "error"}}
	f.format.add(cmd, "log-format", "how the log is written")
	f.level.add(cmd, "log-level", "what is logged")
}

// logger returns what the flags say, writing to standard error.
func (f *logFlags) logger(a *app) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.level.value)) // slog has the same names
	opt := &slog.HandlerOptions{Level: level}
	if f.format.value == "text" {
		return slog.New(slog.NewTextHandler(a.stderr, opt))
	}
	return slog.New(slog.NewJSONHandler(a.stderr, opt))
}
