package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
)

var (
	owner = Owner{Namespace: "team-a", APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "11111111-2222-3333"}
	day   = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
)

func result(container, rule string, outcome Outcome) Result {
	return Result{Policy: "base", Rule: rule, Result: outcome, Scored: true, Message: "m",
		Properties: map[string]string{PropertyContainer: container, PropertyImage: "i"}}
}

// The same results in any order, and said twice, are the same report.
func TestDeterministic(t *testing.T) {
	a, b, c := result("x", "r/1", Fail), result("x", "r/2", Warn), result("y", "", Pass)
	one, err := json.Marshal(New(owner, []Result{a, b, c}, nil, day))
	if err != nil {
		t.Fatal(err)
	}
	two, err := json.Marshal(New(owner, []Result{c, b, a, b}, nil, day))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(one), string(two)); diff != "" {
		t.Error(diff)
	}
}

// A result keeps the time when it was first found; one that is new has its own.
func TestTimestamps(t *testing.T) {
	first := New(owner, []Result{result("x", "r/1", Fail), result("x", "r/2", Warn)}, nil, day)
	later := day.Add(24 * time.Hour)
	same := New(owner, []Result{result("x", "r/2", Warn), result("x", "r/1", Fail)}, first, later)
	if !same.Equal(first) {
		t.Error("the same results make another report")
	}
	changed := New(owner, []Result{result("x", "r/1", Fail), result("x", "r/3", Warn)}, first, later)
	if changed.Equal(first) {
		t.Error("other results make the same report")
	}
	got := map[string]int64{}
	for _, r := range changed.Results {
		got[r.Rule] = r.Timestamp.Seconds
	}
	if diff := cmp.Diff(map[string]int64{"r/1": day.Unix(), "r/3": later.Unix()}, got); diff != "" {
		t.Error(diff)
	}
	if first.Summary != (Summary{Fail: 1, Warn: 1}) {
		t.Errorf("%+v", first.Summary)
	}
}

// What a hostile image says is bounded, and the gravest results stay.
func TestBounds(t *testing.T) {
	var all []Result
	for i := range 1000 {
		r := result("x", fmt.Sprint("r/", i), Warn)
		r.Message = strings.Repeat("ü\xff", 5000)
		r.Properties[PropertyFix] = strings.Repeat("x", 10_000)
		all = append(all, r)
	}
	all = append(all, result("z", "z/last", Fail))
	r := New(owner, all, nil, day)
	if len(r.Results) != maxResults || r.Summary.Fail != 1 {
		t.Errorf("%d results, %+v", len(r.Results), r.Summary)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 1<<20 {
		t.Errorf("%d bytes", len(data))
	}
}

func TestReportName(t *testing.T) {
	for _, name := range []string{"web", strings.Repeat("a", 253), strings.Repeat("b", 251) + ".c"} {
		o := owner
		o.Name = name
		if problems := validation.IsDNS1123Subdomain(o.ReportName()); problems != nil {
			t.Errorf("%s: %v", o.ReportName(), problems)
		}
	}
	other := owner
	other.UID = "99999999-2222"
	if owner.ReportName() == other.ReportName() {
		t.Error("a workload that comes after one of the same name has the same report")
	}
}

func TestMissing(t *testing.T) {
	gr := Resource.GroupResource()
	api := apierrors.NewGenericServerResponse(404, "patch", gr, "x", "404 page not found", 0, true)
	namespace := apierrors.NewNotFound(gr, "team-a")
	if !Missing(failed("write", "x", api)) || Gone(api) {
		t.Error("an API that is not there is not seen")
	}
	if Missing(failed("write", "x", namespace)) || !Gone(failed("write", "x", namespace)) {
		t.Error("a namespace that is not there is taken for a missing API")
	}
}

func FuzzCut(f *testing.F) {
	f.Add("äöü\xff", 5)
	f.Fuzz(func(t *testing.T, s string, n int) {
		most := 3 + max(0, n)%100
		if got := cut(s, most); len(got) > most || !json.Valid([]byte(fmt.Sprintf("%q", got))) && strings.ToValidUTF8(got, "") != got {
			t.Errorf("cut(%q, %d) = %q", s, most, got)
		}
	})
}
