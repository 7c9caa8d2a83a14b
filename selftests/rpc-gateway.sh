#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# `vmtp rpc-gateway`, both ways, with Debian's unmodified rpcbind, rpcinfo and libtirpc: callers over UDP and TCP and a
# service over VMTP (which loses every tenth packet), then callers over VMTP and a service over UDP and TCP.
cd "$(dirname "$0")" || exit 1
. ./helpers/rpc-hosts.sh

program=536871030

# Debian's rpcbind keeps its socket and its files in /run: each host has one of its own.
on() { # HOST COMMAND...: in the namespaces of that host
	local host=$1
	shift
	nsenter --net="/run/netns/rpc-$host" --mount="/proc/${place[$host]}/ns/mnt" "$@"
}
become() { # HOST COMMAND...: the same for the background, whose $! is then the command's
	local host=$1
	shift
	exec nsenter --net="/run/netns/rpc-$host" --mount="/proc/${place[$host]}/ns/mnt" "$@"
}
declare -A place
host_with_run() { # HOST
	ip netns exec "rpc-$1" unshare -m sh -c \
		'mount -t tmpfs run /run && mkdir /run/rpcbind && chown _rpc /run/rpcbind && exec sleep 1000' &
	place[$1]=$!
	started="$started $!"
	within 20 on "$1" test -d /run/rpcbind
}
start_rpcbind() { # HOST
	become "$1" rpcbind -f -w &
	started="$started $!"
	within 20 on "$1" rpcinfo -p 127.0.0.1 >/dev/null 2>&1
}

lists() { on a rpcinfo -p 127.0.0.1 >/tmp/said 2>&1 && [ "$(grep -c "$program.*$1" /tmp/said)" = 2 ]; }
lists_none() { on a rpcinfo -p 127.0.0.1 >/tmp/said 2>&1 && ! grep -q $program /tmp/said; }
calls() { on a rpcinfo "$@" >/tmp/said 2>&1 && grep -q 'ready and waiting' /tmp/said; }
vmtp_lists() { # VERSIONS: of the program, beside the binder itself, which has to be there
	on a vmtp rpcinfo 10.9.0.1 >/tmp/said 2>&1 && grep -q '^ *100000 ' /tmp/said && [ "$(grep -c $program /tmp/said)" = "$1" ]
}
lists_version_1_once() { # and version 3 so often
	on a rpcinfo -p 127.0.0.1 >/tmp/said 2>&1 && [ "$(grep -c $program /tmp/said)" = $((1 + $1)) ] &&
		grep -q "$program *1 *tcp" /tmp/said && [ "$(grep -c "$program *3 " /tmp/said)" = "$1" ]
}
# The Client of a call of procedure 0 says that it waits for 49 days, and goes; the gateway takes one call at a time.
is_free_again() { # ENTITY
	# xid 1, CALL, version 2, program 536871030 version 3 procedure 0, no authentication.
	printf '\0\0\0\1\0\0\0\0\0\0\0\2\40\0\0\166\0\0\0\3\0\0\0\0' >/tmp/call
	printf '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >>/tmp/call
	! on a vmtp call "$1" --code 0x80006f -u ffffffff --data /tmp/call -W 1000 >/tmp/said 2>&1 && grep -q USER_TIMEOUT /tmp/said || return 1
	! on a vmtp rpcinfo -W 20000 "$1" 424242 2>/tmp/said && grep -q 'program is not there' /tmp/said
}
is_unreachable() { # ENTITY: says the gateway, which is there
	! on a timeout 15 vmtp rpcinfo -W 30000 "$1" $program 3 2>/tmp/said && grep -q NONEXISTENT_ENTITY /tmp/said || return 1
	! on a vmtp rpcinfo -W 20000 "$1" 424242 2>/tmp/said && grep -q 'program is not there' /tmp/said
}

ktap_begin 69
hosts 10%
host_with_run a
host_with_run b

start_binder 10.9.0.2
start_server
start_rpcbind a
become a vmtp rpc-gateway to-vmtp 10.9.0.2 >/dev/null &
gateway=$!
started="$started $gateway"
# The other way, of the same hosts: what the first gateway has registered is not to be registered where that has it from.
become b vmtp rpc-gateway to-net 10.9.0.1 >/dev/null &
mirror=$!
started="$started $mirror"
check "rpcinfo lists both versions over UDP" within 20 lists udp
check "rpcinfo lists both versions over TCP" within 20 lists tcp
check "rpcinfo calls version 3 over UDP" calls -u 127.0.0.1 $program 3
check "rpcinfo calls version 1 over TCP" calls -t 127.0.0.1 $program 1
run_tests on a "$PWD"/rpc-client udp 127.0.0.1
run_tests on a "$PWD"/rpc-client tcp 127.0.0.1
run_tests on a "$PWD"/rpc-duplicates 127.0.0.1
kill $server_pid
check "a program that has gone is taken back, and no mirror has it" within 30 lists_none
kill $mirror
start_server
check "and comes again" within 20 lists udp
kill $gateway
check "a gateway that ends takes all back" within 20 lists_none
become a "$PWD/rpc-server" tcp >/dev/null &
native=$!
started="$started $native"
check "a program of this host is registered over TCP" within 20 lists_version_1_once 0
become a vmtp rpc-gateway to-vmtp 10.9.0.2 >/dev/null &
gateway=$!
started="$started $gateway"
check "a gateway leaves it alone" within 20 lists_version_1_once 2
kill $gateway
wait $gateway 2>/dev/null
check "also when it ends" lists_version_1_once 0
kill $native $binder_pid

# The other way. A reply that is lost over UDP means a second execution: this side loses nothing.
tc -n rpc-a qdisc del dev va root
tc -n rpc-b qdisc del dev vb root
start_rpcbind b
become b "$PWD/rpc-server" net >/dev/null &
net=$!
started="$started $net"
become a vmtp rpcbind >/dev/null &
started="$started $!"
within 20 has_entity rpc-a BE-111-10.9.0.1
become a vmtp rpc-gateway to-net 10.9.0.2 >/dev/null &
gateway=$!
started="$started $gateway"
check "vmtp rpcinfo lists both versions" within 20 vmtp_lists 2
run_tests ip netns exec rpc-b ./rpc-client vmtp 10.9.0.1
kill $gateway
wait $gateway 2>/dev/null
rm -f /tmp/gateway
become a vmtp rpc-gateway to-net 10.9.0.2 --calls 1 >/tmp/gateway &
started="$started $!"
within 20 grep -q 'version 3' /tmp/gateway
door=$(sed -n 's/GATEWAY //p' /tmp/gateway)
kill -STOP $net
check "a Client that has gone keeps no thread of a gateway" is_free_again "$door"
kill -CONT $net
kill -9 $net
check "a host that says nobody is there ends a call at once" is_unreachable "$door"
on b rpcinfo -d $program 1
on b rpcinfo -d $program 3
check "a program that has gone is taken back from the binder" within 20 vmtp_lists 0
exit $failed
