// Package nlcase is a language for netlink exchanges, its interpreter and its
// judge. A Case is a short text of steps: open, bind, send, recv, expect
// silence. Play plays it on a Kernel and records a Transcript; Check judges
// that, from its bytes alone, so that the one who plays need not be believed.
//
//	# A dump is never acked: netlink_rcv_skb skips the ack on -EINTR.
//	# ref: net/netlink/af_netlink.c netlink_rcv_skb
//	open  s route
//	send  s RTM_GETLINK REQUEST|DUMP|ACK ifinfomsg{}
//	recv  s RTM_NEWLINK MULTI ifinfomsg{index=1} IFLA_IFNAME="lo" ...
//	recv  s NLMSG_DONE MULTI error=0
//	quiet s
//
// # Layout
//
// A statement is a line, and goes on in lines that begin with white space. A
// line that begins with # is a comment. The comment at the top is the case's
// doc; in it, "ref: FILE FUNCTION..." names kernel functions, and FUNCTION:WAY a
// way through one.
//
// Before the steps, and for all of them:
//
//	needs module NAME    a kernel module
//	needs config CONFIG_X  an option of the kernel's configuration, y or m
//	needs vm             it breaks the kernel; not for the running one
//	needs config NAME    CONFIG_NAME is set in the kernel
//	caps none            played without capabilities
//	caps userns          played in a user namespace of its own, with all
//	                     capabilities there and none outside
//	since 6.9            this release or later: 6.9 is the whole series
//	until 6.8            this release or earlier
//
// # Steps
//
// A step is [GUARD] VERB ARGUMENTS [! ERRNO]. With ! it is to give that error,
// without it to succeed. GUARD is one or more of >= > <= < = and a release, in
// brackets: [>=6.9 <7.1]. A step whose guard does not hold is left out. What is
// said of a range of releases must not hold outside of it, or the range is
// stale: nlrig plays the case once more for each range that the kernel is not
// in (see Alternatives).
//
//	open S PROTO [raw|dgram|type=N] [netns=$NAME]
//	                                  a socket; PROTO is route, generic, usersock... or a number
//	close S
//	bind S [pid=N] [groups=G]         G is a mask, or names: RTNLGRP_LINK|RTNLGRP_NEIGH
//	connect S [pid=N] [groups=G]
//	name S [pid=N] [groups=G]         what getsockname is to give
//	join S N, leave S N               a multicast group, by number or name
//	set S OPTION VALUE                EXT_ACK, CAP_ACK, PKTINFO, SO_RCVBUF..., or LEVEL:NUMBER
//	get S OPTION [size=N] VALUE       what getsockopt is to give
//	filter S INSTRUCTION...           a classic BPF program, of ldw:K ldh:K ldb:K len and:K
//	                                  jeq:K:JT:JF jgt:K:JT:JF jset:K:JT:JF ret:K
//	                                  op:CODE:K:JT:JF; none detaches it
//	send S [OPTIONS] MSG ; MSG...     one datagram
//	wait S                            the outcome of a send in the background, within 5 s
//	recv S [OPTIONS] MSG ; MSG...     one datagram that holds just these messages
//	collect S [OPTIONS] [MSG ; ...]   all there is to read, however it was packed
//	quiet S                           there is nothing to read
//	ifindex $NAME LINK [netns=$NAME]  the index of a link
//	netns $NAME                       another network namespace; $NAME is a descriptor of it
//	drop                              the capabilities of the thread, for good
//
// With "needs vm" also:
//
//	write PATH "DATA"    write to a file
//	sleep 1h
//	spin                 hold the processor at the highest real-time priority
//	exit                 end the process that plays
//
// Nothing blocks: a request is answered within its send. OPTIONS of send:
//
//	to=N, groups=G       the address; without them the connected peer
//	cred.pid=N, cred.uid=N, cred.gid=N
//	                     SCM_CREDENTIALS, 0 where not said
//	took=N               how many bytes the kernel is to take, if not all
//	oob                  MSG_OOB
//	bg                   in a thread of its own, where it may block; wait tells
//	                     what became of it
//
// bind, connect and send also have family=N and addrlen=N, for addresses that
// are wrong. OPTIONS of recv and collect:
//
//	within=500ms         poll that long, for what the kernel does later
//	from=N               the sender's portid; without it, the kernel's 0
//	groups=G             the groups in the sender's address
//	buf=N                the size of the buffer
//	peek                 MSG_PEEK (recv)
//	size=N               the real length (recv)
//	truncated            MSG_TRUNC is set (recv); without it, it is not
//	oob                  MSG_OOB (recv)
//	pktinfo=N, nsid=N    ancillary data
//	cred.pid=N, cred.uid=N, cred.gid=N
//
// # Messages
//
// A message is TYPE [FLAGS] [seq=N] [pid=N] [len=N] [HEADER{FIELD=VALUE,...}]
// [ATTRIBUTE...], or hex:BYTES or zero:COUNT in place of it. FLAGS are
// REQUEST|ACK|DUMP..., or a number. NLMSG_ERROR and NLMSG_DONE have error=E as
// their header, and request{MESSAGE} for the one quoted.
//
//	IFLA_MTU=1500          in the kind that its name has
//	IFLA_MTU:u16=5         in another: u8 u16 u32 u64 s32 s64 be16 be32 string str
//	                       bytes ip ether ...
//	13:u32=5               by number
//	IFLA_LINKINFO{...}     a nest; IFLA_LINKINFO|NESTED{...} with NLA_F_NESTED
//	IFLA_MTU@3=5           with an nla_len that is not its own
//	IFLA_MTU               without a payload
//	hex:00ff               bytes in its place
//
// For values see nlmsg.ParseValue. In what is sent, seq counts up from 1 on
// each socket, len is the message's length, and all else that is not said is
// 0. Messages and attributes are padded to 4 bytes, the last message is not.
//
// In what is expected:
//
//   - FLAGS are exact, none meaning 0; * is any.
//   - seq, pid and len are compared if they are said. Without seq, a message
//     that was not multicast has that of a request of its socket, and not of
//     one before the last that was answered. Without len, the length is the
//     true one.
//   - Of a header, the fields that are said are compared.
//   - Attributes are exact, in their order. A "..." at the end lets there be
//     others, in any order. !NAME is not there. NAME=* has any value.
//   - In place of a message "..." is any number of them, as few as will do.
//   - request, without braces, quotes what was sent, as far as it is quoted.
//
// # Names
//
// $NAME is bound where it first stands in what is expected, or by ifindex, and
// is that value from then on: it is to be equal, or is what is sent. The name
// of a socket stands for its portid, and keeps it when the socket is closed.
package nlcase
