#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# `vmtp filed` and `vmtp mount` between two hosts that lose packets: a tree is copied both ways, a compiler works on it,
# errors are those of a file system, and the server is killed in the middle.
cd "$(dirname "$0")" || exit 1
. ./helpers/rpc-hosts.sh
. ./helpers/file-hosts.sh

listed() { # what ls says of the exported folder and of the mounted one
	(cd $export && ls -a tree/deep/deeper) >$dir/one && (cd $there && ls -a tree/deep/deeper) >$dir/other &&
		cmp $dir/one $dir/other && [ "$(stat -c '%s %a %F' $there/tree/file-9)" = "$(stat -c '%s %a %F' $export/tree/file-9)" ]
}
many_names() {
	local names
	mkdir $export/many && (cd $export/many && for name in $(seq 1500); do : >"name-$name"; done) || return 1
	names=$(cd $there/many && printf '%s\n' *)
	[ "$(sort -u <<<"$names" | wc -l)" = 1500 ] && [ "$(wc -l <<<"$names")" = 1500 ] && rm -r $export/many
}
renamed() {
	mv $there/tree/deep $there/moved && [ -f $export/moved/deeper/text-1 ] && [ ! -e $export/tree/deep ] &&
		grep -q 'text 7' $there/moved/deeper/text-7 &&
		mv $there/moved/deeper/text-1 $there/moved/deeper/text-2 && grep -q 'text 1' $export/moved/deeper/text-2 &&
		[ ! -e $there/moved/deeper/text-1 ] && mv $there/moved $there/tree/deep
}
removed() {
	rm $there/tree/file-1 && [ ! -e $export/tree/file-1 ] && rmdir $there/tree/empty && [ ! -e $export/tree/empty ]
}
changed() {
	echo more >>$there/tree/file-4 && [ "$(stat -c %s $export/tree/file-4)" = 517 ] &&
		truncate -s 100 $there/tree/file-4 && [ "$(stat -c %s $export/tree/file-4)" = 100 ] &&
		chmod 640 $there/tree/file-4 && touch -d '2001-02-03 04:05:06' $there/tree/file-4 &&
		[ "$(stat -c '%a %Y' $export/tree/file-4)" = "640 $(stat -c %Y $there/tree/file-4)" ] &&
		[ "$(date -r $export/tree/file-4 +%Y)" = 2001 ] && chown 12:34 $there/tree/file-4 &&
		[ "$(stat -c %u:%g $export/tree/file-4)" = 12:34 ] && chmod 4755 $there/tree/file-4 && [ ! -u $export/tree/file-4 ]
}
links() {
	ln -s deep/link $there/tree/new-link && [ "$(readlink $export/tree/new-link)" = deep/link ] &&
		ln $there/tree/file-5 $there/tree/hard && [ $export/tree/file-5 -ef $export/tree/hard ] &&
		[ "$(stat -c %h $there/tree/file-5)" = 2 ] && rm $there/tree/file-5 && cmp $there/tree/hard $export/tree/hard
}
grown() { # by the server's host, within the second for which a size is believed; cat of busybox is sendfile(2)
	printf 0123456789 >$export/grown && [ "$(stat -c %s $there/grown)" = 10 ] && printf more >>$export/grown &&
		[ "$(dd if=$there/grown bs=100 2>/dev/null)" = 0123456789more ]
}
appended() { # by both hosts
	exec 4>>$there/grown && printf 1 >&4 && printf 2 >>$export/grown && printf 3 >&4 && exec 4>&- &&
		[ "$(cat $export/grown)" = 0123456789more123 ] && rm $there/grown
}
replaced() { # on the server, within the second for which a name is believed, and one of two hard links
	echo mine >$export/one && ln $export/one $export/two && echo foreign >$export/other &&
		[ "$(cat $there/one)" = mine ] && [ "$(cat $there/two)" = mine ] && mv $export/other $export/two &&
		echo written >$there/one && [ "$(cat $export/one)" = written ] && [ "$(cat $export/two)" = foreign ] &&
		chmod 600 $there/one && [ "$(stat -c %a $export/two)" != 600 ] &&
		within 20 says_foreign && rm $there/one $there/two
}
says_foreign() { [ "$(cat $there/two)" = foreign ]; }
removed_while_open() {
	exec 3<>$there/tree/open && rm $there/tree/open && echo still here >&3 &&
		[ "$(stat -L -c %s /proc/$$/fd/3)" = 11 ] && [ ! -e $export/tree/open ] && exec 3>&-
}
room() { # df tells the server's
	[ "$(stat -f -c '%b %S' $export | awk '{ print $1 * $2 }')" = "$(stat -f -c '%b %S' $there | awk '{ print $1 * $2 }')" ]
}
compiles() {
	mkdir $there/program && cp $dir/program/* $there/program/ &&
		(cd $there/program && for source in start text; do tcc -nostdlib -nostdinc -c $source.c -o $source.o || exit; done &&
			tcc -nostdlib -static -o program start.o text.o && ./program) >/tmp/said 2>&1 && grep -q 'compiled over VMTP' /tmp/said
}
no_such_file() { fails 'no such file' cat $there/none && fails 'no such file' rmdir $there/none; }
wrong_kinds() {
	fails 'not empty' rmdir $there/tree && fails 'exists' mkdir $there/tree && fails 'not a directory' ls $there/tree/file-3/x &&
		fails 'is a directory' sh -c "echo >$there/tree" && fails 'too long' touch $there/"$(head -c 256 /dev/zero | tr '\0' n)"
}
no_room() { fails 'no space' dd if=/dev/zero of=$there/full bs=256k count=100 && rm $there/full; }
killed_in_the_middle() {
	exec 3<$there/tree/file-12
	(for copy in 1 2 3; do cp $dir/local/tree/file-12 $there/copy-$copy && mkdir $there/dir-$copy || exit; done) >/tmp/said 2>&1 &
	local copying=$! try
	for try in 1 2; do
		within 20 test -s $export/copy-$try
		stop
		sleep 0.5
		serve $export
	done
	wait $copying || return 1
	for copy in 1 2 3; do
		cmp $dir/local/tree/file-12 $export/copy-$copy && [ -d $export/dir-$copy ] || return 1
	done
	cmp - $export/tree/file-12 <&3 && exec 3<&-
}
nobody_serves() {
	! nsenter --net=/run/netns/rpc-a vmtp mount $server $there >/tmp/said 2>&1 && grep -q 'vmtp filed' /tmp/said
}

mkdir -p $dir/program
echo 'const char *text(void);' >$dir/program/text.h
printf '#include "text.h"\nconst char *text(void) { return "compiled over VMTP\\n"; }\n' >$dir/program/text.c
cat >$dir/program/start.c <<'PROGRAM'
#include "text.h"
static long call(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}
void _start(void)
{
	call(1, 1, (long)text(), 19);
	call(60, 0, 0, 0);
}
PROGRAM

ktap_begin 26
hosts 3%
mount -t tmpfs -o size=20m export $export
tree $dir/local/tree
check "without a server vmtp mount says what to start" nobody_serves
serve $export
check "it is mounted" mount_it
cp -a $dir/local/tree $there/ >/tmp/said 2>&1
check "a tree that is copied there is the same there" same $dir/local/tree $export/tree
check "it is unmounted by a signal" unmount
check "and mounted again" mount_it
check "also if its terminal is closed" unmount HUP
check "and mounted once more" mount_it
check "the tree is the same when it is read" same $there/tree $dir/local/tree
check "ls shows what is there" listed
check "1,500 names are listed once each" many_names
check "files and folders are renamed, also over others" renamed
check "files and folders are removed" removed
check "size, permissions, times and owner are changed; no file runs as somebody else" changed
check "symbolic and hard links" links
check "a file that others made longer is read to its end" grown
check "what is appended goes behind what others have appended" appended
check "a file that got the name of another is not taken for it" replaced
check "a file that is removed while it is open is still one" removed_while_open
check "how much room there is" room
check "a compiler compiles there, and its program runs from there" compiles
check "ENOENT" no_such_file
check "ENOTEMPTY, EEXIST, ENOTDIR, EISDIR, ENAMETOOLONG" wrong_kinds
check "ENOSPC" no_room
check "the server is killed twice while files are copied: nothing is lost, and what is open stays so" killed_in_the_middle
check "EROFS of a mount that changes nothing" mount_again --read-only
check "which it does not" read_only
exit $failed
