#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# `vmtp node`, `entity`, `group` and `move` between three hosts, as a person would use them.
# Each check runs a command and looks for what it must say.

cd "$(dirname "$0")" || exit 1
number=0
echo "TAP version 13"
echo "1..54"

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

serve() { # HOST ENTITY ACTION...: answers.c
	ip netns exec "m$1" ./helpers/answers "${@:2}" >"/tmp/manage-cli.did$1" 2>/dev/null &
	served=$!
	until_has "$1" "$2"
}

end() { # PROCESS
	kill -9 "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

until_did() { # HOST ACTION: of what serves there
	for _ in $(seq 600); do
		grep -qx "$2" "/tmp/manage-cli.did$1" && return
		sleep 0.1
	done
}

until_is() { # HOST SERVER STATE: of a record of its Clients
	for _ in $(seq 600); do
		on "$1" grep -q "^[^ ]* $2 .* $3" /proc/net/vmtp/transactions && return
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

long=LE-70009-10.81.0.2 octets=/tmp/manage-cli.octets
head -c 20000 /dev/zero >$octets
ip netns exec m2 vmtp echo --entity $long --max 1000000 >/dev/null 2>&1 &
until_has 2 $long
check "an echo that its Client cannot take is none" 1 1 "^0x80005a" vmtp call $long --code 0x800001 --data $octets
check "and one that it can take comes" 1 0 "1 Requests sent, 1 answered, 0% loss" vmtp ping $long -c 1 -s 20000 --timeout 10000
check "what an echo does not receive whole is told" 1 1 "more than it takes: .vmtp echo --max 20000" \
	vmtp ping $first -c 1 -s 20000 --timeout 10000
check "a call that fails leaves a file as it was" 1 0 "^20000$" \
	sh -c "! vmtp call LE-5-10.81.0.2 --code 0x800001 --timeout 500 --out $octets >/dev/null && stat -c %s $octets"

passed=LE-70011-10.81.0.1 passing=LE-70012-10.81.0.2 keeping=LE-70013-10.81.0.3
serve 2 $passing $keeping
forwards=$served
serve 3 $keeping hold
keeps=$served
ip netns exec m1 vmtp call $passing --code 0x800001 --from $passed >/dev/null 2>&1 &
calls=$!
until_is 3 $keeping Processing
check "who passed a Request on is told" 3 0 "Request of $passed was passed on by $passing, of user 0 on 10.81.0.2" \
	vmtp entity forwarder $passed --host 10.81.0.2
check "the same as JSON" 3 0 "\"forwarder\":\"$passing\",\"host\":\"10.81.0.2\",\"uid\":0" \
	vmtp --json entity forwarder $passed --host 10.81.0.2
check "nobody passed another's on" 3 1 "NONEXISTENT_ENTITY" vmtp entity forwarder $first --host 10.81.0.2
for process in $calls $forwards $keeps; do end $process; done

check "a group is made" 1 0 "$open: $first is its first member" vmtp group create $first --group $open
check "an entity elsewhere is added" 1 0 "$second is a member" vmtp group add $open $second
check "members are listed host by host" 3 0 "$second at 10.81.0.2" vmtp group members $open
check "the group is called" 3 0 "OK" vmtp call $open --code 0x800001 --multiple 300
check "a restricted group stays as it is" 2 1 "NO_PERMISSION" vmtp group create $first --group $closed
check "a member is taken out" 1 0 "no member any more" vmtp group remove $open $second
check "a group is deleted" 1 0 "deleted" vmtp group delete $open
check "it has no members then" 3 0 "no members" vmtp group members $open --timeout 600

# Receivers that are none, or end. 0x800001 is that the entity is not there, or why it is not taken; 0x800002 that it is.
fake=LE-70004-10.81.0.3
check "without a receiver nothing begins" 2 2 "$fake does not answer" vmtp move send $second --to $fake --timeout 500
serve 3 $fake 0
check "nor with something else" 2 2 "$fake is no .vmtp move receive" vmtp move send $second --to $fake
check "and it serves" 1 0 "1 Requests sent, 1 answered" vmtp ping $second -c 1 --timeout 10000
end $served
serve 3 $fake 0x800001 abandon 0x800001
check "it goes on if the receiver says that it has it not" 2 2 "$second stays here" vmtp move send $second --to $fake
check "and serves" 1 0 "1 Requests sent, 1 answered" vmtp ping $second -c 1 --timeout 10000
end $served
serve 3 $fake 0x800001 exit
check "it stays stopped if nobody says" 2 1 "$second stays stopped here: $fake may have become it" \
	vmtp move send $second --to $fake --timeout 500
check "so that it is not there twice" 1 1 "1 Requests sent, 0 answered" vmtp ping $second -c 1 --timeout 1000
check "it can be resumed" 2 0 "$second goes on here" vmtp move resume $second
check "and serves again" 1 0 "1 Requests sent, 1 answered" vmtp ping $second -c 1 --timeout 10000

# A record with a Response that does not arrive makes an image of two pieces, the first of which is not answered.
# Its Client is known before.
large=LE-70005-10.81.0.2 asking=LE-70014-10.81.0.1
serve 2 $large 0x800003 0x800003:1200000 0x800003
serves=$served
serve 3 $fake 0x800001 hold
on 1 vmtp call $large --code 0x800001 --from $asking >/dev/null
ip netns exec mnet tc qdisc add dev port1 root netem loss 100%
ip netns exec m1 vmtp call $large --code 0x800001 --from $asking --max 4194304 >/dev/null 2>&1 &
calls=$!
until_is 2 $large Responded
ip netns exec m2 vmtp move send $large --to $fake >/tmp/manage-cli.sent 2>&1 &
sends=$!
until_did 3 hold
kill -INT $sends
wait $sends
echo "status $?" >>/tmp/manage-cli.sent
check "a signal lets it go on, which is said once" 2 0 "^1$" grep -c "$large stays here" /tmp/manage-cli.sent
check "and fails" 2 0 "^status [12]$" cat /tmp/manage-cli.sent
check "it serves" 3 1 "^0x800003" vmtp call $large --code 0x800001 --timeout 10000
ip netns exec mnet tc qdisc del dev port1 root
for process in $calls $serves $served; do end $process; done

ip netns exec m3 vmtp move receive --entity $third --from 10.81.0.2 --max 100000 -- vmtp echo --stdin >/dev/null 2>&1 &
until_has 3 $third
check "a receiver takes nothing from others" 1 1 "this waits for another sender" vmtp call $third --code 0x804D56 --data $0 --out -
check "nor too much" 2 1 "more than --max 100000" vmtp call $third --code 0x804D56 --data $0 --out - -u 00000000000186a1
check "a datagram is none of its business" 2 0 "has gone" vmtp call $third --code 0x804D56 --datagram
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
