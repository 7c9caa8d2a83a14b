#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Path MTU, with a router in between: packets do not exceed it and are not cut, also after it has changed; below 600 octets, where a block does not fit, packets of one block are cut by IP and put together again.
. ../kselftest/ktap_helpers.sh
. ./helpers/router.sh

entity=LE-70000-10.86.0.2
modprobe vmtp 2>/dev/null
hosts 10.86.0
b ip route add default via 10.86.0.1
# The router is to see single packets, so that they can be counted.
a ethtool -K wire gso off
b ethtool -K wire gso off
# What leaves the router for the server, and what it says to the client.
r nft -f - <<'RULES'
table ip t {
	counter cut { }
	counter loose { }
	counter large { }
	counter small { }
	counter toobig { }
	chain f {
		type filter hook postrouting priority 0;
		oifname "rb" ip protocol 81 ip frag-off & 0x4000 == 0 counter name loose
		oifname "rb" ip protocol 81 ip length > 1000 counter name large
		oifname "rb" ip protocol 81 ip length <= 1000 counter name small
		oifname "ra" icmp type destination-unreachable icmp code frag-needed counter name toobig
	}
}
RULES
b nft 'table ip t { counter cut { }; chain c { type filter hook prerouting priority -450;
	ip frag-off & 0x1fff != 0 counter name cut; }; }'
count() { ip netns exec "$1" nft list counter ip t "$2" | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }
reset() { r nft reset counters >/dev/null && b nft reset counters >/dev/null; }

ip netns exec ipb vmtp echo --entity $entity >/dev/null &
server=$!
until b grep -q "^$entity " /proc/net/vmtp/entities; do sleep 0.1; done
echoes() { a vmtp ping $entity "$@" -q >/dev/null; } # and compares the data
both() { r ip link set rb mtu "$1" && b ip link set wire mtu "$1"; }

whole_mtu() {
	reset
	echoes -c 3 -s 16384 && [ "$(count ipr large)" -gt 20 ] && [ "$(count ipr loose)" = 0 ] && [ "$(count ipr toobig)" = 0 ]
}
too_big_is_learned() { both 1000 && reset && echoes -c 1 -s 16384 && [ "$(count ipr toobig)" -gt 0 ]; }
nothing_exceeds_it() {
	reset
	echoes -c 3 -s 16384 && [ "$(count ipr large)" = 0 ] && [ "$(count ipr small)" -ge 48 ] &&
		[ "$(count ipr toobig)" = 0 ] && [ "$(count ipb cut)" = 0 ] && [ "$(count ipr loose)" = 0 ]
}
below_600() {
	both 576
	a ip route flush cache
	echoes -c 1 -s 16384 # learns it
	reset
	echoes -c 3 -s 16384 && [ "$(count ipr loose)" -ge 96 ] && [ "$(count ipr toobig)" = 0 ] && [ "$(count ipb cut)" -ge 96 ]
}
# The same on the first link: the host's own IP cuts.
below_600_at_home() {
	both 1500
	a ip link set wire mtu 576
	r ip link set ra mtu 576
	echoes -c 3 -s 16384
}
# What a device has put together or split up is read all the same.
offloads() {
	a ip link set wire mtu 1500
	r ip link set ra mtu 1500
	a ip route flush cache
	a ethtool -K wire gso on && b ethtool -K wire gso on || return 1
	b ethtool -K wire gro on && a ethtool -K wire gro on && r ethtool -K ra gro on && r ethtool -K rb gro on || return 1
	echoes -c 5 -s 16384
}

ktap_print_header
ktap_set_plan 6
ktap_test_result "packets fill the MTU of the whole path" whole_mtu
ktap_test_result "ICMP too big is learned from" too_big_is_learned
ktap_test_result "then nothing exceeds the path MTU and nothing is cut" nothing_exceeds_it
# Shows: VI-b
ktap_test_result "below 600 octets packets of one block are cut and put together" below_600
ktap_test_result "below 600 octets on the own link too" below_600_at_home
ktap_test_result "with GRO" offloads
kill $server
hosts_end
ktap_finished
