package image

import "testing"

func TestNamed(t *testing.T) {
	for ref, want := range map[string]bool{
		"registry.example.org/app":    true,
		"localhost/app":               true,
		"localhost:5000/team/app:1.0": true,
		"oci:layout":                  true,
		"docker-archive:file.tar":     true,
		"team/app":                    false,
		"/dir.d/app":                  false,
		"./app":                       false,
		"../app":                      false,
		"app":                         false,
		"example.org":                 false,
	} {
		if got := Named(ref); got != want {
			t.Errorf("Named(%q) = %v", ref, got)
		}
	}
}
