// SPDX-License-Identifier: GPL-2.0
/* As many UDP calls as there are members, all sent before the first answer is taken. See members.h. */
#include "members.h"

static struct sockaddr_in address_of(int which)
{
	struct sockaddr_in address = server_address();

	address.sin_addr.s_addr = htonl(member_address(which));
	return address;
}

static int open_server(const struct load *load)
{
	struct sockaddr_in address = address_of(member);
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
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)load;
	if (fd < 0)
		err(1, "udp client");
	return fd;
}

static bool transact(int fd, const struct load *load)
{
	for (int i = 0; i < members; i++) {
		struct sockaddr_in address = address_of(i);

		if (sendto(fd, segment, load->out, 0, (struct sockaddr *)&address, sizeof(address)) != (ssize_t)load->out)
			err(1, "udp client");
	}
	for (int i = 0; i < members; i++)
		if (recv(fd, segment, sizeof(segment), 0) != (ssize_t)load->in)
			err(1, "udp client");
	return true;
}

int main(int argc, char **argv)
{
	static const struct bench udp = { "udp", open_server, serve, open_client, transact, true };

	return members_main(&udp, argc, argv);
}
