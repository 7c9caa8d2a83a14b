#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Multicast as IP should have it: the host is in the group of all VMTP hosts on every interface, of which there may be
# more than a socket may join (net.ipv4.igmp_max_memberships is 20), joins and leaves by IGMP, and comes out of
# everything that happens to an interface with exactly one membership or none.
. ../kselftest/ktap_helpers.sh

managers=000100E0 # 224.0.1.0 as /proc/net/igmp has it
pairs=13          # 26 interfaces

a() { ip netns exec ipa "$@"; }
b() { ip netns exec ipb "$@"; }

modprobe vmtp 2>/dev/null
ip netns add ipa
ip netns add ipb
a ip link set lo up
b ip link set lo up
for i in $(seq $pairs); do
	a ip link add "x$i" type veth peer name "y$i"
	a ip address add "10.82.$i.1/24" dev "x$i"
	a ip link set "x$i" up
	a ip link set "y$i" up
done
# A link to another namespace, to see what goes over it.
a ip link add wire type veth peer name wire netns ipb
a ip address add 10.83.0.1/24 dev wire
b ip address add 10.83.0.2/24 dev wire
b ip link set wire up
b ip link set wire multicast on allmulticast on
a ip link set wire up

# Interfaces of namespace $1 that are in the group, by name.
members() {
	ip netns exec "$1" awk -v group=$managers '/^[0-9]/ { name = $2 } $1 == group { print name ":" $2 }' /proc/net/igmp
}
users_of() { members "$1" | sed -n "s/^$2://p"; }
is_member() { [ "$(users_of ipa "$1")" = 1 ]; }
is_no_member() { [ -z "$(users_of ipa "$1")" ]; }

all_are_members() {
	for i in $(seq $pairs); do
		is_member "x$i" && is_member "y$i" || { members ipa; return 1; }
	done
}
nobody_is_member() { [ -z "$(members ipa)$(members ipb)" ]; }
reload_keeps_all() { modprobe vmtp && all_are_members; }
limit_is_lower() { [ "$(a cat /proc/sys/net/ipv4/igmp_max_memberships)" -lt $((2 * pairs)) ]; }

down_and_up() { a ip link set x1 down && a ip link set x1 up && is_member x1; }
mtu_below_ipv4() {
	a ip link add small type dummy && a ip link set small up && is_member small && a ip link set small mtu 60 &&
		is_no_member small
}
mtu_again() { a ip link set small mtu 1500 && is_member small && a ip link del small; }
gone_and_new() {
	a ip link del x2 && a ip link add x2 type veth peer name y2 && a ip link set x2 up && a ip link set y2 up &&
		is_member x2 && is_member y2
}
moved_away() { a ip link set y3 netns ipb && b ip link set y3 up && users_of ipb y3 | grep -qx 1; }

# What the other end of the wire sees of IGMP version 3: the first record of a report is at octet 8, its kind 4 is
# joining and 3 is leaving.
b nft -f - <<'RULES'
table ip t {
	counter joins { }
	counter leaves { }
	chain in {
		type filter hook prerouting priority 0;
		ip protocol igmp @th,64,8 4 @th,96,32 0xe0000100 counter name joins
		ip protocol igmp @th,64,8 3 @th,96,32 0xe0000100 counter name leaves
	}
}
RULES
seen() { # COUNTER: IGMP says it within a second or so
	for _ in $(seq 50); do
		b nft list counter ip t "$1" | grep -q 'packets [1-9]' && return
		sleep 0.1
	done
	b nft list ruleset
	return 1
}
a_report_tells_of_the_group() { a ip link set wire down && a ip link set wire up && seen joins; }
# A socket of a program that has just ended may take a moment to go.
unload() { for _ in $(seq 20); do rmmod vmtp 2>/dev/null && return; sleep 0.2; done; return 1; }
leaving_is_told() { unload && seen leaves; }

# A Probe by multicast finds a server behind any of them (IV.1).
found_behind_the_last_interface() {
	ip netns exec ipb vmtp echo --entity LE-70000-10.83.0.2 >/dev/null &
	server=$!
	until ip netns exec ipb grep -q "^LE-70000-10.83.0.2 " /proc/net/vmtp/entities; do sleep 0.1; done
	a vmtp probe LE-70000-10.83.0.2 >/dev/null
	result=$?
	kill $server
	wait $server 2>/dev/null
	return $result
}

ktap_print_header
ktap_set_plan 12
ktap_test_result "a socket could not join on so many interfaces" limit_is_lower
# Shows: IV.1-a
ktap_test_result "the host is in 224.0.1.0 on every interface" all_are_members
ktap_test_result "an interface that goes down and up is in it once" down_and_up
ktap_test_result "an MTU too small for IPv4 takes the group away" mtu_below_ipv4
ktap_test_result "an MTU large enough brings it back" mtu_again
ktap_test_result "an interface that is removed and made again is in it once" gone_and_new
ktap_test_result "an interface that moves joins in its new namespace" moved_away
a ip link del x3
# Shows: IV.1-a
ktap_test_result "joining is told by IGMP" a_report_tells_of_the_group
ktap_test_result "a server on the last interface is found" found_behind_the_last_interface
ktap_test_result "leaving is told by IGMP when the module goes" leaving_is_told
ktap_test_result "nothing is left of it" nobody_is_member
a ip link add x3 type veth peer name y3
a ip link set x3 up
a ip link set y3 up
ktap_test_result "a module that comes again joins on all" reload_keeps_all
ip netns del ipa
ip netns del ipb
ktap_finished
