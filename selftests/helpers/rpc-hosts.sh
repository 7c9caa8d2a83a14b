# SPDX-License-Identifier: GPL-2.0
# What the tests of ONC RPC share: two hosts in namespaces rpc-a and rpc-b, programs in them, and KTAP of several
# programs as one. Sourced by rpc*.sh.

failed=0 number=0 started=''

ktap_begin() { # TESTS
	echo "TAP version 13"
	echo "1..$1"
}

check() { # NAME COMMAND...
	local name=$1
	shift
	number=$((number + 1))
	if "$@"; then
		echo "ok $number $name"
	else
		failed=1
		echo "not ok $number $name"
		[ ! -s /tmp/said ] || sed 's/^/# /' /tmp/said
	fi
}

# Runs a program that prints KTAP, and numbers its tests with the others. What it did not get to is missing in the plan.
run_tests() { # COMMAND...
	"$@" >/tmp/ktap 2>&1 || failed=1
	awk -v n=$number '/^(not )?ok / { sub(/ok [0-9]*/, "ok " ++n); print; next } /^TAP|^1\.\.|^# Totals/ { next }
		/^#/ { print; next } { print "# " $0 }' /tmp/ktap
	number=$((number + $(grep -cE '^(not )?ok ' /tmp/ktap)))
}

within() { # SECONDS COMMAND...: until it succeeds
	local end=$(($(date +%s) + $1))
	shift
	until "$@"; do
		[ "$(date +%s)" -lt $end ] || return 1
		sleep 0.2
	done
}

hosts() { # LOSS
	ip netns add rpc-a && ip netns add rpc-b
	ip link add va netns rpc-a type veth peer name vb netns rpc-b
	ip -n rpc-a addr add 10.9.0.1/24 dev va && ip -n rpc-a link set va up && ip -n rpc-a link set lo up
	ip -n rpc-b addr add 10.9.0.2/24 dev vb && ip -n rpc-b link set vb up && ip -n rpc-b link set lo up
	tc -n rpc-a qdisc add dev va root netem loss "$1"
	tc -n rpc-b qdisc add dev vb root netem loss "$1"
}

has_entity() { # NAMESPACE ENTITY
	ip netns exec "$1" grep -q "^$2 " /proc/net/vmtp/entities
}

start_binder() { # ADDRESS (of rpc-b)
	ip netns exec rpc-b vmtp rpcbind >/dev/null &
	binder_pid=$!
	started="$started $binder_pid"
	within 20 has_entity rpc-b "BE-111-$1"
}

start_server() { # sets entity and server_pid
	rm -f /tmp/entity
	ip netns exec rpc-b ./rpc-server vmtp >/tmp/entity &
	server_pid=$!
	started="$started $server_pid"
	within 20 test -s /tmp/entity
	entity=$(cat /tmp/entity)
}

rpc_cleanup() {
	# shellcheck disable=SC2086
	[ -z "$started" ] || kill $started 2>/dev/null
	wait
	ip netns del rpc-a 2>/dev/null
	ip netns del rpc-b 2>/dev/null
}
trap rpc_cleanup EXIT
