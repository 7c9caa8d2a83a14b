#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What `vmtp filed` lets nobody do: hostile Requests, paths and links that lead out, more open files than it keeps, a server
# that changes nothing, one that may little, and one that is gone.
cd "$(dirname "$0")" || exit 1
. ./helpers/rpc-hosts.sh
. ./helpers/file-hosts.sh

outside() { # neither by a link that the client's host resolves, nor by what is mounted below
	mkdir -p $export/below && mount -t tmpfs below $export/below && echo x >$export/below/x &&
		ln -sfn / $export/root && ! cat $there/below/x >/tmp/said 2>&1 && [ "$(readlink $there/root)" = / ] &&
		umount $export/below && rm $there/root && rmdir $there/below
}
forbidden() {
	fails 'permission denied' cat $there/private/secret && fails 'permission denied' touch $there/private/new &&
		fails 'permission denied' rm $there/private/secret && [ -e $export/private/secret ]
}
a_file_that_may_not_be_written_again() { # as cp -p and git make them
	(umask 333 && echo once >$there/once) && [ "$(stat -c %a $export/once)" = 444 ] && [ "$(cat $export/once)" = once ]
}
few_handles() {
	local number
	for number in 10 11 12 13 14 15 16; do eval "exec $number<$there/tree/deep/deeper/text-$number" || return 1; done
	for number in 10 11 12 13 14 15 16; do
		[ "$(cat <&$number)" = "text $number" ] || return 1
		eval "exec $number<&-"
	done
}
stuck() {
	local result=0
	kill -STOP $served
	fails 'timed out' timeout 30 stat $there/tree || result=1
	kill -CONT $served
	[ $result = 0 ] && within 20 stat $there/tree
}
impatient() {
	fails 'timed out' cat $there/tree/file-3
}


request() { # CODE SEGMENT [OPTION...]: prints the Response code
	local code=$1
	printf "$2" >$dir/request
	shift 2
	ip netns exec rpc-a vmtp call $server --code "$code" --data $dir/request "$@" --json 2>&1 |
		sed -n 's/.*"code":\([0-9]*\).*/\1/p'
}
einval=$((0x810016)) estale=$((0x810074)) enosys=$((0x810026)) emsgsize=$((0x81005a)) eloop=$((0x810028)) enxio=$((0x810006)) exdev=$((0x810012))
words() { printf '%08x%032d' "$1" 0; } # 20 octets of user data: this word and zeroes
is() { # CODE ARGUMENT...
	local expected=$1 found
	shift
	found=$(request "$@")
	[ "$found" = "$expected" ] || { echo "$* gives $found and not $expected" >/tmp/said; false; }
}
hostile() {
	local procedure
	ln -s / $export/root
	ln -s ../secret $export/secret
	for procedure in 1 2 7 8 9 13; do
		for path in ../secret /etc/passwd 'a/../../secret' 'a\0b'; do
			is $einval $((0x810000 + procedure)) "$path" || return 1
		done
	done
	# For reading: what a link leads to is not for the server to see.
	is $eloop $((0x810002)) root/etc/passwd -u "$(words 1)" && is $enxio $((0x810002)) secret -u "$(words 1)" &&
		is $einval $((0x81000b)) 'ab../secret' -u "$(words 2)" && is $einval $((0x810006)) 'short' && is $einval $((0x81000c)) name &&
		is $estale $((0x810004)) x -u 1111111122222222 && is $enosys $((0x8100ff)) x && is $enosys $((0x800001)) x || return 1
	# A segment longer than any that the server takes, a datagram, and one of which parts are missing.
	head -c 2000000 /dev/zero >$dir/long
	[ "$(ip netns exec rpc-a vmtp call $server --code $((0x810001)) --data $dir/long --json | sed -n 's/.*"code":\([0-9]*\).*/\1/p')" = $emsgsize ] &&
		is $einval $((0x810008)) made --coresident LE-71000-10.9.0.2 &&
		is $einval $((0x810008)) made --partial 0 && [ ! -e $export/made ] || return 1
	ip netns exec rpc-a vmtp call $server --code $((0x810008)) --data $dir/request --datagram
	for size in 49 5000; do
		head -c $size /dev/urandom >$dir/noise
		for procedure in $(seq 0 17); do
			ip netns exec rpc-a vmtp call $server --code $((0x810000 + procedure)) --data $dir/noise \
				-u "$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')" >/dev/null 2>&1
		done
	done
	rm $export/root $export/secret
	[ "$(cat $dir/secret)" = secret ] && [ ! -e $dir/made ] && kill -0 $served && cmp $there/tree/file-3 $export/tree/file-3
}
changes() { # BIT: one member of Changes, whose value is 0
	printf '\\0\\0\\0\\%o' "$1"
	printf '\\0%.0s' $(seq 44)
}
told() { stat -c '%a %u %g %s %X %Y' $export/below $dir/mounted-file; }
mounted_below() { # a file system and a file: each member by itself
	local before bit result=0
	echo secret >$dir/mounted-file
	chown 7:8 $dir/mounted-file
	mkdir $export/below
	touch $export/bound
	mount -t tmpfs -o mode=711,uid=7,gid=8 below $export/below && mount --bind $dir/mounted-file $export/bound || return 1
	touch -d @1000000 $export/below $dir/mounted-file
	before=$(told)
	for bit in 1 2 4 8 16 32; do
		is $exdev $((0x810006)) "$(changes $bit)below" && is $exdev $((0x810006)) "$(changes $bit)bound" || { result=1; break; }
	done
	[ "$(told)" = "$before" ] || { echo "$before became $(told)" >/tmp/said; result=1; }
	umount $export/below $export/bound && rmdir $export/below && rm $export/bound && return $result
}

ktap_begin 11
hosts 3%
echo secret >$dir/secret
mount -t tmpfs -o size=20m export $export
tree $export/tree
serve $export
mount_it
check "nothing outside is reached, nor what is mounted below" outside
check "hostile Requests are told so and harm nothing" hostile
check "what is mounted below is not changed" mounted_below
stop
serve --handles 3 $export
check "more files are open than the server keeps open" few_handles
stop
serve --read-only $export
check "EROFS of a server that changes nothing" read_only
unmount
stop
mkdir -m 755 $export/private && echo secret >$export/private/secret && chmod 600 $export/private/secret
chmod 777 $export
chmod 755 $dir
# As a user who owns nothing.
nsenter --net=/run/netns/rpc-b su -s /bin/sh nobody -c "exec vmtp filed --entity LE-71001-10.9.0.2 $export" >/dev/null 2>&1 &
served=$!
started="$started $served"
server=LE-71001-10.9.0.2
within 20 has_entity rpc-b $server
check "a server that may little is mounted" mount_it --patience 1
check "ETIMEDOUT of a server that is there and does not answer" stuck
check "EACCES of what it may not" forbidden
check "a file is written that may not be written again" a_file_that_may_not_be_written_again
stop
check "ETIMEDOUT of a server that does not come again" impatient
check "and it is unmounted all the same" unmount
exit $failed
