package emulated

import (
	"slices"

	"github.com/nlrig/nlrig/vmtest/nlmsg"
)

// Data center bridging (include/uapi/linux/dcbnl.h). No link here can do it, so what
// there is are the checks of its requests.
const (
	rtmGetdcb     = 78
	rtmSetdcb     = 79
	sizeofDcbmsg  = 4
	dcbAttrIfname = 1
	dcbCmdMax     = 27
	dcbUndefined  = 0
)

var dcbPolicy = policy{
	dcbAttrIfname: {typ: nlaNulString, len: ifnamsiz - 1},
	2:             {typ: nlaU8},     // DCB_ATTR_STATE
	3:             {typ: nlaU8},     // DCB_ATTR_PFC_STATE
	4:             {typ: nlaNested}, // DCB_ATTR_PFC_CFG
	6:             {typ: nlaNested}, // DCB_ATTR_PG_CFG
	7:             {typ: nlaU8},     // DCB_ATTR_SET_ALL
	8:             {typ: nlaFlag},   // DCB_ATTR_PERM_HWADDR
	9:             {typ: nlaNested}, // DCB_ATTR_CAP
	11:            {typ: nlaNested}, // DCB_ATTR_BCN
	12:            {typ: nlaNested}, // DCB_ATTR_APP
	13:            {typ: nlaNested}, // DCB_ATTR_IEEE
	14:            {typ: nlaU8},     // DCB_ATTR_DCBX
	15:            {typ: nlaNested}, // DCB_ATTR_FEATCFG
	16:            {},               // DCB_ATTR_CEE
}

// dcbSets are the commands that change something (net/dcb/dcbnl.c reply_funcs).
var dcbSets = []uint8{2, 4, 6, 8, 9, 13, 15, 17, 19, 20, 23, 25, 27}

// dcbInit is net/dcb/dcbnl.c dcbnl_init.
func (k *Kernel) dcbInit() {
	k.rtnlRegister(pfUnspec, rtmGetdcb, k.dcbDoit, nil, 0)
	k.rtnlRegister(pfUnspec, rtmSetdcb, k.dcbDoit, nil, 0)
}

// dcbDoit is net/dcb/dcbnl.c dcb_doit. What sets takes the capability in the first
// user namespace, by whatever type of message.
func (k *Kernel) dcbDoit(skb *skBuff, h *nlmsghdr, x *extAck) errno {
	defer k.enter("dcb_doit")()
	capable := k.netlinkNsCapable(skb, k.init.user)
	if h.Type == rtmSetdcb && !capable {
		return nlmsg.EPERM
	}
	tb, err := nlmsgParse(h, sizeofDcbmsg, dcbPolicy, liberal, x)
	if err != 0 {
		return err
	}
	cmd := h.payload()[1]
	switch {
	case cmd > dcbCmdMax:
		return nlmsg.EINVAL
	case cmd == dcbUndefined:
		return nlmsg.EOPNOTSUPP
	case slices.Contains(dcbSets, cmd) && !capable:
		return nlmsg.EPERM
	}
	name := tb.get(dcbAttrIfname)
	if name == nil {
		return nlmsg.EINVAL
	}
	if skb.sk.net.devGetByName(name.str()) == nil {
		return nlmsg.ENODEV
	}
	return nlmsg.EOPNOTSUPP // its driver has no dcbnl_ops
}
