// Package deploy holds the files that bring Gopherwood into a cluster.
package deploy

import (
	"embed"
	"io/fs"
)

//go:embed all:chart
var files embed.FS

// Chart returns the Helm chart: the directory that holds Chart.yaml.
func Chart() fs.FS {
	chart, err := fs.Sub(files, "chart")
	if err != nil {
		panic(err) // the name is valid
	}
	return chart
}
