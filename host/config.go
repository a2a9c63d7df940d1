//go:build linux

package host

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/nlrig/nlrig/kernels"
)

// maxConfig bounds a configuration that a guest sends; real ones are below
// 300 kB.
const maxConfig = 4 << 20

// option is an option's value as the kernel's own /proc/config.gz has it, "n"
// for one that is not set.
func (s *session) option(name string) (value string, known bool) {
	return optionOf(s.config(), name)
}

func optionOf(config map[string]string, name string) (value string, known bool) {
	if len(config) == 0 {
		return "", false
	}
	if value, ok := config[name]; ok {
		return value, true
	}
	return "n", true
}

func (s *session) readConfig() map[string]string {
	if s.hello == nil {
		return nil
	}
	r, err := gzip.NewReader(bytes.NewReader(s.hello.Config))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r, maxConfig))
	if err != nil {
		return nil
	}
	return kernels.ParseConfig(string(text))
}

// bootConfig reads the running kernel's from where distributions put it.
func bootConfig() func(string) (string, bool) {
	config := sync.OnceValue(func() map[string]string {
		var u unix.Utsname
		_ = unix.Uname(&u) // cannot fail: the buffer is ours
		text, _ := os.ReadFile("/boot/config-" + unix.ByteSliceToString(u.Release[:]))
		return kernels.ParseConfig(string(text))
	})
	return func(name string) (string, bool) { return optionOf(config(), name) }
}
