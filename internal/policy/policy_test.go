package policy_test

import (
	"testing"
	"time"

	"github.com/gopherwood-dev/gopherwood/internal/policy"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
)

func setting(day string) policy.Setting {
	today, err := time.Parse(time.DateOnly, day)
	if err != nil {
		panic(err)
	}
	return policy.Setting{Today: today, Matrix: matrix.Embedded(false)}
}

func TestDefaultPolicyCases(t *testing.T) {
	results := policy.Default().Test(t.Context(), setting("2026-11-22"))
	if len(results) < 20 {
		t.Errorf("the default policy has only %d cases", len(results))
	}
	for _, r := range results {
		for _, p := range r.Problems {
			t.Errorf("%s: %s\n%+v", r.Name, p, r.Verdict.Findings)
		}
	}
}
