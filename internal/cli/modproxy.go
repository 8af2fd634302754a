package cli

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newModproxy(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "modproxy",
		Short: "Serve Go modules to a company, and keep them as OCI artifacts",
		Long: `Modproxy is a module proxy (GOPROXY) and a proxy of the checksum database. It keeps
every version that it has served, as one OCI artifact, in a directory or in a
registry. docs/modproxy.md says how to run it and how to point CI, image builds
and clusters at it.`,
		Example: "  gopherwood modproxy serve --store /var/lib/gopherwood/modules\n  gopherwood modproxy env --url https://goproxy.corp.example.com",
		Args:    subcommandOnly,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(
		newModproxyServe(a), newModproxyWarm(a), newModproxyVerify(a), newModproxyGC(a), newModproxyStats(a),
		newModproxyExport(a), newModproxyImport(a), newModproxyEnv(a), newModproxyCredential(a),
	)
	return cmd
}

// storeVariable names the store where no flag does, so that commands within a
// container find that of its service.
const storeVariable = "GOPHERWOOD_MODPROXY_STORE"

// moduleStore holds the flags that say where modules are kept.
type moduleStore struct {
	store     string
	cache     string
	cacheSize sizeFlag
	pending   sizeFlag
	plainHTTP bool
}

// The sizes where no flag says another.
const (
	defaultModuleCache   = 10 << 30
	defaultModulePending = 2 << 30
)

// registryScheme begins the name of a store that is in a registry.
const registryScheme = "oci://"

// addModuleStore gives cmd the flags of a store.
func addModuleStore(cmd *cobra.Command) *moduleStore {
	s := &moduleStore{cacheSize: defaultModuleCache, pending: defaultModulePending}
	fl := cmd.Flags()
	fl.StringVar(&s.store, "store", "", "where modules are kept: a directory, or oci://REGISTRY/PREFIX (default: $"+storeVariable+")")
	fl.StringVar(&s.cache, "cache", "", "directory that is asked before a registry, and takes what is to be written to it")
	fl.Var(&s.cacheSize, "cache-size", "most bytes in --cache")
	fl.Var(&s.pending, "max-pending", "most bytes in --cache that wait for the registry; beyond that, versions that are not there yet are refused")
	fl.BoolVar(&s.plainHTTP, "plain-http", false, "talk HTTP to the registry, not HTTPS")
	return s
}

// check finds what is wrong with the flags themselves, and fills in the store
// from the environment.
func (s *moduleStore) check(cmd *cobra.Command, getenv func(string) string) error {
	if s.store == "" {
		s.store = getenv(storeVariable)
	}
	inRegistry := strings.HasPrefix(s.store, registryScheme)
	switch {
	case s.store == "":
		return usage(cmd, "needs --store DIR or --store oci://REGISTRY/PREFIX")
	case strings.Contains(s.store, "://") && !inRegistry:
		return usage(cmd, "--store %s: it is neither a directory nor oci://REGISTRY/PREFIX", s.store)
	case s.cache != "" && !inRegistry:
		return usage(cmd, "--cache is for a --store in a registry: %s is a directory itself", s.store)
	case s.cache == "" && (cmd.Flags().Changed("cache-size") || cmd.Flags().Changed("max-pending")):
		return usage(cmd, "--cache-size and --max-pending need --cache")
	case s.plainHTTP && !inRegistry:
		return usage(cmd, "--plain-http is for a --store in a registry")
	}
	return nil
}

// stateDir returns the directory for what belongs to the proxy and is no module:
// the checksum database's files, clones. It may be deleted while nothing runs.
func (s *moduleStore) stateDir(getenv func(string) string) string {
	switch {
	case s.cache != "":
		return filepath.Join(s.cache, stateName)
	case !strings.HasPrefix(s.store, registryScheme):
		return filepath.Join(s.store, stateName)
	}
	return filepath.Join(cacheDir(getenv), "modproxy")
}

// stateName is no name of a module: those of directories do not begin with "_".
const stateName = "_state"

// moduleOrigin holds the flags that say where modules come from, and what vouches
// for them.
type moduleOrigin struct {
	upstream        string
	private         string
	privateUpstream string
	sumdb           string
	offline         bool
	goCommand       string
}

// addModuleOrigin gives cmd the flags of an origin.
func addModuleOrigin(cmd *cobra.Command) *moduleOrigin {
	o := &moduleOrigin{}
	fl := cmd.Flags()
	fl.StringVar(&o.upstream, "upstream", "", "where modules come from, as GOPROXY lists it: URL[,URL|URL][,direct] (default: 'go env GOPROXY')")
	fl.StringVar(&o.private, "private", "", "patterns of modules that no public service hears of, as GOPRIVATE lists them (default: 'go env GOPRIVATE')")
	fl.StringVar(&o.privateUpstream, "private-upstream", "direct", "where these come from, as GOPROXY lists it")
	fl.StringVar(&o.sumdb, "sumdb", "", "checksum database that vouches for public modules, as GOSUMDB names it: NAME, \"NAME+KEY [URL]\" or off (default: 'go env GOSUMDB')")
	fl.BoolVar(&o.offline, "offline", false, "ask nobody: what is not in the store does not exist")
	fl.StringVar(&o.goCommand, "go", "go", "go command that gets modules from version control")
	return o
}

// check finds what is wrong with the flags themselves.
func (o *moduleOrigin) check(cmd *cobra.Command) error {
	if o.goCommand == "" {
		return usage(cmd, "--go must not be empty")
	}
	if o.offline && cmd.Flags().Changed("upstream") {
		return usage(cmd, "--offline and --upstream exclude each other")
	}
	return nil
}

// moduleRules holds the flags that say which versions may be used.
type moduleRules struct {
	cooldown time.Duration
	allow    []string
	known    []string
	policy   string
	osv      []string
}

// addModuleRules gives cmd the flags of rules.
func addModuleRules(cmd *cobra.Command) *moduleRules {
	r := &moduleRules{}
	fl := cmd.Flags()
	fl.DurationVar(&r.cooldown, "cooldown", 0, "refuse public versions until they have been known here for so long, for example 72h")
	fl.StringSliceVar(&r.allow, "cooldown-allow", nil, "patterns of modules without a cool-down, as GOPRIVATE lists them; may end in @VERSION")
	fl.StringArrayVar(&r.known, "cooldown-known", nil, "go.sum file with versions that have no cool-down; may be repeated")
	fl.StringVar(&r.policy, "policy", "", "ModulePolicy file: rules in CEL, described in docs/formats/modulepolicy.md")
	fl.StringArrayVar(&r.osv, "osv", nil, "file, directory or zip of vulnerabilities in the OSV format: versions that have one are refused; may be repeated")
	return r
}

// check finds what is wrong with the flags themselves.
func (r *moduleRules) check(cmd *cobra.Command) error {
	switch {
	case r.cooldown < 0:
		return usage(cmd, "--cooldown must not be below 0")
	case r.cooldown == 0 && (len(r.allow) > 0 || len(r.known) > 0):
		return usage(cmd, "--cooldown-allow and --cooldown-known need --cooldown")
	}
	return nil
}

// moduleProxy holds the flags of commands that get versions from where they come
// from into a store: 'serve' and 'warm'.
type moduleProxy struct {
	*moduleStore
	*moduleOrigin
	*moduleRules
}

// addModuleProxy gives cmd the flags of a whole proxy.
func addModuleProxy(cmd *cobra.Command) *moduleProxy {
	return &moduleProxy{moduleStore: addModuleStore(cmd), moduleOrigin: addModuleOrigin(cmd), moduleRules: addModuleRules(cmd)}
}

// check finds what is wrong with the flags themselves.
func (p *moduleProxy) check(cmd *cobra.Command, getenv func(string) string) error {
	if err := p.moduleStore.check(cmd, getenv); err != nil {
		return err
	}
	if err := p.moduleOrigin.check(cmd); err != nil {
		return err
	}
	return p.moduleRules.check(cmd)
}
