#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The Message Send Protocol: RFC 1159 and RFC 1312 over UDP and TCP with Debian's nc, and over VMTP to a host (which
# loses every tenth packet) and to a group; terminals, who refuses, duplicates, and what must never reach a terminal.
cd "$(dirname "$0")" || exit 1
. ./helpers/rpc-hosts.sh

server=10.9.0.2
group=RG-77-224.0.1.77
dir=/tmp/msg
mkdir -p $dir

terminal() { # FILE USER MODE [utf8]
	rm -f "$dir/$1.name"
	./helpers/terminal "$2" "$3" "$dir/$1" ${4:+"$4"} &
	started="$started $!"
	within 20 test -s "$dir/$1.name"
}
tcp() { ip netns exec rpc-a nc.openbsd -N -w 10 $server 18; }
udp() { { cat; sleep 1.5; } | ip netns exec rpc-a nc.openbsd -u -w 1 ${1:+-p "$1"} $server 18; }
msg() { ip netns exec rpc-a vmtp msg "$@" >/tmp/said 2>&1; }
shown() { within 10 grep -aq "$2" "$dir/$1"; } # ON WHAT
times() { [ "$(grep -ac "$2" "$dir/$1")" = "$3" ]; }
forget() { for file in chris second strict console; do : >"$dir/$file"; done; }

the_example_of_rfc_1312() {
	printf 'Bchris\0\0Hi\r\nHow about lunch?\0sandy\0console\0910806121325\0\0' | tcp >$dir/answer
	[ "$(head -c 1 $dir/answer)" = + ] && [ "$(tail -c 1 $dir/answer | od -An -tu1 | tr -d ' ')" = 0 ] &&
		shown chris 'How about lunch' && shown chris 'sandy@10.9.0.1 on console'
}
two_messages_in_one_connection() {
	printf 'Bchris\0\0one\0a\0\0c1\0\0Bnobody-here\0\0two\0a\0\0c2\0\0' | tcp | tr '\0' '\n' >$dir/answer
	sed -n 1p $dir/answer | grep -q '^+' && sed -n 2p $dir/answer | grep -q '^-there is no user nobody-here'
}
rfc_1159_over_udp() {
	printf 'Achris\0\0first version\0' >$dir/sent
	udp <$dir/sent >$dir/answer
	cmp $dir/sent $dir/answer && shown chris 'first version'
}
a_system_port_is_not_answered() {
	printf 'Achris\0\0from the echo\0' | udp 7 >$dir/answer
	[ ! -s $dir/answer ] && shown chris 'from the echo'
}
what_comes_again_is_a_duplicate() {
	printf 'Achris\0\0going round\0' >$dir/sent
	udp 5001 <$dir/sent >$dir/answer1
	udp 5001 <$dir/sent >$dir/answer2
	cmp $dir/sent $dir/answer1 && [ ! -s $dir/answer2 ] && times chris 'going round' 1
}
rfc_1159_over_tcp() {
	printf 'Achris\0\0by stream\0' | tcp >$dir/answer
	[ ! -s $dir/answer ] && shown chris 'by stream'
}
rfc_1159_without_user() {
	printf 'A\0\0to the console\0' | udp >/dev/null
	shown console 'to the console'
}
acknowledged_over_udp() {
	printf 'Bchris\0\0by datagram\0sandy\0\0c3\0\0' | udp >$dir/answer
	grep -aq '^+delivered' $dir/answer && shown chris 'by datagram'
}
a_duplicate_is_shown_once() {
	for answer in 1 2 3; do
		printf 'Bchris\0\0only once\0sandy\0\0c4\0\0' | udp 5000 >$dir/answer$answer
		grep -aq '^+' $dir/answer$answer || return 1
	done
	printf 'Bchris\0\0another one\0sandy\0\0c5\0\0' | udp 5000 >/dev/null
	shown chris 'another one' && times chris 'only once' 1
}
for_anybody_is_not_answered() {
	printf 'B\0\0for anybody\0sandy\0\0c6\0\0' | udp >$dir/answer
	[ ! -s $dir/answer ] && shown console 'for anybody'
}
undelivered_is_not_answered_over_udp() {
	printf 'Bnobody-here\0\0x\0sandy\0\0c7\0\0' | udp >$dir/answer
	[ ! -s $dir/answer ]
}
who_refuses_is_left_alone() {
	printf 'Bstrict\0\0please\0sandy\0\0c8\0\0' | tcp >$dir/answer
	grep -aq '^-strict does not accept messages' $dir/answer && [ ! -s $dir/strict ]
}
all_terminals() {
	printf 'Bchris\0*\0on all\0sandy\0\0c9\0\0' | tcp >/dev/null
	shown chris 'on all' && shown second 'on all' && [ ! -s $dir/strict ]
}
a_named_terminal() {
	printf 'B\0%s\0on that\0sandy\0\0c10\0\0' "$(tr a-z A-Z <$dir/second.name)" | tcp >/dev/null
	shown second 'on that' && times chris 'on that' 0
}
# A serial line of chris's that something is attached to, and a screen that nobody has logged in on.
devices_are_no_terminals() {
	chown 1001:20 /dev/ttyS1 && chmod 660 /dev/ttyS1 && chown 1001:5 /dev/tty5 && chmod 620 /dev/tty5 || return 1
	printf 'Bchris\0*\0on no device\0sandy\0\0c13\0\0' | tcp | tr '\0' '\n' >/tmp/said
	grep -q '^+delivered to pts' /tmp/said && ! grep -q tty /tmp/said
}
# What a login does: the number of the user is that of its processes from then on, and the screen their terminal.
has_logged_in() { [ "$(cat "/proc/$1/loginuid")" = 1001 ]; }
a_screen_with_a_login() {
	setsid -c sh -c 'echo 1001 >/proc/self/loginuid; exec sleep 1000' </dev/tty5 &
	started="$started $!"
	within 20 has_logged_in $! || return 1
	printf 'Bchris\0tty5\0on the screen\0sandy\0\0c14\0\0' | tcp | tr '\0' '\n' >/tmp/said
	grep -q '^+delivered to tty5' /tmp/said
}
# Every octet but NUL, in every part that is shown: to a terminal of 8-bit characters and to one of UTF-8.
every_octet() {
	local all='' octal
	for octet in $(seq 1 255); do
		printf -v octal %03o "$octet"
		all="$all\\$octal"
	done
	printf "Bchris\\0$1\\0%b\\0\\033]0;x\\007\\233\\0\\033c\\0$2\\0\\0" "$all" | tcp >/dev/null
}
no_control_reaches() { # FILE: only our bell, TAB and line ends
	[ "$(LC_ALL=C tr -d '\011\012\015\040-\176\240-\377' <"$dir/$1" | od -An -tx1 | tr -d ' \n')" = "$2" ]
}
eight_bit_is_clean() {
	forget
	every_octet "$(cat $dir/chris.name)" c11
	shown chris 'abcdefg' && no_control_reaches chris 07
}
utf8_is_clean() {
	every_octet "$(cat $dir/second.name)" c12
	# As characters: none from U+0080 to U+009F, which are C2 80 to C2 9F; é has arrived as such.
	shown second 'abcdefg' && ! od -An -v -tx1 $dir/second | tr -d ' \n' | sed 's/../& /g' | grep -q 'c2 [89]' &&
		LC_ALL=C grep -aq "$(printf '\303\251')" $dir/second &&
		[ "$(LC_ALL=C tr -d '\011\012\015\040-\176\200-\377' <$dir/second | od -An -tx1 | tr -d ' \n')" = 07 ]
}
too_long_is_not_shown() {
	{ printf 'Bchris\0\0'; head -c 600 /dev/zero | tr '\0' L; printf '\0s\0\0c\0\0'; } | tcp >$dir/answer
	[ ! -s $dir/answer ] && times chris LLLL 0 && ! msg chris@$server "$(head -c 600 /dev/zero | tr '\0' L)" &&
		grep -q 'shorten the text' /tmp/said
}
garbage_ends_nothing() {
	ip netns exec rpc-a bash -c "for i in \$(seq 40); do head -c \$((i * 20)) /dev/urandom >/dev/udp/$server/18; done"
	for i in $(seq 5); do head -c 300 /dev/urandom | tcp >/dev/null; done
	msg chris@$server 'still there' && shown chris 'still there'
}
each_once_over_vmtp() {
	for i in $(seq 20); do msg chris@$server "number $i." || return 1; done
	for i in $(seq 20); do times chris "number $i\\." 1 || return 1; done
}
says_why_not() { ! msg nobody-here@$server x && grep -q -- '- there is no user' /tmp/said; }
by_udp() { msg --via udp chris@$server 'client by udp' && grep -q '+ delivered' /tmp/said && shown chris 'client by udp'; }
by_tcp() { msg --via tcp chris@$server 'client by tcp' && grep -q '+ delivered' /tmp/said && shown chris 'client by tcp'; }
by_version_1() { msg --v1 --via udp chris@$server 'version one' && grep -q '+ received' /tmp/said && shown chris 'version one'; }
all_of_a_group() {
	msg --wait 6000 chris@$group 'to the group' && [ "$(grep -c '+ delivered' /tmp/said)" = 2 ] && times chris 'to the group' 2
}
group_for_anybody() { msg @$group 'all of you' && grep -q '+ delivered' /tmp/said && shown console 'all of you'; }
nobody_serves() { ! msg chris@$server x && grep -q 'vmtp msgd' /tmp/said; }

serve() { # NAMESPACE ADDRESS; sets msgd
	ip netns exec "$1" vmtp msgd --console $dir/console --join $group >/dev/null &
	msgd=$!
	started="$started $msgd"
	within 20 has_entity "$1" "BE-18-$2"
}

ktap_begin 29
grep -q ^chris: /etc/passwd || printf 'chris:x:1001:100::/:/bin/sh\nstrict:x:1002:100::/:/bin/sh\n' >>/etc/passwd
grep -q ^tty: /etc/group || echo 'tty:x:5:' >>/etc/group
hosts 10%
# nc and UDP have nothing against loss: it begins with VMTP.
tc -n rpc-a qdisc del dev va root
tc -n rpc-b qdisc del dev vb root
ip -n rpc-a route add 224.0.0.0/4 dev va
ip -n rpc-b route add 224.0.0.0/4 dev vb
: >$dir/console
terminal second 1001 620 utf8
sleep 1 # so that the other is the one used last
terminal chris 1001 620
terminal strict 1002 600
touch -a "/dev/$(cat $dir/chris.name)"
serve rpc-b $server

check "the example of RFC 1312 over TCP is acknowledged and shown" the_example_of_rfc_1312
check "two messages in one connection have two acknowledgements" two_messages_in_one_connection
check "RFC 1159 over UDP is answered with the same data" rfc_1159_over_udp
check "a system port, which might answer in turn, is not answered" a_system_port_is_not_answered
check "RFC 1159 over UDP is shown and answered once, not each time it comes" what_comes_again_is_a_duplicate
check "RFC 1159 over TCP is shown and not answered" rfc_1159_over_tcp
check "RFC 1159 without a user is for the console" rfc_1159_without_user
check "RFC 1312 over UDP is acknowledged" acknowledged_over_udp
check "a duplicate is shown once and acknowledged each time" a_duplicate_is_shown_once
check "what is for anybody is shown on the console and not answered" for_anybody_is_not_answered
check "what is not delivered is not answered over UDP" undelivered_is_not_answered_over_udp
check "a user who said mesg n is left alone" who_refuses_is_left_alone
check "the terminal * is all of a user's" all_terminals
check "a terminal may be named, in any case of letters" a_named_terminal
check "serial lines and screens without a login are no terminals" devices_are_no_terminals
check "a screen with a login is" a_screen_with_a_login
check "no control character reaches a terminal of 8-bit characters" eight_bit_is_clean
check "nor one of UTF-8" utf8_is_clean
check "what is too long is refused, by server and client" too_long_is_not_shown
check "after garbage it still serves" garbage_ends_nothing
check "vmtp msg goes over UDP" by_udp
check "vmtp msg goes over TCP" by_tcp
check "vmtp msg speaks version 1" by_version_1
tc -n rpc-a qdisc add dev va root netem loss 10%
tc -n rpc-b qdisc add dev vb root netem loss 10%
check "20 messages over VMTP are each shown once" each_once_over_vmtp
check "over VMTP a server says why not" says_why_not
tc -n rpc-a qdisc del dev va root
tc -n rpc-b qdisc del dev vb root
first=$msgd
serve rpc-a 10.9.0.1
check "a group's servers each show it" all_of_a_group
check "what is for anybody at a group is shown on consoles" group_for_anybody
kill $first
wait $first 2>/dev/null
check "without a server vmtp msg says what to start" nobody_serves
check "the terminal of who refuses was never written to" test ! -s $dir/strict
exit $failed
