package host

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/nlrig/nlrig/"

// layers are the project's folders from the bottom up. A package imports
// those of its own layer and of those below.
var layers = [][]string{
	{"vmtest/nlmsg", "vmtest/nlcase", "vmtest/cases", "vmtest/wire", "vmtest/lack", "kernels/child", "kernels/cachedir", "kernels/configs", "kernels/build", "host/report", "host/gotest", "guest/layout", "guest/klog"},
	{"host/console", "host/search"},
	{"kernels/emulated", "kernels/local"},
	{"guest", "guest/agent"},
	{"initramfs", "kernels"},
	{"host/qemu", "host/uml"},
	{"host"},
	{"host/fuzz", "host/bisect"},
	{"vmtest"},
	{"host/nlrig"},
}

// forbidden are imports, direct or not, that a package must not have.
var forbidden = []struct{ pkg, dep, reason string }{
	{"guest/agent", module + "host", "the guest is not part of the host, and is kept small"},
	{"guest/agent", module + "kernels/emulated", "a real kernel's answers are never made up"},
	{"guest/agent", "net", "a megabyte of agent, for what three system calls do"},
	{"guest/agent", "encoding/json", "reflection is slow to start under TCG"},
	{"guest/agent", "regexp", "its tables are slow to start under TCG"},
	{"vmtest/nlmsg", "golang.org/x/sys/unix", "a decoder of netlink messages works on any OS"},
	{"vmtest/nlcase", "golang.org/x/sys/unix", "cases are played on an emulated kernel on any OS, too"},
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestImports(t *testing.T) {
	layer := map[string]int{}
	for i, l := range layers {
		for _, p := range l {
			layer[module+p] = i + 1
		}
	}
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...") {
		pkg, imports, _ := strings.Cut(line, " ")
		require.NotZero(t, layer[pkg], "%s has no place in the layers", pkg)
		for _, dep := range strings.Fields(imports) {
			if strings.HasPrefix(dep, module) && layer[dep] > layer[pkg] {
				t.Errorf("%s imports %s, which is above it", pkg, dep)
			}
		}
	}
	for _, f := range forbidden {
		for _, dep := range goList(t, "-deps", module+f.pkg) {
			if dep == f.dep {
				t.Errorf("%s depends on %s: %s", f.pkg, f.dep, f.reason)
			}
		}
	}
}
