#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A packet group that crosses the stack as one packet is parted where a router has put headers in front of it: a VLAN's, a tunnel's.
. ../kselftest/ktap_helpers.sh
. ./helpers/router.sh

entity=LE-70000-10.86.0.2
count() { ip netns exec "$1" nft list counter "$2" t "$3" | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }

modprobe vmtp 2>/dev/null
for module in 8021q ipip ip_gre vxlan; do modprobe $module 2>/dev/null; done

prepare() {
	hosts 10.87.0
	# So that a slow machine is no loss: after one packets leave singly.
	r tc qdisc add dev ra root netem delay 100ms
	r nft 'table ip t { counter groups { }; chain c { type filter hook forward priority 0;
		iifname "ra" ip protocol 81 ip length > 2000 counter name groups; }; }'
	# Behind the router each packet is alone: none is longer than the link allows.
	b nft 'table netdev t { counter long { }; chain c { type filter hook ingress device wire priority 0;
		meta length > 1600 counter name long; }; }'
	r ethtool -K rb tx-gso-list off tx-vlan-hw-insert off
}
# Ends of a link, by which the server's address is reached.
over() { # OPTIONS_OF_R OPTIONS_OF_B
	local of_r of_b
	read -ra of_r <<<"$1"
	read -ra of_b <<<"$2"
	r ip link add over "${of_r[@]}" 2>/dev/null && b ip link add over "${of_b[@]}" || return 1
	r ip address add 10.86.0.1/24 dev over && r ip link set over up &&
		b ip address add 10.86.0.2/24 dev over && b ip link set over up && b ip route add default via 10.86.0.1
}
# The first exchange tells that both ends are of one kernel; then groups leave whole.
echoes() {
	local groups long
	a vmtp ping $entity -c 2 -q >/dev/null && a vmtp ping $entity -c 3 -s 16384 -q >/dev/null || return 1
	groups=$(count ipr ip groups) long=$(count ipb netdev long)
	echo "# $groups groups, $long packets longer than the link allows"
	[ "$groups" -ge 1 ] && [ "$long" = 0 ]
}

ktap_print_header
ktap_set_plan 5
while IFS='|' read -r kind of_r of_b features; do
	prepare
	[ -z "$features" ] || r ethtool -K rb $features
	if over "$of_r" "$of_b"; then
		ip netns exec ipb vmtp echo --entity $entity >/dev/null &
		server=$!
		until b grep -q "^$entity " /proc/net/vmtp/entities; do sleep 0.1; done
		ktap_test_result "packets of a group pass a $kind" echoes
		kill $server
		wait $server
	else
		ktap_test_skip "packets of a group pass a $kind: this kernel has none"
	fi
	hosts_end
done <<-KINDS
	VLAN|link rb type vlan id 5|link wire type vlan id 5
	tunnel of IP in IP|type ipip local 10.87.0.1 remote 10.87.0.2|type ipip local 10.87.0.2 remote 10.87.0.1
	tunnel of GRE|type gre local 10.87.0.1 remote 10.87.0.2|type gre local 10.87.0.2 remote 10.87.0.1
	VXLAN|type vxlan id 5 local 10.87.0.1 remote 10.87.0.2 dstport 4789|type vxlan id 5 local 10.87.0.2 remote 10.87.0.1 dstport 4789
	VXLAN on a device without checksums|type vxlan id 5 local 10.87.0.1 remote 10.87.0.2 dstport 4789|type vxlan id 5 local 10.87.0.2 remote 10.87.0.1 dstport 4789|tx off
KINDS
ktap_finished
