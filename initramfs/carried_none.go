//go:build !nlrig_agent

package initramfs

var carried []byte
