#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# ONC RPC over VMTP between two hosts that lose every tenth packet each way: rpcgen's stubs and dispatchers with
# libtirpc's XDR and authentication, the binder, `vmtp rpcinfo`, and what is hostile.
cd "$(dirname "$0")" || exit 1
. ./helpers/rpc-hosts.sh

server=10.9.0.2

info() { ip netns exec rpc-a vmtp rpcinfo "$@"; }
lists_the_program() {
	info $server | awk '$1 == 536871030 && $2 == 3 { n++ } $1 == 100000 { n++ } END { exit n != 2 }'
}
calls_both_versions() { [ "$(info $server 536871030 | grep -c 'version [13] ready')" = 2 ]; }
says_not_registered() { ! info $server 424242 2>/tmp/said && grep -q 'not registered' /tmp/said; }
says_versions() { ! info $server 536871030 9 2>/tmp/said && grep -q 'versions 1 to 3' /tmp/said; }
forgets_the_dead() { [ "$(info $server | grep -c 536871030)" = 0 ]; }
says_no_binder() { ! info $server 2>/tmp/said && grep -q 'vmtp rpcbind' /tmp/said; }

# From the other host: SET of a program for an entity of its own, at a binder that is not its host's.
refuses_strangers() {
	# xid 1, CALL, version 2, program 100000 version 2 procedure 1 (SET), no authentication; program 5 version 1
	# protocol 81 port 0x20011170, which is LE-70000.
	printf '\0\0\0\1\0\0\0\0\0\0\0\2\0\1\206\240\0\0\0\2\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >/tmp/set
	printf '\0\0\0\5\0\0\0\1\0\0\0\121\40\1\21\160' >>/tmp/set
	ip netns exec "$1" vmtp call BE-111-$server --code 0x80006f --from LE-70000-"$2" --data /tmp/set --out /tmp/answer \
		>/dev/null || return 1
	[ "$(tail -c 1 /tmp/answer | od -An -tu1 | tr -d ' ')" = "$3" ]
}

ktap_begin 68
hosts 10%
start_binder $server
start_server
run_tests ip netns exec rpc-a ./rpc-client vmtp $server
run_tests ip netns exec rpc-a ./rpc-hostile "$entity" BE-111-$server
run_tests ip netns exec rpc-a ./rpc-trouble
run_tests ip netns exec rpc-b ./rpc-forwarded BE-111-$server
check "vmtp rpcinfo lists the program and the binder" lists_the_program
check "vmtp rpcinfo calls each version" calls_both_versions
check "vmtp rpcinfo says of an unknown program that it is not registered" says_not_registered
check "vmtp rpcinfo says which versions there are" says_versions
check "an entity of this host may register itself" refuses_strangers rpc-b $server 1
check "one of another host may not" refuses_strangers rpc-a 10.9.0.1 0
# Then a socket may have any address.
ip netns exec rpc-b sysctl -qw net.ipv4.ip_nonlocal_bind=1
check "nor if net.ipv4.ip_nonlocal_bind is set" refuses_strangers rpc-a 10.9.0.1 0
kill $server_pid
wait $server_pid 2>/dev/null
check "a program whose process has gone is not registered any more" within 10 forgets_the_dead
start_server
check "and may come back" lists_the_program
kill $binder_pid
check "without a binder vmtp rpcinfo says what to start" says_no_binder
exit $failed
