package nlmsg

import (
	"strconv"
	"strings"
)

// Flags of a struct nlmsghdr that the codec itself has a use for.
const (
	FlagRequest  = 0x1
	FlagMulti    = 0x2
	FlagAck      = 0x4
	FlagDumpIntr = 0x10
	FlagRoot     = 0x100
	FlagMatch    = 0x200
	FlagCapped   = 0x100 // of an ack
	FlagAckTLVs  = 0x200 // of an ack
)

type flagName struct {
	name  string
	value uint16
}

var (
	commonFlags = [...]flagName{{"REQUEST", 1}, {"MULTI", 2}, {"ACK", 4}, {"ECHO", 8},
		{"DUMP_INTR", 0x10}, {"DUMP_FILTERED", 0x20}}
	getFlags = [...]flagName{{"DUMP", 0x300}, {"ROOT", 0x100}, {"MATCH", 0x200}, {"ATOMIC", 0x400}}
	newFlags = [...]flagName{{"REPLACE", 0x100}, {"EXCL", 0x200}, {"CREATE", 0x400}, {"APPEND", 0x800}}
	delFlags = [...]flagName{{"NONREC", 0x100}, {"BULK", 0x200}}
	ackFlags = [...]flagName{{"CAPPED", 0x100}, {"ACK_TLVS", 0x200}}
)

func (c class) flags() []flagName {
	switch c {
	case classNew:
		return newFlags[:]
	case classDel:
		return delFlags[:]
	case classGet:
		return getFlags[:]
	case classAck:
		return ackFlags[:]
	}
	return nil
}

func (t *TypeDef) flagClass() class {
	if t == nil {
		return classNone
	}
	return t.class
}

// FlagString names the flags as the message type uses them: "REQUEST|DUMP".
// It is "" for none.
func (t *TypeDef) FlagString(flags uint16) string {
	var s []string
	add := func(names []flagName) {
		for _, f := range names {
			if flags&f.value == f.value {
				s = append(s, f.name)
				flags &^= f.value
			}
		}
	}
	add(commonFlags[:])
	add(t.flagClass().flags())
	if flags != 0 {
		s = append(s, "0x"+strconv.FormatUint(uint64(flags), 16))
	}
	return strings.Join(s, "|")
}

// FlagByName finds a flag. Any class's names may be used with any type:
// what a flag's bit means is for the kernel to say.
func FlagByName(name string) (uint16, bool) {
	for _, set := range [...][]flagName{commonFlags[:], getFlags[:], newFlags[:], delFlags[:], ackFlags[:]} {
		for _, f := range set {
			if f.name == name {
				return f.value, true
			}
		}
	}
	return 0, false
}
