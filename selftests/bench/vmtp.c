// SPDX-License-Identifier: GPL-2.0
/* A message transaction: one system call of the client, one of the server, Request and Response of the same size. */
#include "bench.h"

#include <sys/ioctl.h>

#include <linux/vmtp.h>

#define CODE	(VMTP_CODE_APPLICATION | 1)

/* An identifier in the Internet domain: discriminator, then the host's address (RFC 1045, IV.1). */
#define SERVER_ENTITY	(VMTP_ENTITY_LEE | (__u64)81 << 32 | SERVER_ADDRESS)
#define ANY_ENTITY	0

static int open_entity(__u64 entity)
{
	struct sockaddr_vmtp address = { .svmtp_family = AF_VMTP, .svmtp_entity = entity };
	int fd = socket(AF_VMTP, SOCK_TRANSACT, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "vmtp entity");
	return fd;
}

static int open_server(void)
{
	return open_entity(SERVER_ENTITY);
}

static void serve(int fd, size_t octets)
{
	struct vmtp_exchange exchange = {
		.in = { .segment = (unsigned long)segment, .length = sizeof(segment) },
	};
	struct vmtp_msg *in = &exchange.in, *out = &exchange.out;

	(void)octets;
	if (ioctl(fd, VMTP_RECVREQ, in))
		err(1, "VMTP_RECVREQ");
	for (;;) {
		*out = (struct vmtp_msg){
			.mcb = {
				.function = VMTP_RESPONSE,
				.client = in->mcb.client,
				.transaction = in->mcb.transaction,
				.segment_size = in->received,
			},
			.segment = (unsigned long)segment,
			.length = in->received,
		};
		*in = (struct vmtp_msg){ .segment = (unsigned long)segment, .length = sizeof(segment) };
		if (ioctl(fd, VMTP_REPLYRECV, &exchange))
			err(1, "VMTP_REPLYRECV");
	}
}

static int open_client(void)
{
	return open_entity(ANY_ENTITY);
}

static void transact(int fd, size_t octets)
{
	struct vmtp_exchange exchange = {
		.out = {
			.mcb = { .server = SERVER_ENTITY, .code = CODE, .segment_size = octets },
			.segment = (unsigned long)segment,
			.length = octets,
		},
		.in = { .segment = (unsigned long)segment, .length = sizeof(segment) },
	};

	if (ioctl(fd, VMTP_INVOKE, &exchange))
		err(1, "VMTP_INVOKE");
	if ((exchange.in.mcb.code & VMTP_CODE_MASK) != VMTP_OK || exchange.in.received != octets)
		errx(1, "code %u, %u octets", exchange.in.mcb.code & VMTP_CODE_MASK, exchange.in.received);
}

int main(int argc, char **argv)
{
	static const struct bench vmtp = { "vmtp", open_server, serve, open_client, transact };

	return bench_main(&vmtp, argc, argv);
}
