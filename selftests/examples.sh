#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The examples of the crate vmtp, which are also those of its documentation, as a reader would run them.
cd "$(dirname "$0")" || exit 1
. ./helpers/rpc-hosts.sh

examples=/usr/lib/vmtp/examples

says() { # NAME TEXT
	ip netns exec rpc-a timeout 60 $examples/"$1" >/tmp/said 2>&1 && grep -q "$2" /tmp/said
}
server_and_client() {
	local server=LE-70000-10.9.0.2
	ip netns exec rpc-b $examples/server $server &
	started="$started $!"
	within 20 has_entity rpc-b $server &&
		[ "$(ip netns exec rpc-a $examples/client $server 'hello, world' 2>&1)" = 'HELLO, WORLD' ]
}

ktap_begin 4
hosts 5%
ip -n rpc-a route add 224.0.0.0/4 dev va
check "time limit, pool, group, stream with cookies, forwarding" says tour 'all of it'
check "a thousand asynchronous calls, and one that is dropped" says asynchronous '1002 calls'
check "the primitives of V" says v '42000 octets in capitals'
check "the README's server and client in Rust" server_and_client
exit $failed
