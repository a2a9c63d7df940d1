#!/bin/sh
# Makes a repository with the history of a kernel in which two things change,
# for bisecting it: an errno, and the text of an extended ack. One commit does
# not build and one does not boot; the others have nothing to do with netlink.
#
# usage: history.sh linux-source-6.1.tar.xz DIR [32|8]
#
# The commits are the same wherever it runs. Tags: first, last, errno, text,
# broken, noboot.
set -eu
source=$(realpath "$1") dir=$2 commits=${3:-32}

mkdir -p "$dir"
cd "$dir"
git init --quiet .
git config gc.auto 0
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=history GIT_AUTHOR_EMAIL=history@example.org
export GIT_COMMITTER_NAME=history GIT_COMMITTER_EMAIL=history@example.org
n=0

# commit SUBJECT [BODY]: what has changed.
commit() {
	n=$((n + 1))
	git add --all --force .
	git diff --cached --quiet && { echo "history.sh: commit $n ($1) changes nothing" >&2; exit 1; }
	GIT_AUTHOR_DATE="$((1700000000 + n * 3600)) +0000"
	GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
	export GIT_AUTHOR_DATE GIT_COMMITTER_DATE
	printf '%s\n\n%s\n' "$1" "${2:-It has nothing to do with netlink.}" | git commit --quiet --file -
}

# change FILE OLD NEW: the first OLD, which is there.
change() {
	grep -qF "$2" "$1" || { echo "history.sh: $1 has no $2" >&2; exit 1; }
	OLD=$2 NEW=$3 awk 'BEGIN { old = ENVIRON["OLD"]; new = ENVIRON["NEW"] }
		!done && (i = index($0, old)) { $0 = substr($0, 1, i - 1) new substr($0, i + length(old)); done = 1 }
		{ print }' "$1" > .changed
	cat .changed > "$1" && rm .changed
}

# unrelated N: one of several kinds, by turns.
unrelated() {
	case $(($1 % 5)) in
	0) echo "A note, number $1." >> Documentation/process/howto.rst; commit "docs: a note, number $1" ;;
	1) echo "/* $1 */" >> drivers/gpu/drm/drm_drv.c; commit "drm: a comment, number $1" ;;
	2) echo "/* $1 */" >> net/ipv4/ping.c; commit "ipv4: a comment, number $1" ;;
	3) change init/main.c 'pr_notice("Kernel command line: %s\n", saved_command_line);' \
		"pr_notice(\"Kernel command line: %s\\n\", saved_command_line); /* $1 */"
	   commit "init: a comment, number $1" ;;
	4) change kernel/sys.c 'return -EINVAL;' "return -(EINVAL + 0 * $1);"; commit "sys: a detour, number $1" ;;
	esac
}

text() {
	change net/core/rtnetlink.c '"Unknown device type"' '"No such kind of device"'
	commit "rtnetlink: say what there is no such of" "An unknown kind of link is told in other words."
	git tag text
}

errno() {
	change net/core/rtnetlink.c '	if (kind != RTNL_KIND_GET && !netlink_net_capable(skb, CAP_NET_ADMIN))' \
		'	if (kind != RTNL_KIND_GET && !netlink_net_capable(skb, CAP_NET_ADMIN)) /* who may */'
	awk '/who may/ { print; getline; sub(/-EPERM/, "-EACCES") } { print }' net/core/rtnetlink.c > .changed
	cat .changed > net/core/rtnetlink.c && rm .changed
	commit "rtnetlink: refuse with EACCES whoever may not" "rtnetlink_rcv_msg told EPERM before."
	git tag errno
}

broken() {
	change net/core/dev.c '#include <linux/uaccess.h>' '#include <linux/uaccess.h>
#error this commit does not build'
	commit "dev: half of a change" "The other half comes with the next commit."
	git tag broken
	change net/core/dev.c '#error this commit does not build' ''
	commit "dev: the other half" "Now it builds again."
}

dead() {
	change net/netlink/af_netlink.c '	int err = proto_register(&netlink_proto, 0);' '	int err = proto_register(&netlink_proto, 0);

	panic("netlink: not ready");'
	commit "netlink: not ready" "It panics at boot."
	git tag noboot
	change net/netlink/af_netlink.c '	panic("netlink: not ready");' ''
	commit "netlink: ready" "It boots again."
}

tar -xf "$source" --strip-components=1
commit "Linux, as Debian has it" "All of linux-source."
git tag first

# Those that tell nothing are where a search by halves comes by.
case $commits in
8)
	text; errno; broken; dead
	unrelated 8 ;;
32)
	i=2
	while [ $i -le 32 ]; do
		case $i in
		9) text ;;
		16) broken; i=17 ;;
		21) errno ;;
		25) dead; i=26 ;;
		*) unrelated $i ;;
		esac
		i=$((i + 1))
	done ;;
*) echo "history.sh: 32 or 8 commits, not $commits" >&2; exit 2 ;;
esac
git tag last
[ "$n" = "$commits" ] || { echo "history.sh: made $n commits" >&2; exit 1; }
