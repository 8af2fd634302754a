package gate

import (
	"archive/zip"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// maxLicences is how many names LicenceFiles returns.
const maxLicences = 20

// licenceName matches the names of licence files in lower case: LICENSE,
// LICENCE.md, COPYING, LICENSE-MIT, MIT-LICENSE.txt, UNLICENSE, COPYRIGHT.
var licenceName = regexp.MustCompile(`^((un)?licen[cs]es?|copying|copyright)([-._].*)?$|^[a-z0-9.]+[-_](licen[cs]e|copying)(\.(md|markdown|txt|rst))?$`)

// LicenceFiles returns the names of the licence files at the root of a module's
// zip, sorted. Source files such as license.go are none.
func LicenceFiles(z *zip.Reader, m module.Version) []string {
	root := m.Path + "@" + m.Version + "/"
	var names []string
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, root)
		if !ok || strings.Contains(name, "/") || f.UncompressedSize64 == 0 || !isLicence(name) {
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names[:min(len(names), maxLicences)]
}

func isLicence(name string) bool {
	name = strings.ToLower(name)
	return licenceName.MatchString(name) && !strings.HasSuffix(name, ".go")
}
