// SPDX-License-Identifier: GPL-2.0
/* A round trip of datagrams; the client is connected. No retransmission, no reassembly of its own: the least one can do. */
#include "bench.h"

static int open_server(const struct load *load)
{
	struct sockaddr_in address = server_address();
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)load;
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "udp server");
	return fd;
}

static void serve(int fd, const struct load *load)
{
	struct sockaddr_in from;
	socklen_t length;

	for (;;) {
		length = sizeof(from);
		if (recvfrom(fd, segment, sizeof(segment), 0, (struct sockaddr *)&from, &length) < 0 ||
		    sendto(fd, segment, load->in, 0, (struct sockaddr *)&from, length) != (ssize_t)load->in)
			err(1, "udp server");
	}
}

static int open_client(const struct load *load)
{
	struct sockaddr_in address = server_address();
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)load;
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "udp client");
	return fd;
}

static bool transact(int fd, const struct load *load)
{
	if (send(fd, segment, load->out, 0) != (ssize_t)load->out || recv(fd, segment, sizeof(segment), 0) != (ssize_t)load->in)
		err(1, "udp client");
	return true;
}

int main(int argc, char **argv)
{
	static const struct bench udp = { "udp", open_server, serve, open_client, transact, true };

	return bench_main(&udp, argc, argv);
}
