package credential

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// maxNetrc bounds the netrc file in bytes.
const maxNetrc = 1 << 20

// netrcPath is where the go command looks for the file.
func netrcPath(env map[string]string) string {
	if path := env["NETRC"]; path != "" {
		return path
	}
	home := env["HOME"]
	if runtime.GOOS == "windows" {
		home = env["USERPROFILE"]
		if old := filepath.Join(home, "_netrc"); home != "" && exists(old) {
			return old
		}
	}
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".netrc")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// parseNetrc reads the format of GNU Inetutils' "The .netrc file", as the go
// command does. Of several entries for one machine the first counts; the default
// entry, which would give its password to any host, does not.
func parseNetrc(data string) map[string]Login {
	found := map[string]Login{}
	var machine string
	var l Login
	inMacro := false
	for line := range strings.SplitSeq(data, "\n") {
		if inMacro {
			inMacro = line != ""
			continue
		}
		fields := strings.Fields(line)
		for len(fields) >= 2 && fields[0] != "default" {
			switch fields[0] {
			case "machine":
				machine, l = strings.ToLower(fields[1]), Login{}
			case "login":
				l.User = fields[1]
			case "password":
				l.Password = fields[1]
			case "macdef":
				inMacro = true
			}
			if _, known := found[machine]; !known && machine != "" && l.User != "" && l.Password != "" {
				found[machine] = l
			}
			fields = fields[2:]
		}
		if len(fields) > 0 && fields[0] == "default" {
			return found
		}
	}
	return found
}

func readNetrc(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxNetrc+1))
	if err == nil && len(data) > maxNetrc {
		err = &fault.Error{Code: fault.Limit, Err: fmt.Errorf("it has more than %d bytes", maxNetrc)}
	}
	return data, err
}
