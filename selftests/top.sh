#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# `vmtp top`: as text and as JSON it tells the entities, their processes and the rates between two hosts; on a terminal
# it draws, obeys keys and leaves the terminal as it was; a process's name is nothing that a terminal obeys.

server=LE-70000-10.9.0.2
said=/tmp/top.said

cleanup() {
	# shellcheck disable=SC2046
	kill $(jobs -p) 2>/dev/null
	wait
	# What the loop below had started last is nobody's job.
	# shellcheck disable=SC2046
	kill $(ip netns pids top-a) $(ip netns pids top-b) 2>/dev/null
	ip netns del top-a 2>/dev/null
	ip netns del top-b 2>/dev/null
}
trap cleanup EXIT
modprobe vmtp 2>/dev/null
ip netns add top-a && ip netns add top-b
ip link add va netns top-a type veth peer name vb netns top-b
ip -n top-a addr add 10.9.0.1/24 dev va && ip -n top-a link set va up
ip -n top-b addr add 10.9.0.2/24 dev vb && ip -n top-b link set vb up

# The kernel names a process after its program's file: this one moves a cursor and changes colours.
evil=$'/tmp/a\e[2J\e[31m'
cp "$(command -v vmtp)" "$evil"
ip netns exec top-b "$evil" echo --entity $server >/dev/null &
until ip netns exec top-b grep -q "^$server " /proc/net/vmtp/entities; do usleep 10000; done
ip netns exec top-a vmtp ping $server -i 0.01 >/dev/null 2>&1 &
# Requests for nobody, which the server's host drops.
while :; do
	ip netns exec top-a vmtp call LE-70001-10.9.0.2 --code 0x800001 >/dev/null 2>&1
	usleep 10000
done &

show() { # HOST ARGUMENT...
	local host=$1
	shift
	ip netns exec "top-$host" vmtp top "$@" >$said 2>&1
}
has() { grep -qE -- "$1" $said; }
harmless() { ! LC_ALL=C tr -d '\n' <$said | LC_ALL=C grep -q '[[:cntrl:]]'; }
# A terminal of 80 by 24; what is shown on it goes to /tmp/top.shown, what is written to /tmp/top.keys is typed.
mkfifo /tmp/top.keys
./helpers/terminal 0 600 /tmp/top.shown </tmp/top.keys &
exec 4>/tmp/top.keys
until [ -s /tmp/top.shown.name ]; do usleep 10000; done
pts=/dev/$(cat /tmp/top.shown.name)
stty -F "$pts" cols 80 rows 24
before=$(stty -F "$pts" -a)
shown() { # TEXT: within half a minute
	for _ in $(seq 300); do
		grep -qF -- "$1" /tmp/top.shown && return
		usleep 100000
	done
	return 1
}

number=0
check() { # NAME COMMAND...
	local name=$1
	shift
	number=$((number + 1))
	if "$@"; then
		echo "ok $number $name"
	else
		echo "not ok $number $name"
		sed 's/^/# /' $said /tmp/top.error 2>/dev/null | tr -d '\033'
	fi
}

echo "TAP version 13"
echo "1..14"
check "a frame is printed as text" show b --batch --interval 2
# One Request at a time is sent to it: in this very moment it may be the one that is queued.
check "it has the server with its process" has "^$server +[0-9]+ +0 +[01] +[1-9].* a\?\[2J\?\[31m\$"
check "it has what comes in a second" has "^in +[1-9][0-9.k]* +[1-9]"
check "it has why packets were dropped" has "^dropped .*[0-9.]+ NoEntity"
check "it has the Client's record" has "^LE-.*-10.9.0.1 +$server +(Processing|Responded|ResponseDiscarded|AwaitingRequest)"
check "it has the host of the Client" has "^10.9.0.1 +[1-9]"
check "nothing in it is for a terminal to obey" harmless
check "the Client's host counts its calls" show a --batch --sort CALLS/S
calls() { awk '/^ENTITY/ { getline; exit !($6 > 1) }' $said; }
check "and the busiest entity comes first" calls
json() { show b --json -n 2 && [ "$(grep -c '"interval_ns":[1-9].*"entities":\[{"entity":"' $said)" = 2 ]; }
check "two frames as JSON are two lines" json
ip netns exec top-b vmtp top -i 0.5 <"$pts" >"$pts" 2>/tmp/top.error &
top=$!
check "on a terminal it draws the table of entities" shown CALLS/S
printf 2 >&4
check "a key chooses another table" shown EXPIRES
ended() { printf q >&4; wait $top && [ ! -s /tmp/top.error ]; }
check "a key ends it" ended
restored() { [ "$(stty -F "$pts" -a)" = "$before" ] && grep -q $'\e\\[?1049l' /tmp/top.shown; }
check "and the terminal is as it was" restored
