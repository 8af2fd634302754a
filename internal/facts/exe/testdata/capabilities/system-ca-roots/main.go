// Command system-ca-roots has the capability it is named after.
package main

import "crypto/x509"

func main() { x509.SystemCertPool() }
