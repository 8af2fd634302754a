// Command embedded-ca-roots has the capability it is named after.
package main

import (
	"crypto/tls"

	_ "golang.org/x/crypto/x509roots/fallback"
)

func main() { tls.Dial("tcp", "localhost:1", nil) }
