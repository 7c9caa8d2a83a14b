// SPDX-License-Identifier: GPL-2.0
/*
 * Opens an AF_VMTP socket, says so, and keeps it until its standard input ends.
 * Exit status: 0, or the errno of socket().
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vmtp.h>

int main(void)
{
	char octet;

	if (socket(AF_VMTP, SOCK_TRANSACT, 0) < 0) {
		perror("socket");
		return errno;
	}
	puts("open");
	fflush(stdout);
	while (read(STDIN_FILENO, &octet, 1) > 0)
		;
	return 0;
}
