#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# `vmtp node`, `entity`, `group` and `move` between three hosts, as a person would use them.
# Each check runs a command and looks for what it must say.

number=0
echo "TAP version 13"
echo "1..32"

cleanup() {
	kill $(jobs -p) 2>/dev/null
	wait
	for host in 1 2 3 net; do ip netns del "m$host" 2>/dev/null; done
}
trap cleanup EXIT

on() { # HOST COMMAND...
	local host=$1
	shift
	ip netns exec "m$host" "$@"
}

check() { # NAME HOST STATUS TEXT COMMAND...
	local name=$1 host=$2 status=$3 text=$4 said got
	shift 4
	number=$((number + 1))
	said=$(on "$host" "$@" 2>&1)
	got=$?
	if [ $got -eq "$status" ] && grep -qe "$text" <<<"$said"; then
		echo "ok $number $name"
	else
		echo "not ok $number $name"
		echo "# $* exits with $got and says:"
		sed 's/^/# /' <<<"$said"
	fi
}

has() { # HOST ENTITY
	on "$1" grep -q "^$2 " /proc/net/vmtp/entities
}

until_has() { # HOST ENTITY
	for _ in $(seq 600); do
		has "$1" "$2" && return
		sleep 0.1
	done
}

modprobe vmtp 2>/dev/null
ip netns add mnet
ip -n mnet link add net0 type bridge mcast_snooping 0
ip -n mnet link set net0 up
for host in 1 2 3; do
	ip netns add m$host
	ip link add veth0 netns m$host type veth peer name port$host netns mnet
	ip -n m$host addr add 10.81.0.$host/24 dev veth0
	ip -n m$host link set lo up
	ip -n m$host link set veth0 up
	ip -n m$host route add default dev veth0
	ip -n mnet link set port$host master net0
	ip -n mnet link set port$host up
done

first=LE-70001-10.81.0.1 second=LE-70002-10.81.0.2 third=LE-70003-10.81.0.3
open=UG-90000-10.81.0.1 closed=RG-90001-10.81.0.1
ip netns exec m1 vmtp echo --entity $first >/dev/null 2>&1 &
ip netns exec m2 vmtp echo --entity $second >/dev/null 2>&1 &
until_has 1 $first
until_has 2 $second

check "a node tells of itself" 1 0 "manager LE-.*streams handled and issued" vmtp node
check "the node of an entity elsewhere is asked there" 1 0 "^10.81.0.2: " vmtp node $second
check "the same as JSON" 1 0 '"host":"10.81.0.2".*"domains":\[1,3\]' vmtp --json node $second
check "every node is asked" 1 0 "10.81.0.3: " vmtp node --all

check "an entity is described" 1 0 "$second: process [0-9]* on 10.81.0.2, user 0" vmtp entity query $second
check "an entity is made" 1 0 "^LE-.*-10.81.0.1" vmtp entity create
check "not on another host" 1 1 "NO_PERMISSION" vmtp entity create --beside $second
check "and it says who may" 1 1 "net.vmtp.remote_management is 1 there" vmtp entity create --beside $second
check "its queue can be set" 2 0 "$second: 4$" vmtp entity service $second 4
check "and changed" 2 0 "$second: 3$" vmtp entity service $second -1
check "not by another host" 1 1 "NO_PERMISSION" vmtp entity service $second 0
check "a block in use is told" 3 1 "in use at 10.81.0.1" vmtp entity block $first
check "a free one as well" 3 0 "is free" vmtp entity block LE-5-10.99.0.7 --timeout 600

check "a group is made" 1 0 "$open: $first is its first member" vmtp group create $first --group $open
check "an entity elsewhere is added" 1 0 "$second is a member" vmtp group add $open $second
check "members are listed host by host" 3 0 "$second at 10.81.0.2" vmtp group members $open
check "the group is called" 3 0 "OK" vmtp call $open --code 0x800001 --multiple 300
check "a restricted group stays as it is" 2 1 "NO_PERMISSION" vmtp group create $first --group $closed
check "a member is taken out" 1 0 "no member any more" vmtp group remove $open $second
check "a group is deleted" 1 0 "deleted" vmtp group delete $open
check "it has no members then" 3 0 "no members" vmtp group members $open --timeout 600

ip netns exec m3 vmtp move receive --entity $third -- vmtp echo --stdin >/dev/null 2>&1 &
until_has 3 $third
check "an entity moves" 2 0 "$second has moved" vmtp move send $second --to $third
until_has 3 $second
check "its Clients find it" 1 0 "3 Requests sent, 3 answered" vmtp ping $second -c 3 -i 0.1 --timeout 10000
check "its old host says that it has moved" 1 1 "ENTITY_MIGRATED" vmtp probe $second --host 10.81.0.2

# Domain 3: nobody has said who is where.
local=/tmp/manage-cli.local
ip netns exec m1 vmtp --json echo --domain 3 >$local 2>/dev/null &
for _ in $(seq 600); do
	grep -q entity $local && break
	sleep 0.1
done
local=$(sed -n 's/.*"entity":"\([^"]*\)".*/\1/p' $local)
check "an entity of Domain 3 is found" 2 0 "2 Requests sent, 2 answered" vmtp ping $local --domain 3 -c 2 -i 0.1 --timeout 10000
check "and asked about" 3 0 "$local is there" vmtp probe $local --domain 3
check "in Domain 1 there is none of that name" 2 1 "NONEXISTENT_ENTITY\|RETRANS_TIMEOUT" vmtp probe $local
check "its host lists it" 1 0 "^$local .* 3$" vmtp show entities
check "its block is in use" 3 1 "in use at 10.81.0.1" vmtp entity block $local --domain 3 --timeout 3000
check "one more is made there" 1 0 "^LE-" vmtp entity create --domain 3
check "a group of Domain 3 is made" 1 0 "is its first member" vmtp group create $local --domain 3
check "there is no other domain" 1 2 "Domain 3, that of one network" vmtp entity create --domain 2
