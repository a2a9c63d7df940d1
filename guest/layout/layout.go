// Package layout names the files of the initramfs that the agent reads and
// package initramfs writes.
package layout

const (
	// Init is the agent.
	Init = "/init"
	// ModulesDir holds the modules of the transport. Their names sort in
	// load order.
	ModulesDir = "/modules"
	// Shelf holds modules that the host need not send: it names them.
	Shelf = "/shelf"
	// AgentSum is a file with the SHA-256 of the agent, in hex.
	AgentSum = "/agent.sha256"
	// Shell is there only in the initramfs of nlrig shell, with the other
	// commands of its directory.
	Shell = "/bin/gosh"
	// WarmUp is a word of the kernel's command line, and with it of init's
	// environment: the VM is to be kept as an image.
	WarmUp = "nlrig_warm_up"
	// Port is another such word: the terminal that is the port, where there is
	// no virtio-serial.
	Port = "nlrig_port"
	// Acks is a second one, where a byte says that the port is open, and each
	// byte after it that Chunk more bytes have been read from it.
	Acks  = "nlrig_acks"
	Chunk = 1024
	// Path is where a shell finds commands: modprobe is the agent.
	Path = "/bin:/sbin"
	// Share is a word of the kernel's command line, and with it of init's
	// environment: where, in bytes, the memory begins that the host has, too.
	// Only a VM for programs has it.
	Share = "nlrig_share"
	// NoLoopback is such a word, too: lo stays down.
	NoLoopback = "nlrig_no_lo"
	// ShareSize is its size.
	ShareSize = 64 << 20
)

// Shelved is the file of a module there.
func Shelved(module string) string { return Shelf + "/" + module + ".ko" }
