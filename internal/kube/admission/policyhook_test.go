package admission_test

import (
	"net/http"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

func policyRequest(t *testing.T, spec, old *v1alpha1.GoPolicySpec) *admissionv1.AdmissionRequest {
	t.Helper()
	object := func(s *v1alpha1.GoPolicySpec) any {
		if s == nil {
			return nil
		}
		return &v1alpha1.GoPolicy{ObjectMeta: metav1.ObjectMeta{Name: "strict", Labels: map[string]string{"a": "b"}}, Spec: *s}
	}
	req := request(t, object(spec), object(old))
	req.Name, req.Kind = "strict", metav1.GroupVersionKind{Group: "gopherwood.dev", Version: "v1alpha1", Kind: "GoPolicy"}
	return req
}

func TestValidatePolicy(t *testing.T) {
	rule := func(require string) *v1alpha1.GoPolicySpec {
		return &v1alpha1.GoPolicySpec{Rules: []v1alpha1.Rule{{ID: "team/a", Severity: "deny", Message: "m", Require: require}}}
	}
	h := newCluster(t).handler().ValidatePolicy()
	if got := ask(t, h, "/validate-policy", policyRequest(t, rule("file.size > 0"), nil)); !got.Allowed {
		t.Errorf("a good policy: %s", shown(got))
	}
	bad := rule("file.size > 0 && file.sice > 1")
	got := ask(t, h, "/validate-policy", policyRequest(t, bad, nil))
	if got.Allowed || got.Result.Code != http.StatusUnprocessableEntity || !strings.Contains(got.Result.Message, "GoPolicy strict does not compile:\n  spec.rules[0].require:1:") {
		t.Errorf("a bad policy: %s", shown(got))
	}
	if got := ask(t, h, "/validate-policy", policyRequest(t, bad, rule("true"))); got.Allowed {
		t.Error("a bad change was admitted")
	}
	if got := ask(t, h, "/validate-policy", policyRequest(t, bad, bad)); !got.Allowed {
		t.Errorf("labels of a bad policy: %s", shown(got))
	}
	status := policyRequest(t, bad, nil)
	status.SubResource = "status"
	if got := ask(t, h, "/validate-policy", status); !got.Allowed {
		t.Errorf("status of a bad policy: %s", shown(got))
	}
}
