# SPDX-License-Identifier: GPL-2.0
# What the tests of the file service share: a server on host b, which exports $export, and a mount of it on host a, at
# $there. Sourced by file*.sh, after rpc-hosts.sh.

server=LE-71000-10.9.0.2
dir=/tmp/file
export=$dir/export # what is exported
there=$dir/there   # where it is mounted
mkdir -p $export $there $dir/local

serve() { # OPTION...: sets served
	# It must not keep open what the test has open.
	nsenter --net=/run/netns/rpc-b vmtp filed --entity $server "$@" >/dev/null 2>$dir/filed.log 3<&- &
	served=$!
	started="$started $served"
	within 20 has_entity rpc-b $server
}
stop() {
	kill -9 $served
	wait $served 2>/dev/null
}
mount_it() { # OPTION...: sets mounted
	nsenter --net=/run/netns/rpc-a vmtp mount $server $there "$@" >$dir/mounted 2>&1 &
	mounted=$!
	started="$started $mounted"
	within 20 grep -q ^MOUNTED $dir/mounted
}
unmount() { # [SIGNAL]
	kill -${1:-TERM} $mounted
	wait $mounted
}
# A process keeps what it read: with a new mount everything comes from the server.
mount_again() {
	unmount && mount_it "$@"
}
fails() { # TEXT COMMAND...: it fails and says this
	local text=$1
	shift
	! "$@" >/tmp/said 2>&1 && grep -qi "$text" /tmp/said
}
hashes() { # FOLDER: of its files, targets of its links, and its folders
	(cd "$1" && find . -type f -exec sha256sum {} + | sort -k2 && find . -type l -exec readlink {} \; | sort && find . -type d | sort)
}
same() { # FOLDER FOLDER
	hashes "$1" >$dir/one && hashes "$2" >$dir/other && [ -s $dir/one ] && cmp $dir/one $dir/other >/tmp/said 2>&1
}
tree() { # A tree of files of all sorts of sizes, from none to megabytes.
	local size number=0
	mkdir -p "$1/deep/deeper/deepest" "$1/empty"
	for size in 0 1 511 512 513 4096 16384 16385 65536 131073 1048577 2500000; do
		number=$((number + 1))
		head -c $size /dev/urandom >"$1/file-$number"
	done
	for number in $(seq 30); do echo "text $number" >"$1/deep/deeper/text-$number"; done
	ln -s ../file-3 "$1/deep/link"
	ln -s nowhere "$1/deep/deeper/dangling"
	chmod 444 "$1/file-2"
}

read_only() {
	fails 'read-only' touch $there/new && fails 'read-only' rm $there/tree/file-3 && fails 'read-only' mv $there/tree $there/t &&
		cmp $there/tree/file-3 $export/tree/file-3
}

file_cleanup() {
	exec 3<&-
	umount -l $there 2>/dev/null
	rpc_cleanup
	umount -l $export/below $export/bound $export 2>/dev/null
}
trap file_cleanup EXIT
