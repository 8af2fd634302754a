// Command expvar has the capability it is named after.
package main

import (
	_ "expvar"
	"net/http"
)

func main() { http.ListenAndServe("localhost:0", nil) }
