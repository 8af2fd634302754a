// Command http-client has the capability it is named after.
package main

import "net/http"

func main() { http.Get("http://localhost:1") }
