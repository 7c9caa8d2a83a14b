/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An ONC RPC call over UDP by libtirpc's client (clnt_dg.c): it sends again
 * when the retry timeout is over, and gives up after TOTAL seconds, rpcgen's
 * default. The server answers every call it gets, also one it has executed.
 */
#ifndef RPC_H
#define RPC_H

#include "bench.h"

#include <rpc/rpc.h>

#define PROGRAM		0x20000081
#define TOTAL		25

static CLIENT *rpc_client;

static bool_t rpc_request(XDR *xdr, struct load *load)
{
	return xdr_opaque(xdr, segment, load->out);
}

static bool_t rpc_response(XDR *xdr, struct load *load)
{
	return xdr_opaque(xdr, segment, load->in);
}

static int rpc_open_server(const struct load *load)
{
	struct sockaddr_in address = server_address();
	int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 4 << 20;

	(void)load;
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		err(1, "rpc server");
	return fd;
}

/* Every call is of our procedure: its number comes back in a reply that says "success" (RFC 5531, 9). */
static void rpc_serve(int fd, const struct load *load)
{
	struct sockaddr_in from;
	socklen_t length;

	for (;;) {
		unsigned int reply[6] = { 0, htonl(REPLY), htonl(MSG_ACCEPTED), htonl(AUTH_NONE), 0, htonl(SUCCESS) };
		ssize_t got;

		length = sizeof(from);
		got = recvfrom(fd, segment, sizeof(segment), 0, (struct sockaddr *)&from, &length);
		if (got < (ssize_t)sizeof(reply))
			err(1, "rpc server");
		memcpy(reply, segment, sizeof(*reply));
		memcpy(segment, reply, sizeof(reply));
		if (sendto(fd, segment, sizeof(reply) + load->in, 0, (struct sockaddr *)&from, length) < 0)
			err(1, "rpc server");
	}
}

/* With the library's retry timeout if seconds is 0. */
static int rpc_open_client(const struct load *load, int seconds)
{
	struct sockaddr_in address = server_address();
	struct netbuf server = { sizeof(address), sizeof(address), &address };
	struct timeval retry = { .tv_sec = seconds };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)load;
	rpc_client = fd < 0 ? NULL : clnt_dg_create(fd, &server, PROGRAM, 1, 60000, 60000);
	if (!rpc_client || (seconds && !clnt_control(rpc_client, CLSET_RETRY_TIMEOUT, (char *)&retry)))
		errx(1, "rpc client");
	return fd;
}

static bool rpc_transact(int fd, const struct load *load)
{
	struct timeval total = { .tv_sec = TOTAL };

	(void)fd;
	return clnt_call(rpc_client, 1, (xdrproc_t)rpc_request, (char *)load, (xdrproc_t)rpc_response, (char *)load,
			 total) == RPC_SUCCESS;
}

#endif /* RPC_H */
