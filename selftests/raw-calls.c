// SPDX-License-Identifier: GPL-2.0
/*
 * What the RFC's calls (VIII) give and take, with a peer that is not the
 * module: one entity in both roles, members of a group, and every word of a
 * message control block.
 */
#include "wire.h"

#include "kselftest_harness.h"

#define HERE	little_endian(200000, HOST)
#define THERE	little_endian(300000, PEER)
#define MEMBER(n)	(THERE + ((__u64)(n) << 32))
#define GROUP	vmtp_entity(VMTP_ENTITY_GROUP, 7, 0xE0000105)

FIXTURE(peer)
{
	int tun, fd;
	unsigned char segment[VMTP_GROUP_SIZE], got[VMTP_GROUP_SIZE];
};

FIXTURE_SETUP(peer)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->fd = open_entity(HERE);
	ASSERT_GE(self->fd, 0);
	fill(self->segment, sizeof(self->segment), 1);
}

FIXTURE_TEARDOWN(peer)
{
	close(self->fd);
	close(self->tun);
}

/* The next Request that the module sends, whatever else it sends. */
static bool next_request(int tun, struct packet *request)
{
	while (receive_packet(tun, request, LONG_MS))
		if (!(request->control & C_RESPONSE) && PROCEDURE(request->code) >= VMTP_CODE_APPLICATION)
			return true;
	return false;
}

static bool answer(int tun, const struct packet *request, __u64 server, __u32 code, const void *segment, size_t size)
{
	struct packet packet;

	response_packet(&packet, request, server);
	packet.source = PEER;
	packet.code = code;
	if (size)
		carry(&packet, segment, size, blocks_of(size));
	return send_packet(tun, &packet);
}

static int start_group(int fd, __u32 code)
{
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, GROUP, code);
	return start(fd, &mcb, NULL, 0);
}

/* ---- One entity, two roles ------------------------------------------------------------- */

/* Shows: 2.1-c */
TEST_F(peer, an_entity_is_client_and_server_at_once_with_one_transaction_number)
{
	struct packet request, packet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_null(self->fd, THERE));
	ASSERT_TRUE(next_request(self->tun, &request));
	/* The other way, with the same number. */
	request_packet(&packet, THERE, HERE, request.transaction);
	packet.code = APPLICATION + 1;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(APPLICATION + 1, mcb.code);
	EXPECT_EQ(request.transaction, mcb.transaction);
	ASSERT_TRUE(answer(self->tun, &request, THERE, APPLICATION + 2, NULL, 0));
	vmtp_response(&mcb, APPLICATION + 3);
	ASSERT_EQ(0, vmtp_sendreply(self->fd, &mcb, NULL, 0));
	do {
		ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	} while (!(packet.control & C_RESPONSE));
	EXPECT_EQ(APPLICATION + 3, packet.code);
	EXPECT_EQ(THERE, packet.client);
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(APPLICATION + 2, mcb.code);
}

/* Shows: 2.3-b */
TEST_F(peer, a_server_invokes_another_before_it_replies)
{
	struct packet request, packet;
	struct vmtp_mcb held, mcb;
	struct vmtp_probe first, second;
	int other = open_entity(HERE + (1ULL << 32));

	request_packet(&packet, THERE, HERE, 5);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &held, NULL, 0, LONG_MS));
	ASSERT_EQ(0, start_null(self->fd, MEMBER(1)));
	ASSERT_TRUE(next_request(self->tun, &request));
	EXPECT_EQ(HERE, request.client);
	ASSERT_TRUE(answer(self->tun, &request, MEMBER(1), APPLICATION + 2, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(APPLICATION + 2, mcb.code);
	vmtp_response(&held, APPLICATION + 3);
	ASSERT_EQ(0, vmtp_sendreply(self->fd, &held, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	EXPECT_EQ(APPLICATION + 3, packet.code);
	/* One process, whichever of its entities is asked for. */
	ASSERT_EQ(0, vmtp_probeentity(self->fd, HERE, &first, LONG_MS));
	ASSERT_EQ(0, vmtp_probeentity(self->fd, HERE + (1ULL << 32), &second, LONG_MS));
	EXPECT_EQ(VMTP_OK, first.code);
	EXPECT_EQ(first.process, second.process);
	EXPECT_EQ(first.principal, second.principal);
	EXPECT_EQ(getpid(), (__u32)first.process);
	close(other);
}

/* Shows: 2.4-c */
TEST_F(peer, the_server_of_a_request_is_the_name_it_was_sent_to)
{
	struct vmtp_membership group = { .group = GROUP };
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_JOIN, &group, sizeof(group)));
	request_packet(&packet, THERE, HERE, 5);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(HERE, mcb.server);
	request_packet(&packet, MEMBER(1), GROUP, 5);
	packet.destination = 0xE0000105;
	packet.frame |= W_MPG;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(GROUP, mcb.server);
}

/* ---- invoke and getreply ------------------------------------------------------------------ */

struct invocation {
	int fd;
	long result, took;
	struct vmtp_mcb mcb;
};

static void *invoke_thread(void *argument)
{
	struct invocation *call = argument;
	long begin = now_ms();

	vmtp_request(&call->mcb, THERE, APPLICATION);
	call->result = vmtp_invoke(call->fd, &call->mcb, NULL, 0, NULL, 0, 0);
	call->took = now_ms() - begin;
	return NULL;
}

/* Shows: VIII-c */
TEST_F(peer, invoke_blocks_until_the_response_and_returns_it_in_the_mcb)
{
	struct invocation call = { .fd = self->fd };
	struct packet request, packet;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, invoke_thread, &call));
	ASSERT_TRUE(next_request(self->tun, &request));
	usleep(300000);
	response_packet(&packet, &request, THERE);
	packet.code = APPLICATION + 1;
	for (int i = 0; i < 5; i++)
		packet.user[i] = 0x01020304 * (i + 1);
	packet.msg_delivery = 0x0A0B0C0D;
	packet.segment_size = 0x0E0F1011;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, call.result);
	EXPECT_GE(call.took, 300);
	EXPECT_EQ(VMTP_RESPONSE, call.mcb.function);
	EXPECT_EQ(APPLICATION + 1, call.mcb.code);
	EXPECT_EQ(THERE, call.mcb.server);
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(0x01020304 * (i + 1), call.mcb.user[i]);
	}
	EXPECT_EQ(0x0A0B0C0D, call.mcb.msg_delivery);
	EXPECT_EQ(0x0E0F1011, call.mcb.segment_size);
}

/* Shows: 4.6.1-i */
TEST_F(peer, requests_of_a_run_do_not_wait_for_responses)
{
	struct vmtp_exchange exchange = {
		.out = {
			.mcb = { .server = THERE, .code = APPLICATION },
			.flags = VMTP_MSG_START | VMTP_MSG_DONTWAIT | VMTP_MSG_MORE,
		},
	};
	struct packet request;

	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_STREAM, 1));
	for (int i = 0; i < 8; i++) {
		exchange.out.mcb.code = APPLICATION + i;
		exchange.out.cookie = 100 + i;
		ASSERT_EQ(0, ioctl(self->fd, VMTP_INVOKE, &exchange));
	}
	for (int i = 0; i < 8; i++) {
		do {
			ASSERT_TRUE(next_request(self->tun, &request));
		} while (request.code != APPLICATION + i);
		EXPECT_TRUE(request.control & C_NER);
	}
	EXPECT_EQ(0, ready(self->fd) & POLLIN);
}

/* Shows: 4.6.2-a */
TEST_F(peer, getreply_gives_one_response_after_the_other_and_what_there_is_room_for)
{
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_group(self->fd, APPLICATION | VMTP_MRD));
	ASSERT_TRUE(next_request(self->tun, &request));
	for (int i = 1; i <= 3; i++) {
		ASSERT_TRUE(answer(self->tun, &request, MEMBER(i), VMTP_OK, self->segment + i, 700));
	}
	for (int i = 1; i <= 3; i++) {
		memset(self->got, 0, sizeof(self->got));
		ASSERT_EQ(100, vmtp_getreply(self->fd, &mcb, self->got, 100, 0));
		EXPECT_EQ(MEMBER(i), mcb.server);
		EXPECT_EQ(700, mcb.segment_size);
		EXPECT_EQ(0, memcmp(self->segment + i, self->got, 100));
		EXPECT_EQ(0, self->got[100]);
	}
}

/* Shows: 4.6.2-c */
TEST_F(peer, getreply_waits_its_time_and_sends_nothing)
{
	struct packet request;
	struct vmtp_mcb mcb;
	long begin;

	ASSERT_EQ(0, start_group(self->fd, APPLICATION | VMTP_MRD));
	ASSERT_TRUE(next_request(self->tun, &request));
	ASSERT_TRUE(answer(self->tun, &request, MEMBER(1), VMTP_OK, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
	drain(self->tun);
	begin = now_ms();
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 300));
	EXPECT_EQ(VMTP_FAILURE, mcb.function);
	EXPECT_EQ(VMTP_USER_TIMEOUT, vmtp_code(&mcb));
	EXPECT_GE(now_ms() - begin, 300);
	EXPECT_EQ(0, drain(self->tun));
}

/* Shows: 4.6.1-b */
TEST_F(peer, a_new_transaction_throws_away_what_the_last_one_left)
{
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_group(self->fd, APPLICATION | VMTP_MRD));
	ASSERT_TRUE(next_request(self->tun, &request));
	ASSERT_TRUE(answer(self->tun, &request, MEMBER(1), APPLICATION + 1, NULL, 0));
	ASSERT_TRUE(answer(self->tun, &request, MEMBER(2), APPLICATION + 2, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
	EXPECT_EQ(APPLICATION + 1, mcb.code);
	ASSERT_EQ(0, start_group(self->fd, (APPLICATION + 3) | VMTP_MRD));
	do {
		ASSERT_TRUE(next_request(self->tun, &request));
	} while ((request.code & VMTP_CODE_MASK) != APPLICATION + 3);
	ASSERT_TRUE(answer(self->tun, &request, MEMBER(3), APPLICATION + 4, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
	EXPECT_EQ(APPLICATION + 4, mcb.code);
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
	EXPECT_EQ(VMTP_USER_TIMEOUT, vmtp_code(&mcb));
}

/* Shows: 4.6.1-f */
TEST_F(peer, mdg_tells_whether_the_client_is_a_member)
{
	struct vmtp_membership group = { .group = GROUP };
	struct packet request;

	ASSERT_EQ(0, start_group(self->fd, APPLICATION));
	ASSERT_TRUE(next_request(self->tun, &request));
	EXPECT_EQ(0, request.control & C_MDG);
	ASSERT_EQ(0, vmtp_abort(self->fd));
	ASSERT_EQ(0, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_JOIN, &group, sizeof(group)));
	ASSERT_EQ(0, start_group(self->fd, APPLICATION + 1));
	do {
		ASSERT_TRUE(next_request(self->tun, &request));
	} while (request.code != APPLICATION + 1);
	EXPECT_EQ(C_MDG, request.control & C_MDG);
}

/* ---- recvreq --------------------------------------------------------------------------------- */

/* Shows: VIII-f D-7-a */
TEST_F(peer, recvreq_gives_every_word_of_the_mcb_and_what_there_is_room_for)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	request_packet(&packet, THERE, HERE, 0x11223344);
	packet.code = 0x00800001 | VMTP_PIC | VMTP_CRE;
	for (int i = 0; i < 5; i++)
		packet.user[i] = 0x01020304 * (i + 1);
	packet.msg_delivery = 0x0A0B0C0D;
	carry(&packet, self->segment, 1000, blocks_of(1000));
	packet.control |= 4 << C_PRIORITY;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(600, vmtp_recvreq(self->fd, &mcb, self->got, 600, LONG_MS));
	EXPECT_EQ(HERE, mcb.server);
	EXPECT_EQ(THERE, mcb.client);
	EXPECT_EQ(0x0102030402040608ULL, mcb.coresident);
	EXPECT_EQ(0x00800001 | VMTP_PIC | VMTP_CRE | VMTP_SDA, mcb.code);
	EXPECT_EQ(0x11223344, mcb.transaction);
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(0x01020304 * (i + 1), mcb.user[i]);
	}
	EXPECT_EQ(0x0A0B0C0D, mcb.msg_delivery);
	EXPECT_EQ(1000, mcb.segment_size);
	EXPECT_EQ(4, mcb.priority);
	EXPECT_EQ(0, memcmp(self->segment, self->got, 600));
	EXPECT_EQ(0, self->got[600]);
}

/* Shows: VIII-g */
TEST_F(peer, msgdelivery_tells_of_blocks_that_lie_whole_in_the_area)
{
	static const struct {
		size_t room;
		__u32 blocks;
	} cases[] = { { 1200, 0x3 }, { 1500, 0x7 }, { 1499, 0x3 }, { 1024, 0x3 }, { 1023, 0x1 }, { 511, 0 }, { 0, 0 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct packet packet;
		struct vmtp_mcb mcb = { };

		request_packet(&packet, THERE, HERE, i);
		packet.code |= VMTP_MDM;
		carry(&packet, self->segment, 1500, 0x7);
		packet.msg_delivery = 0x7;
		ASSERT_TRUE(send_packet(self->tun, &packet));
		ASSERT_EQ(cases[i].room, vmtp_recvreq(self->fd, &mcb, self->got, cases[i].room, LONG_MS));
		EXPECT_EQ(cases[i].blocks, mcb.msg_delivery) { TH_LOG("into %zu", cases[i].room); }
	}
}

TEST_HARNESS_MAIN
