//go:build nlrig_agent

package initramfs

import _ "embed"

// carried is what make built beforehand.
//
//go:embed agent.bin
var carried []byte
