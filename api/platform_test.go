package api_test

import (
	"testing"

	"github.com/gopherwood-dev/gopherwood/api"
)

func TestParsePlatform(t *testing.T) {
	got, err := api.ParsePlatform("linux/arm/7")
	if want := (api.Platform{OS: "linux", Arch: "arm", Level: "7"}); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	for _, in := range []string{"", "linux", "linux/", "/amd64", "linux/arm/v7/x"} {
		if got, err := api.ParsePlatform(in); err == nil {
			t.Errorf("ParsePlatform(%q) = %v", in, got)
		}
	}
}
