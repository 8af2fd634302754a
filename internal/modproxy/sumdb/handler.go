package sumdb

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	textType = "text/plain; charset=utf-8"
	tileType = "application/octet-stream"
)

// ServeHTTP answers the requests of a go command to a proxy that serves the
// database: /sumdb/NAME/supported, latest, lookup/MODULE@VERSION and tile/….
// The go command prints the first lines of what is answered instead.
func (d *DB) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/sumdb/"+d.Name()+"/")
	if !ok || d.name == "" {
		http.Error(w, fmt.Sprintf("this proxy does not serve that checksum database; its own is %s", d.Name()), http.StatusNotFound)
		return
	}
	data, kind, err := d.answer(r, rest)
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // a client that went away misses nothing
}

// answer returns what is at the path below the database, and its media type.
func (d *DB) answer(r *http.Request, path string) (data []byte, kind string, err error) {
	what, rest, _ := strings.Cut(path, "/")
	switch {
	case path == "supported":
		return nil, textType, nil
	case path == "latest":
		data, err = d.Latest(r.Context())
		return data, textType, err
	case what == lookupDir:
		m, err := parseLookup(rest)
		if err != nil {
			return nil, "", err
		}
		data, err = d.Lookup(r.Context(), m)
		return data, textType, err
	case what == tileDir:
		t, err := tlog.ParseTilePath(path)
		if err != nil {
			return nil, "", badPath(path, err)
		}
		if t.L < 0 {
			kind = textType
		} else {
			kind = tileType
		}
		data, err = d.Tile(r.Context(), t)
		return data, kind, err
	}
	return nil, "", &fault.Error{Code: fault.NotFound, Op: "checksum database", Input: path, Err: errors.New("there is no such thing")}
}

func badPath(path string, err error) error {
	return &fault.Error{Code: fault.Usage, Op: "checksum database", Input: path, Err: err}
}

// parseLookup reads ESCAPED-PATH@ESCAPED-VERSION.
func parseLookup(s string) (m module.Version, err error) {
	path, version, _ := strings.Cut(s, "@")
	if m.Path, err = module.UnescapePath(path); err != nil {
		return m, badPath(s, err)
	}
	if m.Version, err = module.UnescapeVersion(version); err != nil {
		return m, badPath(s, err)
	}
	return m, checkVersion(m)
}

// statuses are the answers for errors; for others it is the upstream's fault.
var statuses = map[fault.Code]int{
	fault.Usage:       http.StatusBadRequest,
	fault.NotFound:    http.StatusNotFound,
	fault.Denied:      http.StatusForbidden,
	fault.Unavailable: http.StatusServiceUnavailable,
	fault.Canceled:    http.StatusServiceUnavailable,
}

func writeError(w http.ResponseWriter, err error) {
	status, ok := statuses[fault.CodeOf(err)]
	if !ok {
		status = http.StatusBadGateway
	}
	text := err.Error()
	if hint := fault.HintOf(err); hint != "" {
		text += "\n" + hint
	}
	http.Error(w, text, status)
}
