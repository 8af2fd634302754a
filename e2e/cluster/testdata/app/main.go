// Command app is what the tests run in pods: an HTTP server, a client, and an
// admission webhook.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "get":
		get(os.Args[2])
	case len(os.Args) == 2 && os.Args[1] == "webhook":
		http.HandleFunc("/", review)
		log.Fatal(http.ListenAndServeTLS(":8443", "/tls/tls.crt", "/tls/tls.key", nil))
	default:
		fmt.Println("serving")
		http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
		log.Fatal(http.ListenAndServe(":8080", nil))
	}
}

func get(url string) {
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get(url)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		log.Fatal(err)
	}
}

// review refuses everything that is called refused.
func review(w http.ResponseWriter, r *http.Request) {
	var in struct {
		APIVersion string
		Kind       string
		Request    struct{ UID, Name string }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"apiVersion": in.APIVersion, "kind": in.Kind,
		"response": map[string]any{
			"uid": in.Request.UID, "allowed": in.Request.Name != "refused",
			"status": map[string]any{"message": "the name says it"},
		},
	})
}
