//go:build linux

package child

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const helperEnv = "NLRIG_TEST_CHILD"

// TestMain is also the parent that TestDiesWithItsParent kills.
func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		p, err := Start(Command(context.Background(), "sleep", "600"))
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString(strconv.Itoa(p.Cmd.Process.Pid) + "\n")
		select {}
	}
	os.Exit(m.Run())
}

func TestDiesWithItsParent(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line := make([]byte, 16)
	n, err := out.Read(line)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, 0), "the child runs")
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed
	assert.Eventually(t, func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) }, 2*time.Second, 5*time.Millisecond)
}

// zombie says that pid is dead, and that its new parent has not noticed yet.
func zombie(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(b), ") Z ")
}

func TestFailure(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{"exit 0", ""},
		{"exit 7", "ended with status 7"},
		{"kill -9 $$", "was killed by SIGKILL"},
	} {
		p, err := Start(Command(t.Context(), "sh", "-c", tt.script))
		require.NoError(t, err)
		require.True(t, p.Within(10*time.Second))
		assert.Equal(t, tt.want, p.Failure(), tt.script)
	}
	p, err := Start(Command(t.Context(), "sleep", "600"))
	require.NoError(t, err)
	assert.False(t, p.Within(time.Millisecond))
	assert.Empty(t, p.Failure(), "it runs")
	p.End()
	assert.Empty(t, p.Failure(), "End ended it")
}
