package pullsecret

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// cluster is an API server that only answers Get.
type cluster struct {
	client.Reader // nil: whatever else is asked panics
	secrets       map[string]*corev1.Secret
	accounts      map[string]*corev1.ServiceAccount
	err           error
	gets          atomic.Int64
}

func (c *cluster) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	c.gets.Add(1)
	if c.err != nil {
		return c.err
	}
	name := key.String()
	switch into := into.(type) {
	case *corev1.Secret:
		if s := c.secrets[name]; s != nil {
			s.DeepCopyInto(into)
			return nil
		}
	case *corev1.ServiceAccount:
		if a := c.accounts[name]; a != nil {
			a.DeepCopyInto(into)
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "objects"}, key.Name)
}

func secret(content string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(content)}}
}

// auths is a configuration that gives each place a user of the same name.
func auths(places ...string) string {
	var all []string
	for _, p := range places {
		all = append(all, fmt.Sprintf("%q: {\"auth\": %q}", p, base64.StdEncoding.EncodeToString([]byte(p+":secret"))))
	}
	return `{"auths": {` + strings.Join(all, ", ") + `}}`
}

func refs(names ...string) (list []corev1.LocalObjectReference) {
	for _, n := range names {
		list = append(list, corev1.LocalObjectReference{Name: n})
	}
	return list
}

func find(t *testing.T, k facts.Keychain, repository string) (users []string) {
	t.Helper()
	all, err := k.Find(t.Context(), repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		users = append(users, c.Username)
	}
	return users
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		repository string
		places     []string
		want       []string
	}{
		{"registry.example/app", []string{"registry.example", "other.example"}, []string{"registry.example"}},
		{"registry.example/app", []string{"https://registry.example", "http://registry.example/v2/"},
			[]string{"https://registry.example", "http://registry.example/v2/"}},
		{"registry.example/team/app", []string{"registry.example", "registry.example/team", "registry.example/other"},
			[]string{"registry.example/team", "registry.example"}},
		{"registry.example/teammate/app", []string{"registry.example/team"}, []string{"registry.example/team"}}, // a prefix, not an element
		{"a.b.example/app", []string{"*.b.example", "*.example", "a.*.example", "a.b.*"}, []string{"a.b.*", "a.*.example", "*.b.example"}},
		{"registry.example:5000/app", []string{"registry.example", "registry.example:5000", "*.example:5000", "registry.example:*"},
			[]string{"registry.example:5000", "*.example:5000"}},
		{"registry.example/app", []string{"registry.example:443", "registry.*.example", "*"}, nil},
		{"docker.io/library/nginx", []string{"https://index.docker.io/v1/"}, []string{"https://index.docker.io/v1/"}},
		{"docker.io/library/nginx", []string{"docker.io", "https://index.docker.io/v1/"}, []string{"docker.io"}},
		{"docker.io/team/app", []string{"docker.io/team", "docker.io"}, []string{"docker.io/team", "docker.io"}},
		{"quay.io/app", []string{"https://index.docker.io/v1/"}, nil},
		{"r-1.example/app", []string{"r-*.example", "r-[0-9].example"}, []string{"r-*.example"}}, // the other is no URL
	} {
		// Docker's hosts are alike for sorting when schemes are taken off, so that
		// equal places keep the order of the secrets.
		data := &cluster{secrets: map[string]*corev1.Secret{}}
		var names []string
		for i, p := range c.places {
			name := fmt.Sprintf("s%d", i)
			names = append(names, name)
			data.secrets["ns/"+name] = secret(auths(p))
		}
		k, err := New(data, time.Minute).Keychain(t.Context(), "ns", "", refs(names...))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, p := range c.want {
			user, _, _ := strings.Cut(p+":secret", ":")
			want = append(want, user)
		}
		if diff := cmp.Diff(want, find(t, k, c.repository)); diff != "" {
			t.Errorf("%s in %q (-want +got)\n%s", c.repository, c.places, diff)
		}
	}
}

func TestParse(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte("user:pass:word"))
	for _, c := range []struct {
		name, content string
		whole         bool
		want          facts.Credentials
		err           string
	}{
		{"auth", `{"auths":{"r.example":{"auth":"` + encoded + `"}}}`, true, facts.Credentials{Username: "user", Password: "pass:word"}, ""},
		{"auth without padding", `{"auths":{"r.example":{"auth":"` + strings.TrimRight(base64.StdEncoding.EncodeToString([]byte("u:pw")), "=") + `"}}}`, true,
			facts.Credentials{Username: "u", Password: "pw"}, ""},
		{"fields", `{"auths":{"r.example":{"username":"u","password":"p"}}}`, true, facts.Credentials{Username: "u", Password: "p"}, ""},
		{"token", `{"auths":{"r.example":{"identitytoken":"t"}}}`, true, facts.Credentials{IdentityToken: "t"}, ""},
		{"dockercfg", `{"r.example":{"username":"u","password":"p","email":"e"}}`, false, facts.Credentials{Username: "u", Password: "p"}, ""},
		{"no JSON", `{"auths": topsecret`, true, facts.Credentials{}, "it is no Docker configuration in JSON"},
		{"no base64", `{"auths":{"r.example":{"auth":"top secret"}}}`, true, facts.Credentials{}, "a field auth is not in base64"},
		{"no colon", `{"auths":{"r.example":{"auth":"dG9wc2VjcmV0"}}}`, true, facts.Credentials{}, "a field auth is not user:password"},
		{"empty", ``, true, facts.Credentials{}, "it is no Docker configuration in JSON"},
		{"large", strings.Repeat(" ", 1<<20+1), true, facts.Credentials{}, "it has more than 1048576 bytes"},
	} {
		entries, err := parse([]byte(c.content), c.whole)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%s: error %v, want %s", c.name, err, c.err)
			}
			continue
		}
		if err != nil || len(entries) != 1 || entries[0].Credentials != c.want {
			t.Errorf("%s: %+v, %v", c.name, entries, err)
		}
	}
}

func TestServiceAccount(t *testing.T) {
	data := &cluster{
		secrets: map[string]*corev1.Secret{"ns/pod": secret(auths("pod.example")), "ns/account": secret(auths("account.example")), "other/pod": secret(auths("other.example"))},
		accounts: map[string]*corev1.ServiceAccount{
			"ns/default": {ImagePullSecrets: refs("account")},
			"ns/bare":    {},
		},
	}
	r := New(data, time.Minute)
	for _, c := range []struct {
		account    string
		secrets    []corev1.LocalObjectReference
		repository string
		want       int
	}{
		{"", nil, "account.example/app", 1},
		{"default", refs("pod"), "account.example/app", 0}, // the pod's replace the account's
		{"default", refs("pod"), "pod.example/app", 1},
		{"bare", nil, "account.example/app", 0},
		{"missing", nil, "account.example/app", 0},
		{"", refs("pod"), "other.example/app", 0}, // that is another namespace's
	} {
		k, err := r.Keychain(t.Context(), "ns", c.account, c.secrets)
		if err != nil {
			t.Fatal(err)
		}
		if got := find(t, k, c.repository); len(got) != c.want {
			t.Errorf("%q %v: %v for %s", c.account, c.secrets, got, c.repository)
		}
	}
}

func TestWarnings(t *testing.T) {
	data := &cluster{secrets: map[string]*corev1.Secret{
		"ns/good":   secret(auths("r.example")),
		"ns/broken": secret(`{"auths": {"r.example": {"auth": "topsecret!"}}}`),
		"ns/opaque": {Type: corev1.SecretTypeOpaque},
	}}
	k, err := New(data, time.Minute).Keychain(t.Context(), "ns", "", refs("missing", "broken", "opaque", "", "good"))
	if err != nil {
		t.Fatal(err)
	}
	if got := find(t, k, "r.example/app"); len(got) != 1 {
		t.Errorf("found %v", got)
	}
	got := k.(interface{ Warnings() []string }).Warnings()
	want := []string{
		"pull secret missing: it does not exist",
		"pull secret broken: a field auth is not in base64",
		`pull secret opaque: its type is "Opaque", not that of a pull secret`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		code fault.Code
	}{
		{apierrors.NewForbidden(schema.GroupResource{}, "s", errors.New("no")), fault.Denied},
		{apierrors.NewServiceUnavailable("down"), fault.Unavailable},
		{errors.New("connection refused"), fault.Unavailable},
	} {
		data := &cluster{err: c.err}
		r := New(data, time.Minute)
		for range 2 { // an error is not remembered
			if _, err := r.Keychain(t.Context(), "ns", "", refs("s")); fault.CodeOf(err) != c.code {
				t.Errorf("%v: got %v, want %s", c.err, err, c.code)
			}
		}
		if n := data.gets.Load(); n != 2 {
			t.Errorf("%v: asked %d times", c.err, n)
		}
	}
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := &cluster{secrets: map[string]*corev1.Secret{"ns/s": secret(auths("r.example"))}}
		r := New(data, 30*time.Second)
		asked := func(want int64) {
			t.Helper()
			if _, err := r.Keychain(t.Context(), "ns", "", refs("s", "missing")); err != nil {
				t.Fatal(err)
			}
			if got := data.gets.Swap(0); got != want {
				t.Errorf("the API server was asked %d times, want %d", got, want)
			}
		}
		asked(2)
		asked(0)
		time.Sleep(3 * time.Second)
		asked(1) // a missing secret is soon looked for again
		time.Sleep(28 * time.Second)
		asked(2)
	})
}

// A fingerprint changes with what would be tried, and with nothing else.
func TestFingerprint(t *testing.T) {
	data := &cluster{secrets: map[string]*corev1.Secret{
		"ns/a": secret(auths("r.example")), "ns/b": secret(auths("r.example", "other.example")),
		"ns/c": secret(`{"auths":{"r.example":{"username":"r.example","password":"changed"}}}`),
		"ns/d": secret(`{"auths":{"r.example":{"username":"r.examplesecret"}}}`),
	}}
	r := New(data, time.Minute)
	fingerprint := func(r *Reader, name string) string {
		k, err := r.Keychain(t.Context(), "ns", "", refs(name))
		if err != nil {
			t.Fatal(err)
		}
		return k.Fingerprint("r.example/app")
	}
	if fingerprint(r, "a") != fingerprint(r, "b") {
		t.Error("credentials of another registry change the fingerprint")
	}
	if fingerprint(r, "a") == fingerprint(r, "c") || fingerprint(r, "a") == fingerprint(r, "d") || fingerprint(r, "a") == fingerprint(r, "missing") {
		t.Error("other credentials have the same fingerprint")
	}
	if fingerprint(r, "a") == fingerprint(New(data, time.Minute), "a") {
		t.Error("the fingerprint is the same in another process")
	}
	if fingerprint(r, "missing") != "" || strings.Contains(fingerprint(r, "a"), "secret") {
		t.Error("the fingerprint is not a fingerprint")
	}
}

// Nothing that is printed by accident tells a secret.
func TestPrinted(t *testing.T) {
	data := &cluster{secrets: map[string]*corev1.Secret{"ns/s": secret(auths("r.example"))}}
	k, err := New(data, time.Minute).Keychain(t.Context(), "ns", "", refs("s"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := k.Find(t.Context(), "r.example/app")
	if err != nil || len(all) != 1 || all[0].Password != "secret" {
		t.Fatalf("%v, %v", all, err)
	}
	written, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", k, k, k, k), fmt.Sprintf("%v %+v %#v", all, all, all[0]), string(written)} {
		if strings.Contains(strings.ReplaceAll(text, "pull secrets", ""), "secret") {
			t.Error(text)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{auths("r.example", "https://index.docker.io/v1/"), `{"auths":{"[::1":{"auth":"eA=="}}}`, `{"a":{"username":"u"}}`, `{}`, `[`} {
		f.Add([]byte(s), true, "r.example/app")
		f.Add([]byte(s), false, "docker.io/library/nginx")
	}
	f.Fuzz(func(t *testing.T, data []byte, whole bool, repository string) {
		entries, err := parse(data, whole)
		if err != nil && len(entries) > 0 {
			t.Error("entries of a configuration that is wrong")
		}
		k := &Keychain{entries: entries, key: []byte("key")}
		found := k.find(repository)
		if len(found) > len(entries) || len(found) > maxTried {
			t.Errorf("%d credentials of %d", len(found), len(entries))
		}
		if (k.Fingerprint(repository) == "") != (len(found) == 0) {
			t.Error("the fingerprint does not say whether there are credentials")
		}
	})
}
