#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The tracepoints: one transaction is seen as packets in and out, changes of state, and drops with their reason.
. ../kselftest/ktap_helpers.sh

tracing=/sys/kernel/tracing
entity=LE-70000-127.0.0.1

modprobe vmtp 2>/dev/null
ip link set lo up
echo 1 >$tracing/events/vmtp/enable
echo >$tracing/trace
vmtp echo --entity $entity >/dev/null &
server=$!
until grep -q "^$entity " /proc/net/vmtp/entities; do sleep 0.1; done
vmtp ping $entity -c 1 >/dev/null
# Nobody has this entity: the Request is dropped.
vmtp call LE-70001-127.0.0.1 --code 0x800001 --timeout 300 >/dev/null 2>&1
kill $server
echo 0 >$tracing/events/vmtp/enable
cp $tracing/trace /tmp/trace

# The helpers split what they are given at blanks: a dot stands for one.
seen() { grep -q "$@" /tmp/trace; }

ktap_print_header
ktap_set_plan 5
ktap_test_result "a Request goes out" seen vmtp_packet_out:.host=127.0.0.1.request
ktap_test_result "a Response comes in" seen vmtp_packet_in:.host=127.0.0.1.response
ktap_test_result "a Client waits for its Response" seen vmtp_state:.client..*state=AwaitingResponse
ktap_test_result "a server processes a Request" seen vmtp_state:.server..*state=Processing
ktap_test_result "a drop has its reason" seen vmtp_drop:.reason=VmtpDropNoEntity
ktap_finished
