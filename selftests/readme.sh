#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The README's C programs, run between two hosts as a reader would run them.
here=$(dirname "$0")
server=LE-70000-10.9.0.2
echo "TAP version 13"
echo "1..2"
cleanup() {
	[ -n "$pid" ] && kill "$pid" 2>/dev/null
	ip netns del readme-a 2>/dev/null
	ip netns del readme-b 2>/dev/null
}
trap cleanup EXIT
ip netns add readme-a && ip netns add readme-b
ip link add va netns readme-a type veth peer name vb netns readme-b
ip -n readme-a addr add 10.9.0.1/24 dev va && ip -n readme-a link set va up
ip -n readme-b addr add 10.9.0.2/24 dev vb && ip -n readme-b link set vb up
ip netns exec readme-b "$here/helpers/example-server" $server &
pid=$!
# Until the server has bound its entity, which can be seen.
tries=0
until ip netns exec readme-b grep -q "^$server " /proc/net/vmtp/entities; do
	tries=$((tries + 1))
	[ $tries -gt 1000 ] && break
	usleep 10000
done
answer=$(ip netns exec readme-a "$here/helpers/example-client" $server "hello, world")
if [ "$answer" = "HELLO, WORLD" ]; then
	echo "ok 1 the client of the README gets its answer from the server of the README"
else
	echo "not ok 1 the client of the README gets its answer from the server of the README # got: $answer"
fi
kill $pid; wait $pid 2>/dev/null; pid=
answer=$(ip netns exec readme-a "$here/helpers/example-client" $server "hello, world" 2>&1)
if [ "$answer" = "NONEXISTENT_ENTITY" ]; then
	echo "ok 2 without the server the client says NONEXISTENT_ENTITY"
else
	echo "not ok 2 without the server the client says NONEXISTENT_ENTITY # got: $answer"
fi
