#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The harness's /run.sh: reads commands from a virtio-serial port, a line each, and writes their output and status back
# (see guest.py). The console is left to the kernel.
#
#   harness -> guest	ID COMMAND			COMMAND is run by sh -c
#   guest -> harness	the output of COMMAND as it comes, then a line: RS ID STATUS (RS: octet 036)
for port in /sys/class/virtio-ports/*; do
	[ "$(cat "$port/name")" = vmtp.harness ] && exec 3<>"/dev/${port##*/}"
done
printf '\036ready %s\n' "$(uname -r)" >&3
while read -r id command <&3; do
	[ "$id" != exit ] || exit 0
	sh -c "$command" </dev/null >&3 2>&1 3>&-
	printf '\n\036%s %s\n' "$id" $? >&3
done
