package emulated

import (
	"golang.org/x/net/bpf"

	"github.com/nlrig/nlrig/vmtest/nlcase"
)

// skFilter runs a receiver's filter. drop says that it does not want the datagram,
// of which the sender is told that n bytes were taken (net/core/filter.c
// sk_filter).
func (sk *Socket) skFilter(skb *skBuff) (n int, drop bool) {
	defer sk.k.enter("sk_filter")()
	sk.mu.Lock()
	defer sk.mu.Unlock()
	return sk.runFilter(skb)
}

// runFilter is skFilter with mu held. What passes is cut to what the filter says.
func (sk *Socket) runFilter(skb *skBuff) (n int, drop bool) {
	if sk.filter == nil {
		return 0, false
	}
	keep, err := sk.filter.Run(skb.data)
	if err != nil || keep == 0 {
		return len(skb.data), true
	}
	if keep < len(skb.data) {
		skb.data = skb.data[:keep:keep]
	}
	return 0, false
}

// maxInstructions is BPF_MAXINSNS.
const maxInstructions = 4096

// compile makes a program ready to run, nil where it cannot be run
// (net/core/filter.c bpf_check_classic).
func compile(prog []nlcase.Instruction) *bpf.VM {
	if len(prog) > maxInstructions {
		return nil
	}
	raw := make([]bpf.RawInstruction, len(prog))
	for i, x := range prog {
		raw[i] = bpf.RawInstruction{Op: x.Code, Jt: x.Jt, Jf: x.Jf, K: x.K}
	}
	p, ok := bpf.Disassemble(raw)
	if !ok {
		return nil
	}
	vm, err := bpf.NewVM(p)
	if err != nil {
		return nil
	}
	return vm
}
