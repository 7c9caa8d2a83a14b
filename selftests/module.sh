#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vmtp.ko as a module: it is for this kernel, comes and goes 100 times without leaving anything, stays while a socket
# is open, and comes by itself when a socket is made.
. ../kselftest/ktap_helpers.sh

module=/lib/modules/$(uname -r)/extra/vmtp.ko

loaded() { grep -q '^vmtp ' /proc/modules; }

vermagic_is_of_this_kernel() {
	[ "$(modinfo "$module" | awk '$1 == "vermagic:" { print $2 }')" = "$(uname -r)" ]
}

cycle() { # TIMES
	for _ in $(seq "$1"); do
		insmod "$module" && rmmod vmtp || return 1
	done
}

# Objects in use of every kernel cache, those kept back for speed having been given back.
objects() {
	sleep 1 # for what is freed after a grace period
	for shrink in /sys/kernel/slab/*/shrink; do echo 1 >"$shrink"; done 2>/dev/null
	awk 'FNR > 2 { print $1, $2 }' /proc/slabinfo
}

# A cache that gains one object a cycle has grown by 100; other parts of the kernel move it by a few.
no_cache_has_grown() {
	objects >/tmp/after
	awk 'NR == FNR { before[$1] = $2; next }
	     $2 - before[$1] >= 90 { print "#", $1, "had", before[$1] + 0, "objects and has", $2; leak = 1 }
	     END { exit leak }' /tmp/before /tmp/after
}

# The debug kernel keeps records of its own of what modules do, but knows for certain what leaks.
kmemleak=/sys/kernel/debug/kmemleak
no_leak_is_known() {
	echo scan >$kmemleak
	sleep 6 # what is younger than 5 s is not reported
	echo scan >$kmemleak
	! grep . $kmemleak
}

nothing_is_left() {
	if [ -e $kmemleak ]; then no_leak_is_known; else no_cache_has_grown; fi &&
		! grep -q vmtp /proc/slabinfo && ! grep -qi vmtp /proc/net/protocols && [ ! -e /proc/net/vmtp ]
}

rmmod_is_refused() { ! rmmod vmtp 2>/dev/null && loaded; }
rmmod_succeeds() { rmmod vmtp && ! loaded; }
# Discriminators are times, of a clock that goes on.
identifiers_are_new_after_a_reload() {
	./take-identifiers 2000 >/tmp/first && rmmod vmtp && insmod "$module" && ./take-identifiers 2000 >/tmp/second &&
		[ "$(sort -u /tmp/first /tmp/second | wc -l)" = 4000 ]
}
socket_loads_it() { ./hold-socket </dev/null >/dev/null && loaded; }

ktap_print_header
ktap_set_plan 7

ktap_test_result "vermagic is the running kernel's" vermagic_is_of_this_kernel

! loaded || rmmod vmtp
cycle 5 # what is allocated once and kept is no leak
objects >/tmp/before
ktap_test_result "insmod and rmmod 100 times" cycle 100
ktap_test_result "100 cycles leave no objects, caches, protocols or files" nothing_is_left

insmod "$module"
coproc ./hold-socket
holder=$COPROC_PID
read -r _ <&"${COPROC[0]}"
ktap_test_result "rmmod is refused while a socket is open" rmmod_is_refused

exec {COPROC[1]}>&-
wait "$holder"
ktap_test_result "rmmod succeeds once the socket is closed" rmmod_succeeds

ktap_test_result "making a socket loads the module" socket_loads_it
# Shows: D-12-c
ktap_test_result "identifiers are new after a reload" identifiers_are_new_after_a_reload

ktap_finished
