package api

// The kinds of the fleet's documents.
const (
	KindFleetList = "FleetList"
	KindFleetDiff = "FleetDiff"
)

// Unknown is the verdict on a container whose image could not be read.
const Unknown = "unknown"

// FleetList is what `gopherwood fleet inspect` and `gopherwood fleet check`
// print: what runs in a cluster at one moment.
type FleetList struct {
	SchemaVersion string `json:"schemaVersion"`
	Kind          string `json:"kind"`
	// Time is the moment, RFC 3339 in UTC.
	Time string `json:"time"`
	// Cluster is the context's name in the kubeconfig, or the API server's address.
	Cluster string `json:"cluster"`
	// Namespaces and Selector say what was asked for; empty means all.
	Namespaces []string     `json:"namespaces,omitempty"`
	Selector   string       `json:"selector,omitempty"`
	Summary    FleetSummary `json:"summary"`
	// Items are the running containers by workload, image and platform, sorted.
	Items []FleetItem `json:"items"`
	// Errors names what could not be listed or read; the items are the rest.
	Errors []Error `json:"errors,omitempty"`
}

// FleetSummary counts pods unless a field says otherwise. A pod with two Go
// programs counts for both of their versions, and once everywhere else.
type FleetSummary struct {
	Workloads int `json:"workloads"`
	Pods      int `json:"pods"`
	// Containers are those that run or are about to.
	Containers int `json:"containers"`
	// Images is the number of distinct images, by digest where that is known.
	Images int `json:"images"`
	// GoVersions is the number of pods by Go minor, for example "1.26".
	GoVersions map[string]int `json:"goVersions"`
	// NoGo is the number of pods that were read and hold no Go program.
	NoGo int `json:"noGo"`
	// PastSupport is the number of pods with a Go version that gets no fixes.
	PastSupport int `json:"pastSupport"`
	// Glibc and Musl are pods with a Go program that is linked with that C library.
	Glibc int `json:"glibc"`
	Musl  int `json:"musl"`
	// Root is the number of pods with a container that runs as root.
	Root int `json:"root"`
	// Verdicts is the number of pods by the gravest verdict on their containers:
	// pass, warn, deny or unknown.
	Verdicts map[string]int `json:"verdicts"`
}

// FleetItem is one container of a workload, as far as its pods run the same
// image on the same platform.
type FleetItem struct {
	// Namespace, Kind and Name are the workload: the last of the pods' owners, or
	// the pod itself.
	Namespace  string `json:"namespace"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	APIVersion string `json:"apiVersion,omitempty"`
	// Owners are the owners between the pods and the workload, as "Kind/name".
	Owners []string `json:"owners,omitempty"`
	// Container is the container's name.
	Container string `json:"container"`
	// ContainerKind is container, initContainer or ephemeralContainer.
	ContainerKind string `json:"containerKind"`
	// Image is the image as the pod names it.
	Image string `json:"image"`
	// Digest is what runs, which may not be what the image's tag names today. It
	// is the digest that the node reports; where it reports none, what the tag
	// names now, as Note says.
	Digest string `json:"digest,omitempty"`
	// Manifest is the digest of the platform's manifest.
	Manifest string `json:"manifest,omitempty"`
	// Note says where the digest is from when no node reported it.
	Note string `json:"note,omitempty"`
	// Platform is the nodes'; absent when these are not known.
	Platform *Platform `json:"platform,omitempty"`
	// Pods is how many pods run this.
	Pods int `json:"pods"`
	// Facts is absent when the image could not be read, or holds no program that
	// could be measured.
	Facts *FleetFacts `json:"facts,omitempty"`
	// Files are all facts of all programs, only where they were asked for.
	Files []Facts `json:"files,omitempty"`
	// Verdict is the gravest of Verdicts: pass, warn, deny, or unknown.
	Verdict string `json:"verdict"`
	// Verdicts has one entry for each policy that is about the workload.
	Verdicts []FleetVerdict `json:"verdicts"`
	// Error says why the verdict is unknown.
	Error *Error `json:"error,omitempty"`
}

// FleetFacts is the short form of what was measured of the program that a
// container starts.
type FleetFacts struct {
	// Program is the executable's path in the image.
	Program string `json:"program"`
	// GoVersion is empty when the program is no Go program.
	GoVersion string `json:"goVersion,omitempty"`
	// Supported is whether the Go version gets security fixes on the day of the
	// list; absent when that is not known.
	Supported *bool `json:"supported,omitempty"`
	// SupportedUntil is the last day of support, YYYY-MM-DD, where it is known.
	SupportedUntil string `json:"supportedUntil,omitempty"`
	Module         string `json:"module,omitempty"`
	ModuleVersion  string `json:"moduleVersion,omitempty"`
	// Dependencies is the number of modules linked in.
	Dependencies int `json:"dependencies"`
	// CGO is true when the program is linked with a C library.
	CGO bool `json:"cgo"`
	// Link, Libc and Floor are as in Facts.
	Link  string `json:"link,omitempty"`
	Libc  string `json:"libc,omitempty"`
	Floor string `json:"floor,omitempty"`
	Size  int64  `json:"size"`
	// User is whom the container runs as, of the pod or else of the image; empty
	// means that nothing names one.
	User string `json:"user,omitempty"`
	Root bool   `json:"root"`
	// Programs is how many programs of the image were measured.
	Programs int `json:"programs"`
}

// FleetVerdict is what one policy says of a container.
type FleetVerdict struct {
	// Policy is "default", a file's name, "GoPolicy NAMESPACE/NAME" or
	// "ClusterGoPolicy NAME".
	Policy string `json:"policy"`
	// Action is what the policy does at admission: enforce, warn or audit.
	Action   string    `json:"action,omitempty"`
	Verdict  string    `json:"verdict"`
	Findings []Finding `json:"findings"`
}

// FleetDiff is what `gopherwood fleet diff` prints: what differs between two
// FleetLists.
type FleetDiff struct {
	SchemaVersion string           `json:"schemaVersion"`
	Kind          string           `json:"kind"`
	From          FleetMoment      `json:"from"`
	To            FleetMoment      `json:"to"`
	Summary       FleetDiffSummary `json:"summary"`
	// Added and Removed are containers that only one list has.
	Added   []FleetEntry  `json:"added"`
	Removed []FleetEntry  `json:"removed"`
	Changed []FleetChange `json:"changed"`
}

// FleetMoment says which list is meant.
type FleetMoment struct {
	Time    string `json:"time"`
	Cluster string `json:"cluster"`
}

// FleetDiffSummary counts the entries, and rules over all changed containers.
type FleetDiffSummary struct {
	Added   int `json:"added"`
	Removed int `json:"removed"`
	Changed int `json:"changed"`
	// NewFindings and FixedFindings count rules that speak against a container
	// now and did not, and the other way round.
	NewFindings   int `json:"newFindings"`
	FixedFindings int `json:"fixedFindings"`
}

// FleetEntry is one container of a workload with all images that it runs. Each
// list of values is sorted and has each value once.
type FleetEntry struct {
	Namespace  string   `json:"namespace"`
	Kind       string   `json:"kind"`
	Name       string   `json:"name"`
	Container  string   `json:"container"`
	Pods       int      `json:"pods"`
	Images     []string `json:"images"`
	Digests    []string `json:"digests"`
	GoVersions []string `json:"goVersions"`
	// Verdict is the gravest of the container's items.
	Verdict string `json:"verdict"`
	// Rules are those that speak against the container, exemptions left out.
	Rules []string `json:"rules"`
}

// FleetChange is a container of which something differs. Pods alone is no
// change.
type FleetChange struct {
	Namespace string `json:"namespace"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Container string `json:"container"`
	Pods      int    `json:"pods"`
	// Each is absent when it is the same in both lists.
	Images     *FleetValues `json:"images,omitempty"`
	Digests    *FleetValues `json:"digests,omitempty"`
	GoVersions *FleetValues `json:"goVersions,omitempty"`
	Verdict    *FleetValue  `json:"verdict,omitempty"`
	// NewRules and FixedRules are sorted.
	NewRules   []string `json:"newRules,omitempty"`
	FixedRules []string `json:"fixedRules,omitempty"`
}

// FleetValues is a set of values before and after.
type FleetValues struct {
	From []string `json:"from"`
	To   []string `json:"to"`
}

// FleetValue is a value before and after.
type FleetValue struct {
	From string `json:"from"`
	To   string `json:"to"`
}
