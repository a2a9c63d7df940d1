// Package nlmsg turns netlink messages from and to bytes, and shows them: the
// nlmsghdr, the fixed header of the message's type, and attributes. It knows
// their names from a table, not from code, and has no opinion on what is
// valid: whatever does not parse is kept and shown in hex.
//
// What String gives is the text that package nlcase reads: the output of a
// failed case can be pasted into it.
//
// It is free of dependencies, and builds on hosts that have no netlink.
package nlmsg
