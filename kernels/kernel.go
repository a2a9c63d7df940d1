package kernels

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ConfigValue is an option's value in the kernel's configuration: "y", "m",
// a number, a string without its quotes; "n" for one that is not set. known
// is false when no configuration came with the kernel.
func (k *Kernel) ConfigValue(option string) (value string, known bool) {
	values := k.config()
	if values == nil {
		return "", false
	}
	if value, ok := values[option]; ok {
		return value, true
	}
	return "n", true
}

func (k *Kernel) readConfig() map[string]string {
	if k.Config == "" {
		return nil
	}
	text, err := os.ReadFile(k.Config)
	if err != nil {
		return nil
	}
	return ParseConfig(string(text))
}

// ParseConfig reads a kernel's configuration, "CONFIG_NET=y" a line. What is
// not set is not in it.
func ParseConfig(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && strings.HasPrefix(name, "CONFIG_") {
			values[name] = strings.Trim(value, `"`)
		}
	}
	return values
}

func (k *Kernel) readIndex() (*moduleIndex, error) {
	text, err := os.ReadFile(filepath.Join(k.dir, nameModules))
	if err != nil {
		return nil, fmt.Errorf("kernel %s: list of modules: %w", k.Version, err)
	}
	x := new(moduleIndex)
	if err := json.Unmarshal(text, x); err != nil {
		return nil, fmt.Errorf("kernel %s: list of modules: %w", k.Version, err)
	}
	return x, nil
}
