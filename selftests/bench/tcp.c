// SPDX-License-Identifier: GPL-2.0
/* A Request and a Response of known length on one connection, TCP_NODELAY on both ends. */
#include "bench.h"

#include <netinet/tcp.h>

static void no_delay(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		err(1, "TCP_NODELAY");
}

static int open_server(void)
{
	struct sockaddr_in address = server_address();
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1))
		err(1, "tcp server");
	return fd;
}

static void serve(int listening, size_t octets)
{
	int fd = accept(listening, NULL, NULL);

	if (fd < 0)
		err(1, "tcp server");
	no_delay(fd);
	while (recv(fd, segment, octets, MSG_WAITALL) == (ssize_t)octets)
		if (send(fd, segment, octets, 0) != (ssize_t)octets)
			err(1, "tcp server");
}

static int open_client(void)
{
	struct sockaddr_in address = server_address();
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "tcp client");
	no_delay(fd);
	return fd;
}

static void transact(int fd, size_t octets)
{
	if (send(fd, segment, octets, 0) != (ssize_t)octets || recv(fd, segment, octets, MSG_WAITALL) != (ssize_t)octets)
		err(1, "tcp client");
}

int main(int argc, char **argv)
{
	static const struct bench tcp = { "tcp", open_server, serve, open_client, transact };

	return bench_main(&tcp, argc, argv);
}
