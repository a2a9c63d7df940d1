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
	keep, ok := interpret(sk.filter, skb.data)
	if !ok || keep == 0 {
		return len(skb.data), true
	}
	if keep < len(skb.data) {
		skb.data = skb.data[:keep:keep]
	}
	return 0, false
}

func raw(prog []nlcase.Instruction) []bpf.RawInstruction {
	r := make([]bpf.RawInstruction, len(prog))
	for i, x := range prog {
		r[i] = bpf.RawInstruction{Op: x.Code, Jt: x.Jt, Jf: x.Jf, K: x.K}
	}
	return r
}

// checkFilter says whether a program can be run (net/core/filter.c
// bpf_check_classic).
func checkFilter(prog []nlcase.Instruction) bool {
	p, ok := bpf.Disassemble(raw(prog))
	if !ok {
		return false
	}
	_, err := bpf.NewVM(p)
	return err == nil
}

// interpret runs a program over a datagram.
func interpret(prog []nlcase.Instruction, b []byte) (keep int, ok bool) {
	p, _ := bpf.Disassemble(raw(prog))
	vm, err := bpf.NewVM(p)
	if err != nil {
		return 0, false
	}
	n, err := vm.Run(b)
	return n, err == nil
}
