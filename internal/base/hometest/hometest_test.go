package hometest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopherwood-dev/gopherwood/internal/base/hometest"
)

func TestNew(t *testing.T) {
	home := hometest.New(t)
	cmd := exec.Command("go", "env", "GOTELEMETRY")
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "AppData=" + filepath.Join(home, ".config")}
	out, err := cmd.Output()
	if err != nil || strings.TrimSpace(string(out)) != "off" {
		t.Errorf("go env GOTELEMETRY: %q, %v", out, err)
	}
	if _, err := os.Stat(filepath.Join(home, ".config", "go", "telemetry", "local")); err == nil {
		t.Error("the go command counts")
	}
}
