// SPDX-License-Identifier: GPL-2.0
/*
 * Binds so many sockets to identifiers that the host chooses, and prints these, one a line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <vmtp.h>

int main(int argc, char *argv[])
{
	int count = argc == 2 ? atoi(argv[1]) : 0;
	struct rlimit files = { count + 16, count + 16 };

	if (count <= 0) {
		fprintf(stderr, "usage: take-identifiers COUNT\n");
		return EINVAL;
	}
	if (setrlimit(RLIMIT_NOFILE, &files)) {
		perror("setrlimit");
		return errno;
	}
	for (int i = 0; i < count; i++) {
		struct sockaddr_vmtp name;
		socklen_t length = sizeof(name);
		int fd = vmtp_socket(0);

		if (fd < 0 || vmtp_bind(fd, 0) || getsockname(fd, (struct sockaddr *)&name, &length)) {
			perror("take-identifiers");
			return errno;
		}
		printf("%016llx\n", (unsigned long long)name.svmtp_entity);
	}
	return 0;
}
