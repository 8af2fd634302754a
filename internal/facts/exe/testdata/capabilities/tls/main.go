// Command tls has the capability it is named after.
package main

import "crypto/tls"

func main() { tls.Dial("tcp", "localhost:1", nil) }
