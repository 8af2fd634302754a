package gopolicy

import (
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/gopherwood-dev/gopherwood/api/k8s/v1alpha1"
)

// The policies of the documentation compile, and its status has the fields of one.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/formats/gopolicy.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	if len(blocks) != 3 {
		t.Fatalf("%d blocks of YAML, want 3", len(blocks))
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		var p v1alpha1.ClusterGoPolicy
		if err := yaml.UnmarshalStrict([]byte(block), &p); err != nil {
			t.Errorf("%v in\n%s", err, block)
		}
		if problems := Validate(&p.Spec); len(problems) > 0 {
			t.Errorf("%v in\n%s", problems, block)
		}
		if kept := p.Status.InForce; kept != nil && len(Validate(&kept.Spec)) > 0 {
			t.Errorf("%v in\n%s", Validate(&kept.Spec), block)
		}
	}
}
