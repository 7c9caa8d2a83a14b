#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# VMTP packets go through what the administrator put in their way: the firewall's hooks, rules by owner, and IPsec.
. ../kselftest/ktap_helpers.sh

entity=LE-70000-10.84.0.2
a() { ip netns exec ipa "$@"; }
b() { ip netns exec ipb "$@"; }

modprobe vmtp 2>/dev/null
ip netns add ipa
ip netns add ipb
a ip link set lo up
b ip link set lo up
a ip link add wire type veth peer name wire netns ipb
a ip address add 10.84.0.1/24 dev wire
b ip address add 10.84.0.2/24 dev wire
a ip link set wire up
b ip link set wire up
# The server is nobody, who is 65534.
ip netns exec ipb su -s /bin/sh nobody -c "exec vmtp echo --entity $entity" >/dev/null &
server=$!
until b grep -q "^$entity " /proc/net/vmtp/entities; do sleep 0.1; done

calls() { a vmtp call $entity --code 0x800001 --timeout "${1:-10000}" >/dev/null 2>&1; }
fails() { ! calls 700; }
rule() { # NAMESPACE HOOK: drops VMTP there
	ip netns exec "$1" nft "table ip t { chain c { type filter hook $2 priority 0; ip protocol 81 counter drop; }; }"
}
unrule() { ip netns exec "$1" nft delete table ip t; }
counted() { # NAMESPACE: the rule saw packets
	ip netns exec "$1" nft list table ip t | grep -q 'counter packets [1-9]'
}
dropped_at() { rule "$1" "$2" && fails && counted "$1" && unrule "$1" && calls; }

responses_have_their_owner() {
	b nft 'table ip t { chain c { type filter hook output priority 0; ip protocol 81 meta skuid 65534 counter; }; }'
	calls && counted ipb
	result=$?
	unrule ipb
	return $result
}
requests_have_their_owner() {
	a nft 'table ip t { chain c { type filter hook output priority 0; ip protocol 81 meta skuid 65534 counter; }; }'
	a su -s /bin/sh nobody -c "exec vmtp ping $entity -c 2 -s 9000" >/dev/null && counted ipa
	result=$?
	unrule ipa
	return $result
}
# Rules of routing for one user are for its sockets, and for nobody else's.
routed_by_user() {
	a ip rule add uidrange 65534-65534 prohibit || return 1
	! a su -s /bin/sh nobody -c "exec vmtp call $entity --code 0x800001 --timeout 700" >/dev/null 2>&1 && calls &&
		a ip rule delete uidrange 65534-65534 prohibit &&
		a su -s /bin/sh nobody -c "exec vmtp call $entity --code 0x800001" >/dev/null 2>&1
}
blocked_by_policy() {
	a ip xfrm policy add dst 10.84.0.2/32 proto 81 dir out action block && fails && a ip xfrm policy flush && calls
}

refused_by_policy() {
	b ip xfrm policy add src 10.84.0.1/32 dst 10.84.0.2/32 proto 81 dir in action block && fails &&
		b ip xfrm policy flush && calls
}

# vmtp monitor
monitored() {
	timeout 20 vmtp monitor --json --count 4 >/tmp/monitor &
	monitor=$!
	until grep -q 1 /sys/kernel/tracing/instances/vmtp*/events/vmtp/enable 2>/dev/null; do sleep 0.1; done
	calls
	wait $monitor || return 1
	grep -q '"event":"packet_out".*"kind":"request".*"server":"LE-70000-10.84.0.2"' /tmp/monitor &&
		[ "$(wc -l </tmp/monitor)" = 4 ] && ! ls /sys/kernel/tracing/instances | grep -q vmtp
}

ktap_print_header
ktap_set_plan 10
# Shows: VI-a
ktap_test_result "what the output hook drops does not leave" dropped_at ipa output
ktap_test_result "what the postrouting hook drops does not leave" dropped_at ipa postrouting
# Shows: VI-a
ktap_test_result "what the prerouting hook drops does not arrive" dropped_at ipb prerouting
ktap_test_result "what the input hook drops does not arrive" dropped_at ipb input
ktap_test_result "Requests have their owner" requests_have_their_owner
ktap_test_result "Responses have their owner" responses_have_their_owner
ktap_test_result "vmtp monitor tells of a transaction and leaves nothing" monitored
ktap_test_result "rules of routing for a user are obeyed" routed_by_user
ktap_test_result "an IPsec policy that lets nothing out is obeyed" blocked_by_policy
ktap_test_result "an IPsec policy that lets nothing in is obeyed" refused_by_policy
kill $server
ip netns del ipa
ip netns del ipb
ktap_finished
