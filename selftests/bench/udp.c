// SPDX-License-Identifier: GPL-2.0
/* A round trip of datagrams; the client is connected. No retransmission, no reassembly of its own: the least one can do. */
#include "bench.h"

static int open_server(void)
{
	struct sockaddr_in address = server_address();
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "udp server");
	return fd;
}

static void serve(int fd, size_t octets)
{
	struct sockaddr_in from;
	socklen_t length;
	ssize_t got;

	(void)octets;
	for (;;) {
		length = sizeof(from);
		got = recvfrom(fd, segment, sizeof(segment), 0, (struct sockaddr *)&from, &length);
		if (got < 0 || sendto(fd, segment, got, 0, (struct sockaddr *)&from, length) != got)
			err(1, "udp server");
	}
}

static int open_client(void)
{
	struct sockaddr_in address = server_address();
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "udp client");
	return fd;
}

static void transact(int fd, size_t octets)
{
	if (send(fd, segment, octets, 0) != (ssize_t)octets || recv(fd, segment, octets, 0) != (ssize_t)octets)
		err(1, "udp client");
}

int main(int argc, char **argv)
{
	static const struct bench udp = { "udp", open_server, serve, open_client, transact };

	return bench_main(&udp, argc, argv);
}
