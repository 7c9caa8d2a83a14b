# SPDX-License-Identifier: GPL-2.0
# Sourced by the scripts in this folder: where things are, which kernel is meant, how to report.
# It makes nothing and downloads nothing.
#
#   VMTP_CACHE  the cache folder (default ~/.cache/vmtp); everything in it is keyed by kernel version:
#                 root-VERSION/    a Debian 13 root with toolchain and kernel packages (unless the machine is one)
#                 source-VERSION/  the kernel source of exactly that version, unpacked and never written to
#                 tree-VERSION/    the build tree: Debian's headers and the Rust metadata
#                 debug-VERSION-*/ debug kernels, by the checksum of debug.config
#                 clean-VERSION-*/ Debian 13 roots for test-deb, by the checksum of what the packages depend on
#                 cargo/           crates, where the machine has no cargo of its own
#                 accelerator      whether guests can use KVM here
#   KERNEL      the kernel: 7.2.12+deb13-amd64, or 7.2.12. Default: the newest that the cache has, else the
#               newest of KERNEL_SERIES in the archive (which `make-root --latest` asks again).

KERNEL_SERIES=7.2
FLAVOUR=amd64
SUITE=trixie

VMTP_KBUILD=$(cd "$(dirname "$0")" && pwd -P)
VMTP_TOP=$(cd "$VMTP_KBUILD/../.." && pwd -P)
VMTP_CACHE=${VMTP_CACHE:-$HOME/.cache/vmtp}
export VMTP_CACHE VMTP_TOP LC_ALL=C.UTF-8

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# need_disk GIGABYTES FOLDER: refuses at once rather than half-way through.
need_disk() {
	free=$(df -Pk "$2" | awk 'NR == 2 { print int($4 / 1048576) }')
	[ "$free" -ge "$1" ] || die "$2 has $free GB free, $1 GB are needed: make room or set VMTP_CACHE to another folder"
}

# logged WHAT LOGFILE COMMAND...: runs a long step, its output in LOGFILE, a sign of life every 10 seconds.
logged() {
	_what=$1 _log=$2
	shift 2
	say "$_what"
	_begin=$(date +%s)
	: >"$_log"
	(
		# Ctrl-C does not end what is in the background: it goes when this script is gone, and keeps no lock.
		exec 9>&-
		while sleep 10 && kill -0 $$ 2>/dev/null; do
			printf '    %4ss  %.100s\n' "$(($(date +%s) - _begin))" "$(tail -n 1 "$_log" | tr -d '\r\033' | tr '\t' ' ')" >&2
		done
	) &
	_beat=$!
	_rc=0
	"$@" >"$_log" 2>&1 </dev/null || _rc=$?
	kill "$_beat" 2>/dev/null || :
	wait "$_beat" 2>/dev/null || :
	if [ "$_rc" -ne 0 ]; then
		# A step that knows what is wrong has said it in one line; else the end of the log is the best there is.
		grep '^error: ' "$_log" >&2 || tail -n 30 "$_log" >&2
		die "$_what: failed ($_rc); the whole log is $_log"
	fi
	printf '    done in %s s\n' "$(($(date +%s) - _begin))" >&2
}

# one_at_a_time NAME: holds a lock until the script ends, so that two clones can share the cache.
one_at_a_time() {
	mkdir -p "$VMTP_CACHE"
	exec 9>"$VMTP_CACHE/.lock-$1"
	flock -n 9 || { say "waiting for another build that makes the $1"; flock 9; }
}

packages() { awk -v groups="$*" 'BEGIN { split(groups, g); for (i in g) want[g[i]] } $1 in want { print $2 }' "$VMTP_KBUILD/packages"; }

# The full name of a kernel from what a person types.
kernel_name() {
	case $1 in
	*-*) echo "$1" ;;
	*) echo "$1+deb13-$FLAVOUR" ;;
	esac
}

is_debian_13() { [ -r /etc/os-release ] && (. /etc/os-release && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-}" = 13 ]); }

# The kernels of the series whose headers are installed on this machine, newest first.
installed_kernels() {
	for _d in /usr/src/linux-headers-"$KERNEL_SERIES".*-"$FLAVOUR"; do
		case $_d in *-cloud-*|*-rt-*) continue ;; esac
		[ -f "$_d/.config" ] && echo "${_d#/usr/src/linux-headers-}"
	done | sort -rV
}

# kernel_packages VERSION: what the build and the virtual machines take from the kernel.
kernel_packages() { echo "linux-headers-$1 linux-binary-$1 linux-modules-$1"; }

# kernel_config VERSION NAME: what CONFIG_NAME is in a kernel, without quotes.
kernel_config() { sed -n "s/^CONFIG_$2=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "/usr/src/linux-headers-$1/.config"; }

package_version() { dpkg-query -W -f='${Version}' "$1" 2>/dev/null || echo none; }

missing_packages() {
	_have=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null | sed -n 's/ installed$//p')
	for _p in "$@"; do
		echo "$_have" | grep -Fqx "$_p" || printf '%s ' "$_p"
	done
}

# missing_in_root ROOT PACKAGE...: the same for a root tree, on a machine that may have no dpkg.
missing_in_root() {
	_root=$1
	shift
	awk -v wanted="$*" '
		/^Package: / { package = $2 }
		/^Status: install ok installed/ { have[package] = 1 }
		END { n = split(wanted, names); for (i = 1; i <= n; i++) if (!(names[i] in have)) printf "%s ", names[i] }
	' "$_root/var/lib/dpkg/status"
}

# Sets VMTP_KERNEL and VMTP_ROOT (empty: this machine's own packages are used), or returns 1: a root has to be made.
choose_kernel() {
	VMTP_ROOT='' VMTP_KERNEL=''
	if is_debian_13; then
		if [ -n "${KERNEL:-}" ]; then
			_k=$(kernel_name "$KERNEL")
		else
			_k=$(installed_kernels | grep -Fx "$(uname -r)" || installed_kernels | head -n 1)
		fi
		# shellcheck disable=SC2046
		if [ -n "$_k" ] && [ -z "$(missing_packages "linux-headers-$_k" "linux-source-$KERNEL_SERIES" $(packages build))" ]; then
			VMTP_KERNEL=$_k
			return 0
		fi
	fi
	if [ -n "${KERNEL:-}" ]; then
		VMTP_KERNEL=$(kernel_name "$KERNEL")
		VMTP_ROOT=$VMTP_CACHE/root-$VMTP_KERNEL
		[ -d "$VMTP_ROOT" ]
		return
	fi
	VMTP_ROOT=$(ls -d "$VMTP_CACHE"/root-"$KERNEL_SERIES".* 2>/dev/null | sort -rV | grep -v '\.tmp' | head -n 1)
	VMTP_KERNEL=${VMTP_ROOT##*/root-}
	[ -n "$VMTP_ROOT" ]
}
