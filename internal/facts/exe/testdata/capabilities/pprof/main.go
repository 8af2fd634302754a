// Command pprof has the capability it is named after.
package main

import (
	"net/http"
	_ "net/http/pprof"
)

func main() { http.ListenAndServe("localhost:0", nil) }
