// Command http-server has the capability it is named after.
package main

import "net/http"

func main() { http.ListenAndServe("localhost:0", nil) }
