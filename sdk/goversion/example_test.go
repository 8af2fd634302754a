package goversion_test

import (
	"fmt"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

func ExampleRequire() {
	// In main, before anything else:
	if err := goversion.Require("1.21"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("new enough")
	// Output: new enough
}

func ExampleParse() {
	v, err := goversion.Parse("go1.22.5-acme.1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(v.MinorString(), v.Number, v.Suffix, v.Prerelease())
	// Output: 1.22 5 -acme.1 false
}

func ExampleCompare() {
	for _, pair := range [][2]string{{"go1.21rc2", "go1.21.0"}, {"go1.9", "go1.10"}, {"1.21.3", "go1.21.3-acme"}} {
		order, err := goversion.Compare(pair[0], pair[1])
		fmt.Println(pair, order, err)
	}
	// Output:
	// [go1.21rc2 go1.21.0] -1 <nil>
	// [go1.9 go1.10] -1 <nil>
	// [1.21.3 go1.21.3-acme] 0 <nil>
}

func ExampleInfo() {
	info := goversion.Info()
	fmt.Println(strings.Contains(info.Version, "go1."))
	// Output: true
}
