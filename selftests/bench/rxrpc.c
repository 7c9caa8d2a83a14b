// SPDX-License-Identifier: GPL-2.0
/* An RxRPC call (AF_RXRPC), without security: Request and Response are its data. */
#include "bench.h"

#include <linux/rxrpc.h>

#define SERVICE		81
#define CALLS		8	/* that the server has said it will take */

static struct sockaddr_rxrpc address_of(__u32 host, __u16 service, __u16 port)
{
	return (struct sockaddr_rxrpc){
		.srx_family = AF_RXRPC,
		.srx_service = service,
		.transport_type = SOCK_DGRAM,
		.transport_len = sizeof(struct sockaddr_in),
		.transport.sin = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host) },
	};
}

static int open_bound(__u32 host, __u16 service, __u16 port)
{
	struct sockaddr_rxrpc address = address_of(host, service, port);
	int fd = socket(AF_RXRPC, SOCK_DGRAM, PF_INET);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "rxrpc");
	return fd;
}

/* sendmsg with the call's number, and accept if it is a number for a call to come. */
static bool put(int fd, unsigned long call, bool accept, struct sockaddr_rxrpc *to, size_t octets)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(call)) + CMSG_SPACE(0)] = "";
	struct iovec data = { segment, octets };
	struct msghdr message = {
		.msg_name = to, .msg_namelen = to ? sizeof(*to) : 0,
		.msg_iov = &data, .msg_iovlen = !accept,
		.msg_control = control, .msg_controllen = accept ? sizeof(control) : CMSG_SPACE(sizeof(call)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);

	cmsg->cmsg_level = SOL_RXRPC;
	cmsg->cmsg_type = RXRPC_USER_CALL_ID;
	cmsg->cmsg_len = CMSG_LEN(sizeof(call));
	memcpy(CMSG_DATA(cmsg), &call, sizeof(call));
	if (accept) {
		cmsg = (struct cmsghdr *)(control + CMSG_SPACE(sizeof(call)));
		cmsg->cmsg_level = SOL_RXRPC;
		cmsg->cmsg_type = RXRPC_CHARGE_ACCEPT;
		cmsg->cmsg_len = CMSG_LEN(0);
	}
	return sendmsg(fd, &message, 0) == (ssize_t)(accept ? 0 : octets);
}

enum event { DATA, ALL, OVER, FAILURE, OTHER };

/*
 * What recvmsg tells, and of which call: a part of its data, the last part, that it is over. A server has the whole
 * Request when MSG_MORE is not set, a client the whole Response when MSG_EOR is.
 */
static enum event take(int fd, unsigned long *call, bool client)
{
	_Alignas(struct cmsghdr) char control[256];
	struct iovec data = { segment, sizeof(segment) };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
	};
	enum event event = DATA;

	if (recvmsg(fd, &message, 0) < 0)
		return FAILURE;
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message); cmsg; cmsg = CMSG_NXTHDR(&message, cmsg)) {
		switch (cmsg->cmsg_type) {
		case RXRPC_USER_CALL_ID:
			memcpy(call, CMSG_DATA(cmsg), sizeof(*call));
			break;
		case RXRPC_ACK:
			event = OVER;
			break;
		case RXRPC_NEW_CALL:
			event = OTHER;
			break;
		default:
			return FAILURE;
		}
	}
	if (event == DATA && (client ? message.msg_flags & MSG_EOR : !(message.msg_flags & MSG_MORE)))
		event = ALL;
	return event;
}

static int open_server(const struct load *load)
{
	int fd = open_bound(SERVER_ADDRESS, SERVICE, SERVER_PORT);

	(void)load;
	if (listen(fd, CALLS))
		err(1, "rxrpc server");
	for (unsigned long call = 1; call <= CALLS; call++)
		if (!put(fd, call, true, NULL, 0))
			err(1, "rxrpc server: charge");
	return fd;
}

static void serve(int fd, const struct load *load)
{
	unsigned long call = 0;

	for (;;) {
		switch (take(fd, &call, false)) {
		case ALL:
			if (!put(fd, call, false, NULL, load->in))
				err(1, "rxrpc server: Response");
			break;
		case OVER:
			if (!put(fd, call, true, NULL, 0))
				err(1, "rxrpc server: charge");
			break;
		case DATA:
		case OTHER:
			break;
		case FAILURE:
			err(1, "rxrpc server");
		}
	}
}

static int open_client(const struct load *load)
{
	(void)load;
	return open_bound(CLIENT_ADDRESS, 0, 0);
}

static bool transact(int fd, const struct load *load)
{
	struct sockaddr_rxrpc to = address_of(SERVER_ADDRESS, SERVICE, SERVER_PORT);
	unsigned long call = 1;
	enum event event;

	if (!put(fd, call, false, &to, load->out))
		err(1, "rxrpc client");
	do
		event = take(fd, &call, true);
	while (event == DATA);
	if (event != ALL)
		err(1, "rxrpc client: Response");
	return true;
}

int main(int argc, char **argv)
{
	static const struct bench rxrpc = { "rxrpc", open_server, serve, open_client, transact, true };

	return bench_main(&rxrpc, argc, argv);
}
