package chart

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gopherwood-dev/gopherwood/deploy"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

var update = flag.Bool("update", false, "rewrite golden files")

func load(t testing.TB) *Chart {
	t.Helper()
	c, err := Load(deploy.Chart())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func render(t *testing.T, settings ...string) []*unstructured.Unstructured {
	t.Helper()
	c := load(t)
	values, err := c.Values(nil, settings)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := c.Render(Release{Name: DefaultRelease, Namespace: DefaultNamespace}, values)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// names returns "Kind namespace/name" of all objects.
func names(objects []*unstructured.Unstructured) []string {
	var all []string
	for _, o := range objects {
		all = append(all, identityOf(o).String())
	}
	return all
}

// everything are settings that turn on all there is.
var everything = []string{
	"certificates.certManager.enabled=true", "networkPolicy.enabled=true", "serviceMonitor.enabled=true",
	"pullSecrets.namespaces=[team-a, team-b]", "crds.keep=true", "commonLabels={team: base}", "webhook.hostNetwork=true",
	"image.pullSecrets=[mine]", "registries.mirrors={r.example: [https://m.example, https://n.example]}", "registries.plainHTTP=[r:5000]",
	"tracing.endpoint=http://collector:4318", "webhook.tolerations=[{operator: Exists}]", "fleet.affinity={nodeAffinity: {}}",
	"webhook.extraArgs=[--x]", "fleet.extraEnv=[{name: A, value: b}]", `image.digest="sha256:` + strings.Repeat("0", 64) + `"`,
	"networkPolicy.metricsFrom=[{podSelector: {}}]", "networkPolicy.egress=[{ports: [{port: 5000}]}]",
	"webhook.namespaceExpressions=[{key: team, operator: Exists}]", `serviceAccount.annotations={"cloud.example/role": r}`,
	"webhook.podAnnotations={a: b}", "webhook.podLabels={a: b}", "fleet.podLabels={a: b}", "webhook.serviceAnnotations={a: b}",
	"fleet.podAnnotations={a: b}", "fleet.priorityClassName=high", "fleet.tolerations=[{operator: Exists}]", "serviceMonitor.labels={a: b}",
	"webhook.affinity={nodeAffinity: {}}", "webhook.topologySpreadConstraints=[{maxSkew: 2}]",
}

// Everything but the CRDs, which have their own tests, as it comes out.
func TestRenderGolden(t *testing.T) {
	for name, settings := range map[string][]string{"default": nil, "everything": everything} {
		t.Run(name, func(t *testing.T) {
			objects := slices.DeleteFunc(render(t, settings...), func(o *unstructured.Unstructured) bool { return o.GetKind() == kindCRD })
			got, err := Write(objects)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want +got; 'go test ./internal/kube/chart -update' rewrites it\n%s", diff)
			}
		})
	}
}

// The objects come in an order in which each finds what it needs, and those that
// make the API server ask come last.
func TestInstallOrder(t *testing.T) {
	var kinds []string
	for _, o := range render(t) {
		kinds = append(kinds, o.GetKind())
	}
	before := func(a, b string) {
		t.Helper()
		last, first := -1, slices.Index(kinds, b)
		for i, k := range kinds {
			if k == a {
				last = i
			}
		}
		if last < 0 || first < 0 || last > first {
			t.Errorf("%s must come before %s: %v", a, b, kinds)
		}
	}
	before(kindCRD, "ClusterRole")
	before("RoleBinding", kindDeployment)
	before("Secret", kindDeployment)
	before("Service", kindDeployment)
	before(kindDeployment, kindMutating)
	if kinds[len(kinds)-1] != kindValidating {
		t.Errorf("last is %s", kinds[len(kinds)-1])
	}
}

// No object grants more than its reader would expect.
func TestLeastPrivilege(t *testing.T) {
	var texts = map[string]string{}
	for _, o := range render(t, "pullSecrets.enabled=false") {
		if strings.HasSuffix(o.GetKind(), "Role") {
			rules, err := json.Marshal(o.Object["rules"])
			if err != nil {
				t.Fatal(err)
			}
			texts[identityOf(o).String()] = string(rules)
			if strings.Contains(string(rules), `"*"`) || strings.Contains(string(rules), `"escalate"`) || strings.Contains(string(rules), `"impersonate"`) {
				t.Errorf("%s: %s", o.GetName(), rules)
			}
		}
		if o.GetKind() != "ClusterRole" {
			continue
		}
		for _, rule := range objectsAt(o.Object, "rules") {
			resources, _, _ := unstructured.NestedStringSlice(rule, "resources")
			if slices.Contains(resources, "secrets") {
				t.Errorf("%s may read Secrets of every namespace", o.GetName())
			}
		}
	}
	if len(texts) != 4 {
		t.Errorf("roles: %v", slices.Sorted(maps.Keys(texts)))
	}
	// With namespaces, there are rights in these only.
	got := names(render(t, "pullSecrets.namespaces=[team-a]"))
	if !slices.Contains(got, "Role team-a/gopherwood-pull-secrets") {
		t.Errorf("got %q", got)
	}
	for _, o := range render(t, "pullSecrets.namespaces=[team-a]") {
		rules, _ := json.Marshal(o.Object["rules"])
		if o.GetKind() == "ClusterRole" && bytes.Contains(rules, []byte("secrets")) {
			t.Errorf("%s: %s", o.GetName(), rules)
		}
	}
}

// Every pod is confined.
func TestPodSecurity(t *testing.T) {
	n := 0
	for _, o := range render(t) {
		if o.GetKind() != kindDeployment {
			continue
		}
		n++
		spec, _, _ := unstructured.NestedMap(o.Object, "spec", "template", "spec")
		if ok, _, _ := unstructured.NestedBool(spec, "securityContext", "runAsNonRoot"); !ok {
			t.Errorf("%s may run as root", o.GetName())
		}
		for _, c := range objectsAt(spec, "containers") {
			security, _, _ := unstructured.NestedMap(c, "securityContext")
			want := map[string]any{
				"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
				"capabilities": map[string]any{"drop": []any{"ALL"}},
			}
			if diff := cmp.Diff(want, security); diff != "" {
				t.Errorf("%s: %s", o.GetName(), diff)
			}
		}
	}
	if n != 2 {
		t.Errorf("%d deployments", n)
	}
}

// The namespaces that a deadlock would begin in are exempt, once each.
func TestExemptNamespaces(t *testing.T) {
	for settings, want := range map[string][]any{
		"webhook.exemptNamespaces=[kube-system]":                     {DefaultNamespace, "kube-system"},
		"webhook.exemptNamespaces=[]":                                {DefaultNamespace},
		"webhook.exemptNamespaces=[" + DefaultNamespace + ", other]": {DefaultNamespace, "other"},
	} {
		for _, o := range render(t, settings) {
			if !isWebhook(o.GetKind()) {
				continue
			}
			workloads := objectsAt(o.Object, "webhooks")[0]
			got := objectsAt(workloads, "namespaceSelector", "matchExpressions")[0]["values"]
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", settings, diff)
			}
		}
	}
}

// An upgrade must not take away what the webhook puts in.
func TestNoAuthorityIsRendered(t *testing.T) {
	for _, o := range render(t) {
		if text, err := json.Marshal(o.Object); err != nil || bytes.Contains(text, []byte("caBundle")) {
			t.Errorf("%s sets caBundle (%v)", o.GetName(), err)
		}
		if _, ok := o.Object["data"]; ok && o.GetKind() == "Secret" {
			t.Errorf("%s sets data", o.GetName())
		}
		if _, ok := o.Object["spec"]; ok && o.GetKind() == "Lease" {
			t.Errorf("%s sets a holder", o.GetName())
		}
	}
}

func TestCRDs(t *testing.T) {
	crds := func(settings ...string) (names []string) {
		for _, o := range render(t, settings...) {
			if o.GetKind() != kindCRD {
				continue
			}
			names = append(names, o.GetName())
			kept := o.GetAnnotations()[keepAnnotation] == keepValue
			if want := slices.Contains(settings, "crds.keep=true"); kept != want {
				t.Errorf("%v: %s is kept: %v", settings, o.GetName(), kept)
			}
			if o.GetLabels()[managedBy] != manager {
				t.Errorf("%s is not managed: %v", o.GetName(), o.GetLabels())
			}
		}
		return names
	}
	own := []string{"clustergopolicies.gopherwood.dev", "gopolicies.gopherwood.dev"}
	if diff := cmp.Diff(own, crds("crds.reports=false")); diff != "" {
		t.Error(diff)
	}
	for _, name := range append(own, "policyreports.wgpolicyk8s.io") {
		if !slices.Contains(crds("crds.keep=true"), name) {
			t.Errorf("%s is missing", name)
		}
	}
	if got := crds("crds.install=false", "crds.reports=false"); got != nil {
		t.Errorf("got %q", got)
	}
}

func TestValues(t *testing.T) {
	c := load(t)
	values, err := c.Values(
		[]ValuesFile{{"a", []byte("webhook: {replicas: 4, nodeSelector: {zone: a}}\nfleet: {enabled: false}")}, {"b", []byte(`{"webhook": {"replicas": 5}}`)}},
		[]string{"webhook.timeoutSeconds=7", `commonLabels.app\.example/x=z`, "image.pullSecrets[0]=one", "image.pullSecrets[1]=two", "image.tag="},
	)
	if err != nil {
		t.Fatal(err)
	}
	webhook := values["webhook"].(map[string]any)
	for what, pair := range map[string][2]any{
		"later file":  {webhook["replicas"], json.Number("5")},
		"default":     {webhook["fetches"], json.Number("2")},
		"setting":     {webhook["timeoutSeconds"], json.Number("7")},
		"merged":      {webhook["nodeSelector"], map[string]any{"kubernetes.io/os": "linux", "zone": "a"}},
		"escaped key": {values["commonLabels"], map[string]any{"app.example/x": "z"}},
		"list":        {values["image"].(map[string]any)["pullSecrets"], []any{"one", "two"}},
		"empty text":  {values["image"].(map[string]any)["tag"], ""},
	} {
		if diff := cmp.Diff(pair[1], pair[0]); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}

func TestBadValues(t *testing.T) {
	c := load(t)
	for text, want := range map[string]string{
		"webhook: {replica: 3}":                        "webhook.replica: there is no such value; did you mean replicas?",
		"weebhook: {}":                                 "weebhook: there is no such value; did you mean webhook?",
		"image: {nonsense: 1}":                         "image.nonsense: there is no such value; there are digest, pullPolicy",
		"webhook: {replicas: 0}":                       "webhook.replicas: want at least 1, got 0",
		"webhook: {replicas: 1000}":                    "want at most 100, got 1000",
		"webhook: {replicas: two}":                     "want a whole number, got text",
		"webhook: {replicas: 1.5}":                     "want a whole number, got a number",
		"webhook: 3":                                   "webhook: want keys with values, got a whole number",
		"image: {digest: x}":                           `image.digest: "x" has not the form`,
		"image: {repository: ''}":                      "image.repository: must not be empty",
		"registries: {mirrors: {a: []}}":               "registries.mirrors.a: want at least 1 in the list, got 0",
		"registries: {mirrors: {a: [b]}}":              `registries.mirrors.a[0]: "b" has not the form`,
		"webhook: {failurePolicy: {workloads: Maybe}}": `want one of ["Fail" "Ignore"], got "Maybe"`,
		"fleet: {extraEnv: [{value: x}]}":              "fleet.extraEnv[0]: needs name",
		"crds: {keep: 'yes'}":                          "want true or false, got text",
		"a: [":                                         "line 1",
		"logLevel: info\nlogLevel: warn":               `"logLevel" already`,
		"- a":                                          "",
	} {
		_, err := c.Values([]ValuesFile{{"v.yaml", []byte(text)}}, nil)
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "v.yaml") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := c.Values([]ValuesFile{{"v.yaml", make([]byte, MaxValues+1)}}, nil); fault.CodeOf(err) != fault.Limit {
		t.Errorf("a large file: %v", err)
	}
	for _, setting := range []string{"", "a", "=b", "a..b=c", ".a=b", "a.=b", "a[=b", "a[x]=b", "a[99999]=b", "a[0]b=c", "logLevel.x=1", "logLevel[0]=1", "image.pullSecrets[3]=x", "a=[", strings.Repeat("a.", 40) + "a=1"} {
		if _, err := c.Values(nil, []string{setting}); fault.CodeOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%q: %v", setting, err)
		}
	}
	if _, err := c.Values(nil, []string{"webhook.replica=3"}); fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.HintOf(err), "--show-values") {
		t.Errorf("an unknown setting: %v", err)
	}
}

// Null takes a value away, as it does with Helm.
func TestNull(t *testing.T) {
	c := load(t)
	for _, o := range []struct {
		files    []ValuesFile
		settings []string
	}{
		{[]ValuesFile{{"v", []byte("webhook: {nodeSelector: null}")}}, nil},
		{nil, []string{"webhook.nodeSelector=null"}},
	} {
		values, err := c.Values(o.files, o.settings)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := c.Render(Release{Name: DefaultRelease, Namespace: DefaultNamespace}, values)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if _, ok, _ := unstructured.NestedMap(o.Object, "spec", "template", "spec", "nodeSelector"); ok && o.GetName() == "gopherwood-webhook" {
				t.Error("there is still a nodeSelector")
			}
		}
	}
}

// What Helm's JSON Schema says of values is what the own check says.
func TestSchemaAgrees(t *testing.T) {
	c := load(t)
	text, err := fs.ReadFile(deploy.Chart(), "values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("values.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := c.Values(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrong := []any{nil, "\x00 no", json.Number("-1"), json.Number("1.5"), json.Number("1e9"), true, []any{}, []any{map[string]any{}}, map[string]any{"x": json.Number("1")}}
	judged := 0
	var visit func(path []any, value any)
	visit = func(path []any, value any) {
		for _, w := range wrong {
			changed, err := put(defaults, path, w)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := changed.(map[string]any); !ok {
				continue
			}
			helm, own := schema.Validate(changed), c.schema.check("", changed)
			if (helm == nil) != (len(own) == 0) {
				t.Errorf("%v = %v: Helm says %v, own check %v", path, w, helm, own)
			}
			judged++
		}
		if object, ok := value.(map[string]any); ok {
			for key, below := range object {
				visit(append(slices.Clone(path), key), below)
			}
		}
	}
	visit(nil, defaults)
	if judged < 500 {
		t.Errorf("only %d values were judged", judged)
	}
}

// Every value that the schema has stands in values.yaml, with its meaning, and in
// the guide.
func TestValuesAreDocumented(t *testing.T) {
	c := load(t)
	values, err := c.Values(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var visit func(path string, s *valueSchema, object map[string]any)
	visit = func(path string, s *valueSchema, object map[string]any) {
		for key, of := range s.Properties {
			value, ok := object[key]
			if !ok && path+key != "global" && !strings.Contains(path, "resources") && !strings.Contains(path, "issuerRef") {
				t.Errorf("%s%s has no default in values.yaml", path, key)
			}
			if below, ok := value.(map[string]any); ok {
				visit(path+key+".", of, below)
			}
		}
	}
	visit("", c.schema, values)
	guide, err := os.ReadFile("../../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	for key := range values {
		if !strings.Contains(string(guide), "`"+key) {
			t.Errorf("docs/install.md does not name %s", key)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	valid := func() fstest.MapFS {
		return fstest.MapFS{
			"Chart.yaml":         {Data: []byte("name: x\nversion: 1.0.0")},
			"values.yaml":        {Data: []byte("a: 1")},
			"values.schema.json": {Data: []byte(`{"type": "object"}`)},
			"templates/a.yaml":   {Data: []byte("kind: A\napiVersion: v1\nmetadata: {name: {{ .Release.Name }}}")},
		}
	}
	if _, err := Load(valid()); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"templates/b.yaml":   "{{ lookup \"v1\" }}", // a function of Helm that is not here
		"templates/c.yaml":   "{{ if }}",
		"values.schema.json": `{"oneOf": []}`, // a keyword that is not here
		"Chart.yaml":         "version: 1",
	} {
		dir := valid()
		dir[name] = &fstest.MapFile{Data: []byte(text)}
		if _, err := Load(dir); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name := range valid() {
		dir := valid()
		delete(dir, name)
		if _, err := Load(dir); (err == nil) != (name == "templates/a.yaml") {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// What templates refuse is about values, in the words of the template.
func TestTemplateRefusal(t *testing.T) {
	c, err := Load(fstest.MapFS{
		"Chart.yaml": {Data: []byte("name: x")}, "values.yaml": {Data: []byte("a: ''")}, "values.schema.json": {Data: []byte("{}")},
		"templates/a.yaml": {Data: []byte(`{{ required "a must be set" .Values.a }}{{ fail "never" }}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := Release{Name: "x", Namespace: "y"}
	_, err = c.Render(r, map[string]any{"a": ""})
	if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "read values: a must be set") {
		t.Errorf("got %v", err)
	}
	if _, err = c.Render(r, map[string]any{"a": "b"}); !strings.Contains(err.Error(), "never") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []Release{{Name: "X", Namespace: "y"}, {Name: "x", Namespace: "a/b"}, {Name: "x"}} {
		if _, err := c.Render(bad, nil); fault.CodeOf(err) != fault.Usage {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func FuzzSet(f *testing.F) {
	for _, s := range everything {
		f.Add(s)
	}
	f.Add(`a\.b[0][1].c=null`)
	f.Fuzz(func(t *testing.T, setting string) {
		values := map[string]any{"a": map[string]any{"b": []any{json.Number("1")}}}
		if err := set(values, setting); err != nil && fault.CodeOf(err) != fault.Usage {
			t.Errorf("%q: %v", setting, err)
		}
	})
}

func FuzzValues(f *testing.F) {
	c := load(f)
	f.Add(c.DefaultValues())
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		values, err := c.Values([]ValuesFile{{"f", data}}, nil)
		if err != nil {
			if code := fault.CodeOf(err); code != fault.Invalid && code != fault.Limit {
				t.Errorf("%v", err)
			}
			return
		}
		if _, err := c.Render(Release{Name: "x", Namespace: "y"}, values); err != nil && fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%v", err)
		}
	})
}

func FuzzInventory(f *testing.F) {
	f.Add([]byte(`{"chart":"1","objects":[{"version":"v1","kind":"A","name":"b"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := parseInventory(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseInventory(text)
		if err != nil || len(again.Objects) != len(v.Objects) {
			t.Errorf("%s: %v", text, err)
		}
	})
}

func TestRemoveOrder(t *testing.T) {
	ids := []identity{
		{Version: "v1", Kind: "Namespace", Name: "n"}, {Kind: kindValidating, Name: "v"}, {Kind: "ConfigMap", Name: "c"}, {Kind: kindDeployment, Name: "d"}, {Kind: kindCRD, Name: "x"},
	}
	slices.SortFunc(ids, compareRemove)
	var got []string
	for _, id := range ids {
		got = append(got, id.Kind)
	}
	if diff := cmp.Diff([]string{kindValidating, kindDeployment, "ConfigMap", kindCRD, "Namespace"}, got); diff != "" {
		t.Error(diff)
	}
}
