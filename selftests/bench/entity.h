/* SPDX-License-Identifier: GPL-2.0 */
/* What the VMTP programs share: entities, and room for messages of 4 MiB. */
#ifndef ENTITY_H
#define ENTITY_H

#include "bench.h"

#include <vmtp.h>

#define CODE	(VMTP_CODE_APPLICATION | 1)

/* An identifier in the Internet domain: discriminator, then the host's address (RFC 1045, IV.1). */
#define SERVER_ENTITY	(VMTP_ENTITY_LEE | (__u64)81 << 32 | SERVER_ADDRESS)
#define ANY_ENTITY	0

/* A socket that is an entity. It takes messages of load->out or load->in octets whole, for which long ones need room. */
static inline int open_entity(__u64 entity, const struct load *load)
{
	struct sockaddr_vmtp address = { .svmtp_family = AF_VMTP, .svmtp_entity = entity };
	int fd = socket(AF_VMTP, SOCK_TRANSACT, 0), room = 4 * OCTETS_MOST;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "vmtp entity");
	if (load->out + load->in > 2 * VMTP_GROUP_SIZE &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		err(1, "SO_RCVBUF");
	return fd;
}

/* Answers every Request with load->in octets: one system call for each. */
static inline void serve_entity(int fd, const struct load *load)
{
	struct vmtp_mcb mcb;
	int sent;

	if (vmtp_recvreq(fd, &mcb, segment, sizeof(segment), 0) < 0)
		err(1, "vmtp server");
	for (;;) {
		vmtp_response(&mcb, VMTP_OK);
		/* A Client that has given up does not wait any more. */
		while (vmtp_replyrecv_sent(fd, &mcb, segment, load->in, segment, sizeof(segment), 0, &sent) < 0)
			if (errno != ENOTCONN || sent || vmtp_recvreq(fd, &mcb, segment, sizeof(segment), 0) < 0)
				err(1, "vmtp server");
			else
				vmtp_response(&mcb, VMTP_OK);
	}
}

#endif /* ENTITY_H */
