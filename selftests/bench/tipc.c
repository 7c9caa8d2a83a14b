// SPDX-License-Identifier: GPL-2.0
/*
 * A round trip of TIPC's reliable datagrams (SOCK_RDM) to a service address. Between network namespaces of one kernel
 * TIPC skips the wire. The harness has made the link.
 */
#include "bench.h"

#include <linux/tipc.h>

#define SERVICE		18181

static struct sockaddr_tipc service(bool own)
{
	struct sockaddr_tipc address = { .family = AF_TIPC, .scope = TIPC_CLUSTER_SCOPE };

	if (own) {
		address.addrtype = TIPC_SERVICE_RANGE;
		address.addr.nameseq.type = SERVICE;
	} else {
		address.addrtype = TIPC_SERVICE_ADDR;
		address.addr.name.name.type = SERVICE;
	}
	return address;
}

static int open_socket(void)
{
	int fd = socket(AF_TIPC, SOCK_RDM, 0);

	if (fd < 0)
		err(1, "tipc");
	return fd;
}

static int open_server(const struct load *load)
{
	struct sockaddr_tipc address = service(true);
	int fd = open_socket();

	(void)load;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "tipc server");
	return fd;
}

static void serve(int fd, const struct load *load)
{
	struct sockaddr_tipc from[2];
	socklen_t length;

	for (;;) {
		length = sizeof(from);
		if (recvfrom(fd, segment, sizeof(segment), 0, (struct sockaddr *)from, &length) < 0 ||
		    sendto(fd, segment, load->in, 0, (struct sockaddr *)from, sizeof(*from)) != (ssize_t)load->in)
			err(1, "tipc server");
	}
}

/* Waits until this node has heard of the server's name. */
static int open_client(const struct load *load)
{
	struct sockaddr_tipc topology = {
		.family = AF_TIPC, .addrtype = TIPC_SERVICE_ADDR,
		.addr.name.name = { TIPC_TOP_SRV, TIPC_TOP_SRV },
	};
	struct tipc_subscr subscription = {
		.seq = { htonl(SERVICE), 0, 0 }, .timeout = htonl(10000), .filter = htonl(TIPC_SUB_SERVICE),
	};
	struct tipc_event event;
	int fd = socket(AF_TIPC, SOCK_SEQPACKET, 0);

	(void)load;
	if (fd < 0 || connect(fd, (struct sockaddr *)&topology, sizeof(topology)) ||
	    send(fd, &subscription, sizeof(subscription), 0) != sizeof(subscription) ||
	    recv(fd, &event, sizeof(event), 0) != sizeof(event) || ntohl(event.event) != TIPC_PUBLISHED)
		err(1, "tipc: the server's name did not come");
	close(fd);
	return open_socket();
}

static bool transact(int fd, const struct load *load)
{
	struct sockaddr_tipc address = service(false);

	if (sendto(fd, segment, load->out, 0, (struct sockaddr *)&address, sizeof(address)) != (ssize_t)load->out ||
	    recv(fd, segment, sizeof(segment), 0) != (ssize_t)load->in)
		err(1, "tipc client");
	return true;
}

int main(int argc, char **argv)
{
	static const struct bench tipc = { "tipc", open_server, serve, open_client, transact, false };

	return bench_main(&tipc, argc, argv);
}
