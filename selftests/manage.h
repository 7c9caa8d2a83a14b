/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Management Requests (RFC 1045, III) over the wire and from a socket: the
 * parameters fill the words after the Code in order (II).
 */
#ifndef MANAGE_H
#define MANAGE_H

#include "wire.h"

#define MANAGED_CLIENT	little_endian(200000, PEER)
#define PROC(name)	(VMTP_PROC_##name & VMTP_CODE_MASK)

/* The seven words after the Code: octets 36 to 63. */
struct words {
	__u32 at[7];
};

static inline struct words one(__u64 entity)
{
	return (struct words){ { entity >> 32, entity } };
}

static inline struct words two(__u64 first, __u64 second)
{
	return (struct words){ { first >> 32, first, second >> 32, second } };
}

static inline struct words three(__u64 first, __u64 second, __u64 third)
{
	return (struct words){ { first >> 32, first, second >> 32, second, third >> 32, third } };
}

static inline struct words with(struct words words, int at, __u32 value)
{
	words.at[at] = value;
	return words;
}

/* A management Request of the raw peer. */
static inline void manage_packet(struct packet *packet, __u32 code, struct words words)
{
	static __u32 transaction = 0x5000;

	request_packet(packet, MANAGED_CLIENT, VMTP_MANAGER_GROUP, transaction++);
	packet->code = code;
	memcpy(packet->user, words.at, sizeof(packet->user));
	packet->msg_delivery = words.at[5];
	packet->segment_size = words.at[6];
}

/* Sends it and waits for its Response; other packets are left out. */
static inline bool answer_of(int tun, const struct packet *request, struct packet *answer, int timeout_ms)
{
	drain(tun);
	if (!send_packet(tun, request))
		return false;
	while (receive_packet(tun, answer, timeout_ms))
		if ((answer->control & C_RESPONSE) && answer->client == request->client &&
		    answer->transaction == request->transaction)
			return true;
	return false;
}

/* The code that the raw peer gets for an operation, or -1 for silence. */
static inline long remote(int tun, __u32 code, struct words words, struct packet *answer)
{
	struct packet request, ignored;

	manage_packet(&request, code, words);
	if (!answer)
		answer = &ignored;
	return answer_of(tun, &request, answer, LONG_MS) ? (long)PROCEDURE(answer->code) : -1;
}

/* The same from a socket of this host, with a segment if there is one; the answer is in mcb and into. */
static inline long local_with(int fd, __u32 code, struct words words, const void *segment, size_t length,
			      struct vmtp_mcb *mcb, void *into, size_t room, long *received)
{
	long octets;

	vmtp_request(mcb, VMTP_MANAGER_GROUP, code & VMTP_CODE_MASK);
	mcb->code = code;
	mcb->coresident = (__u64)words.at[0] << 32 | words.at[1];
	memcpy(mcb->user, words.at, sizeof(mcb->user));
	mcb->msg_delivery = words.at[5];
	mcb->segment_size = words.at[6];
	octets = vmtp_invoke(fd, mcb, segment, length, into, room, 0);
	if (received)
		*received = octets;
	return octets < 0 ? -1 : (long)vmtp_code(mcb);
}

static inline long local(int fd, __u32 code, struct words words)
{
	struct vmtp_mcb mcb;

	return local_with(fd, code, words, NULL, 0, &mcb, NULL, 0, NULL);
}

/* What ProbeEntity by unicast says of an entity: a code. */
static inline long probed(int tun, __u64 entity)
{
	return remote(tun, VMTP_PROC_PROBE_ENTITY, with(two(entity, entity), 4, 1), NULL);
}

/* Flags of ModifyService. */
#define THREADS		1
#define AUTHENTICATED	2
#define SECURE		4
#define INCREMENTAL	8

static inline struct words service(__u64 entity, __u32 flags, __u32 count)
{
	return with(with(one(entity), 2, flags), 3, count);
}

/* What a new Client hears when it asks a server: a code, or -1 if nothing. */
static inline long told(int tun, __u64 server, __u32 client)
{
	struct packet packet;

	request_packet(&packet, little_endian(client, PEER), server, 7);
	drain(tun);
	send_packet(tun, &packet);
	while (receive_packet(tun, &packet, 50))
		if (is_notify_client(&packet))
			return notify_client_of(&packet).code;
	return -1;
}

/* Opens a socket as another user. */
static inline int open_entity_as(uid_t user, __u64 entity)
{
	int fd;

	if (syscall(SYS_setresuid, -1, user, -1))
		return -1;
	fd = open_entity(entity);
	if (syscall(SYS_setresuid, -1, 0, -1))
		abort();
	return fd;
}

#endif /* MANAGE_H */
