#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What goes while it is in use: network namespaces, the owners of all sockets, and the module itself while peers go on
# sending. The debug kernel tells what was used after it was freed; nothing may be left behind.
. ../kselftest/ktap_helpers.sh

loaded() { grep -q '^vmtp ' /proc/modules; }

# A socket of a process that has just been killed may take a moment to go.
unloads() {
	for _ in $(seq 50); do
		rmmod vmtp 2>/dev/null && return 0
		sleep 0.1
	done
	lsmod | sed 's/^/# /'
	return 1
}

pair() { # two hosts, linked
	ip netns add a && ip netns add b &&
		ip link add veth0 netns a type veth peer name veth0 netns b || return 1
	for n in a b; do ip -n $n link set lo up && ip -n $n link set veth0 up; done
	ip -n a addr add 10.0.0.1/24 dev veth0 && ip -n b addr add 10.0.0.2/24 dev veth0
}

# Servers in both, Clients of each in the other: small Requests one after the other, and large ones.
load() {
	ip netns exec a vmtp echo --entity LE-70000-10.0.0.1 --max 200000 --threads 2 >/dev/null 2>&1 &
	ip netns exec b vmtp echo --entity LE-70000-10.0.0.2 --max 200000 --threads 2 >/dev/null 2>&1 &
	sleep 0.5
	for size in 0 0 100 16384 150000; do
		ip netns exec b vmtp ping -q -i 0 -s $size LE-70000-10.0.0.1 >/dev/null 2>&1 &
		ip netns exec a vmtp ping -q -i 0 -s $size LE-70000-10.0.0.2 >/dev/null 2>&1 &
	done
	sleep 1
}

# Entities of all hosts by the counter of a namespace that stays: processes hold their namespaces until they are gone.
namespaces_go_under_load() {
	for round in 1 2 3; do
		pair && load || return 1
		# The link goes with its namespace, the other end loses its peer in the middle of everything.
		ip netns del a
		sleep 0.5
		jobs -p | xargs kill -9 2>/dev/null
		ip netns del b
		wait 2>/dev/null
	done
	unloads && modprobe vmtp
}

a_host_restarts_under_load() {
	pair && load || return 1
	for round in 1 2 3; do
		# The same host again, with nothing of what it knew.
		ip netns pids a | xargs kill -9
		ip netns del a
		ip netns add a
		ip -n b link del veth0 2>/dev/null
		ip link add veth0 netns a type veth peer name veth0 netns b
		for n in a b; do ip -n $n link set lo up && ip -n $n link set veth0 up; done
		ip -n a addr add 10.0.0.1/24 dev veth0 && ip -n b addr add 10.0.0.2/24 dev veth0
		ip netns exec a vmtp echo --entity LE-70000-10.0.0.1 >/dev/null 2>&1 &
		sleep 1
		ip netns exec b vmtp ping -q -c 3 -i 0 -r 30 -s 5000 LE-70000-10.0.0.1 | grep -v '^$' | sed 's/^/# /'
		[ "${PIPESTATUS[0]}" -eq 0 ] || return 1
	done
	jobs -p | xargs kill -9 2>/dev/null
	wait 2>/dev/null
	ip netns del a && ip netns del b
}

# Of the whole machine, in its first namespace, which does not go.
module_goes_while_peers_send() {
	coproc ./peer
	sender=$COPROC_PID
	read -r line <&"${COPROC[0]}" && [ "$line" = sending ] || return 1
	for round in 1 2 3 4 5; do
		modprobe vmtp || return 1
		owners=
		for i in 0 1 2 3; do
			vmtp echo --entity LE-10000$i-10.81.0.1 >/dev/null 2>&1 &
			owners="$owners $!"
			vmtp ping -q -i 0 LE-10000$i-10.81.0.1 >/dev/null 2>&1 &
			owners="$owners $!"
		done
		sleep 1
		# An honest Client is served beside all that.
		[ $round -gt 1 ] || vmtp ping -q -c 3 -i 0 -r 30 LE-100000-10.81.0.1 >/dev/null || return 1
		kill -9 $owners
		wait $owners 2>/dev/null
		unloads || return 1
	done
	kill -9 "$sender"
	wait "$sender" 2>/dev/null
	modprobe vmtp
}

# The shell tells of every process that was killed.
exec 2>/tmp/faults-load.errors
trap 'grep -v Killed /tmp/faults-load.errors | sed "s/^/# /"' EXIT

ktap_print_header
ktap_set_plan 3
loaded || modprobe vmtp
ktap_test_result "namespaces go under load, and take all with them" namespaces_go_under_load
ktap_test_result "a host restarts under load, and is served and serves" a_host_restarts_under_load
ktap_test_result "owners are killed and the module goes while a peer goes on sending" module_goes_while_peers_send
ktap_finished
