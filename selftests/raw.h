/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One end of a transaction that is not the module, at the other end of a TUN
 * device: what tests of Clients and of servers, packet by packet, share.
 */
#ifndef RAW_H
#define RAW_H

#include "wire.h"

#define HERE	little_endian(200000, HOST)
#define THERE	little_endian(300000, PEER)
#define GROUP	vmtp_entity(VMTP_ENTITY_GROUP, 7, 0xE0000105)
#define SOON	2500	/* ms: longer than the longest wait between two transmissions */

static inline bool is_request(const struct packet *packet)
{
	return !(packet->control & C_RESPONSE) && packet->server != VMTP_MANAGER_GROUP;
}

/* The blocks of the packets of which this is true that have been sent already. */
static inline __u32 blocks_sent(int tun, bool (*wanted)(const struct packet *))
{
	struct packet packet;
	__u32 blocks = 0;

	while (next_of(tun, wanted, &packet, 0))
		blocks |= packet.delivery;
	return blocks;
}

/* ---- The test is the server -------------------------------------------------------- */

/* A socket starts a transaction: the first packet of its Request. */
static inline bool asked_with(int tun, int fd, const struct vmtp_mcb *mcb, const void *segment, size_t octets,
			      struct packet *request)
{
	drain(tun);
	return !start(fd, mcb, segment, octets) && next_of(tun, is_request, request, LONG_MS);
}

static inline bool asked(int tun, int fd, struct packet *request)
{
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, THERE, APPLICATION);
	return asked_with(tun, fd, &mcb, NULL, 0, request);
}

/* A Response packet without data, with these flags. */
static inline bool answer(int tun, const struct packet *request, __u32 control, __u32 code)
{
	struct packet packet;

	response_packet(&packet, request, 0);
	packet.control |= control;
	packet.code = code;
	return send_packet(tun, &packet);
}

/* The same with these blocks of a segment of size octets. */
static inline bool answer_blocks(int tun, const struct packet *request, __u32 control, __u32 code,
				 const unsigned char *segment, size_t size, __u32 blocks)
{
	struct packet packet;

	response_packet(&packet, request, 0);
	packet.control |= control;
	packet.code = code;
	carry(&packet, segment, size, blocks);
	return send_packet(tun, &packet);
}

/* NotifyVmtpClient about the packet group of this Request packet. */
static inline bool tell_client(int tun, const struct packet *request, __u32 delivery, __u32 code)
{
	struct packet packet;

	notify_client_packet(&packet, request->client, C_RESPONSE | (request->control & 7U << C_RETRANSMIT),
			     request->transaction, delivery, code);
	return send_packet(tun, &packet);
}

static inline bool told_server(int tun, __u32 code, struct notify_server *notify, int timeout_ms)
{
	struct packet packet;

	if (!next_of(tun, is_notify_server, &packet, timeout_ms))
		return false;
	*notify = notify_server_of(&packet);
	return notify->code == code;
}

/* What came of the socket's transaction: a code, or -1 if it has not ended. */
static inline long outcome(int fd, int timeout_ms)
{
	struct vmtp_mcb mcb;

	if (!comes(fd, POLLIN, timeout_ms) || vmtp_getreply(fd, &mcb, NULL, 0, LONG_MS) < 0)
		return -1;
	return vmtp_code(&mcb);
}

/* ---- The test is the Client ----------------------------------------------------------- */

/* A Request packet with these blocks of a segment of size octets, or without data if size is 0. */
static inline bool ask_blocks(int tun, __u32 transaction, __u32 control, const unsigned char *segment, size_t size,
			      __u32 blocks)
{
	struct packet packet;

	request_packet(&packet, THERE, HERE, transaction);
	packet.control |= control;
	if (size)
		carry(&packet, segment, size, blocks);
	return send_packet(tun, &packet);
}

static inline bool ask(int tun, __u32 transaction, __u32 control)
{
	return ask_blocks(tun, transaction, control, NULL, 0, 0);
}

static inline bool tell_server(int tun, __u32 transaction, __u32 delivery, __u32 code)
{
	struct packet packet;

	notify_server_packet(&packet, HERE, THERE, transaction, delivery, code);
	return send_packet(tun, &packet);
}

static inline bool told_client(int tun, __u32 code, struct notify_client *notify, int timeout_ms)
{
	struct packet packet;

	if (!next_of(tun, is_notify_client, &packet, timeout_ms))
		return false;
	*notify = notify_client_of(&packet);
	return notify->code == code;
}

static inline bool nothing_arrives(int fd)
{
	struct vmtp_mcb mcb;

	return vmtp_recvreq(fd, &mcb, NULL, 0, 1) < 0 && (errno == EAGAIN || errno == ETIMEDOUT);
}

/* The server receives the next Request and answers it with these octets; 0 if both went well. */
static inline int reply(int fd, struct vmtp_mcb *mcb, __u32 code, const void *segment, size_t octets)
{
	vmtp_response(mcb, code);
	return vmtp_sendreply(fd, mcb, segment, octets);
}

static inline bool served(int tun, int fd, __u32 transaction, __u32 code, const void *segment, size_t octets)
{
	struct vmtp_mcb mcb;

	drain(tun);
	return ask(tun, transaction, 0) && vmtp_recvreq(fd, &mcb, NULL, 0, LONG_MS) == 0 &&
	       !reply(fd, &mcb, code, segment, octets);
}

/* ---- The module's end ---------------------------------------------------------------- */

#define RAW_FIXTURE(speed) \
FIXTURE(peer) \
{ \
	int tun, fd; \
	unsigned char segment[65536], got[65536]; \
}; \
FIXTURE_SETUP(peer) \
{ \
	ASSERT_GE(namespace_make(), 0); \
	self->tun = link_make_speed(1500, speed); \
	ASSERT_GE(self->tun, 0); \
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER)); \
	self->fd = open_entity(HERE); \
	ASSERT_GE(self->fd, 0); \
	fill(self->segment, sizeof(self->segment), 1); \
} \
FIXTURE_TEARDOWN(peer) \
{ \
	close(self->fd); \
	close(self->tun); \
}

#endif /* RAW_H */
