// SPDX-License-Identifier: GPL-2.0
/*
 * The module as a Client: every branch of NotifyVmtpClient (4.8), and of
 * Responses that are odd, late, in parts, or many (4.6.2, 4.7.1, 4.9), for a
 * server that is not the module.
 */
#include "raw.h"

#include "kselftest_harness.h"

#define MEMBER(n)	little_endian(300010 + (n), PEER)

RAW_FIXTURE(0)

/* ---- NotifyVmtpClient --------------------------------------------------------------------- */

/* Shows: 4.8-d 4.1-a */
TEST_F(peer, ok_starts_the_count_of_tries_anew_and_the_users_limit_holds)
{
	struct packet request;
	struct vmtp_mcb mcb;
	int sent = 1;
	long begin;

	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_RETRIES, 3));
	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_TIMELIMIT, 3000));
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	begin = now_ms();
	/* With three retries it would be over after some 1,400 ms of silence. */
	while (!(ready(self->fd) & POLLIN)) {
		if (!next_of(self->tun, is_request, &request, 50))
			continue;
		sent++;
		ASSERT_TRUE(tell_client(self->tun, &request, 0xFFFFFFFF, VMTP_OK));
	}
	EXPECT_GE(now_ms() - begin, 2900);
	EXPECT_GT(sent, 4);
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
	EXPECT_EQ(VMTP_FAILURE, mcb.function);
	EXPECT_EQ(VMTP_USER_TIMEOUT, vmtp_code(&mcb));
}

/* Shows: D-22-c */
TEST_F(peer, who_has_the_request_is_given_time_to_work)
{
	struct packet request;
	long begin = now_ms();

	/* Three times the 200 ms that are assumed of a round trip. */
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	ASSERT_TRUE(next_of(self->tun, is_request, &request, LONG_MS));
	EXPECT_LE(600, now_ms() - begin);
	begin = now_ms();
	ASSERT_TRUE(tell_client(self->tun, &request, 0xFFFFFFFF, VMTP_OK));
	ASSERT_TRUE(next_of(self->tun, is_request, &request, LONG_MS));
	EXPECT_LE(200, now_ms() - begin);
}

/* Shows: 4.1-a */
TEST_F(peer, without_a_limit_it_goes_on_as_long_as_the_server_works)
{
	struct packet request;
	long end;

	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_RETRIES, 3));
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	for (end = now_ms() + 4000; now_ms() < end;) {
		if (next_of(self->tun, is_request, &request, 50)) {
			ASSERT_TRUE(tell_client(self->tun, &request, 0xFFFFFFFF, VMTP_OK));
		}
		ASSERT_EQ(0, ready(self->fd) & POLLIN);
	}
	ASSERT_TRUE(answer(self->tun, &request, 0, VMTP_OK));
	EXPECT_EQ(VMTP_OK, outcome(self->fd, 0));
}

/* A Request of eight blocks was sent whole. */
static bool sent_whole(int tun, int fd, const void *segment, struct packet *request)
{
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, THERE, APPLICATION);
	return asked_with(tun, fd, &mcb, segment, 4096, request) &&
	       (request->delivery | blocks_sent(tun, is_request)) == 0xFF;
}

/* One small packet of anybody would be many of the Client's. */
TEST_F(peer, another_host_has_nothing_sent_again)
{
	static const __u32 codes[] = { VMTP_RETRY, VMTP_RETRY_ALL };
	struct packet request, notify;

	ASSERT_TRUE(sent_whole(self->tun, self->fd, self->segment, &request));
	for (int i = 0; i < 2; i++) {
		notify_client_packet(&notify, request.client, C_RESPONSE, request.transaction, 0, codes[i]);
		notify.source = OTHER;
		ASSERT_TRUE(send_packet(self->tun, &notify));
		EXPECT_EQ(0, blocks_sent(self->tun, is_request)) { TH_LOG("code %u", codes[i]); }
		ASSERT_TRUE(tell_client(self->tun, &request, 0, codes[i]));
		EXPECT_EQ(0xFF, blocks_sent(self->tun, is_request)) { TH_LOG("code %u", codes[i]); }
	}
}

/* Shows: 4.8-e */
TEST_F(peer, acknowledged_blocks_are_not_sent_again)
{
	struct packet request;

	ASSERT_TRUE(sent_whole(self->tun, self->fd, self->segment, &request));
	ASSERT_TRUE(tell_client(self->tun, &request, 0x03, VMTP_RETRY));
	EXPECT_EQ(0xFC, blocks_sent(self->tun, is_request));
	ASSERT_TRUE(tell_client(self->tun, &request, 0x0F, VMTP_RETRY));
	EXPECT_EQ(0xF0, blocks_sent(self->tun, is_request));
	ASSERT_TRUE(tell_client(self->tun, &request, 0xFF, VMTP_OK));
	EXPECT_EQ(0, blocks_sent(self->tun, is_request));
	/* The next is to know whether the server is there, and has no data. */
	ASSERT_TRUE(next_of(self->tun, is_request, &request, SOON));
	EXPECT_EQ(0, request.delivery);
}

/* Shows: 4.8-g */
TEST_F(peer, retry_all_makes_it_send_everything)
{
	struct packet request;

	ASSERT_TRUE(sent_whole(self->tun, self->fd, self->segment, &request));
	ASSERT_TRUE(tell_client(self->tun, &request, 0x0F, VMTP_RETRY_ALL));
	EXPECT_EQ(0xFF, blocks_sent(self->tun, is_request));
}

/* Shows: 4.8-i */
TEST_F(peer, busy_makes_it_send_everything_later)
{
	struct packet request;
	__u32 blocks;
	long begin;

	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_RETRIES, 3));
	ASSERT_TRUE(sent_whole(self->tun, self->fd, self->segment, &request));
	/* More often than it may be sent again in silence. */
	for (int i = 0; i < 5; i++) {
		ASSERT_TRUE(tell_client(self->tun, &request, 0, VMTP_BUSY));
		begin = now_ms();
		EXPECT_EQ(0, blocks_sent(self->tun, is_request));
		ASSERT_TRUE(next_of(self->tun, is_request, &request, SOON));
		EXPECT_GE(now_ms() - begin, 150);
		for (blocks = request.delivery; blocks != 0xFF; blocks |= request.delivery) {
			ASSERT_TRUE(next_of(self->tun, is_request, &request, SOON));
		}
	}
	ASSERT_TRUE(answer(self->tun, &request, 0, VMTP_OK));
	EXPECT_EQ(VMTP_OK, outcome(self->fd, LONG_MS));
}

/* Shows: 4.8-j */
TEST_F(peer, busy_until_the_limit_is_a_user_timeout)
{
	struct packet request;
	long begin;

	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_TIMELIMIT, 1500));
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	begin = now_ms();
	while (!(ready(self->fd) & POLLIN)) {
		ASSERT_TRUE(tell_client(self->tun, &request, 0, VMTP_BUSY));
		next_of(self->tun, is_request, &request, 50);
	}
	EXPECT_GE(now_ms() - begin, 1400);
	EXPECT_EQ(VMTP_USER_TIMEOUT, outcome(self->fd, 0));
}

/* Shows: 4.8-k */
TEST_F(peer, migrated_makes_it_look_for_the_server_and_send_everything_there)
{
	struct packet request, probe, found;

	ASSERT_TRUE(sent_whole(self->tun, self->fd, self->segment, &request));
	ASSERT_TRUE(tell_client(self->tun, &request, 0x0F, VMTP_ENTITY_MIGRATED));
	ASSERT_TRUE(next_of(self->tun, is_probe, &probe, LONG_MS));
	EXPECT_EQ(MANAGERS, probe.destination);
	response_packet(&found, &probe, little_endian(0xB0B0B0, OTHER));
	found.source = OTHER;
	drain(self->tun);
	ASSERT_TRUE(send_packet(self->tun, &found));
	ASSERT_TRUE(next_of(self->tun, is_request, &request, LONG_MS));
	EXPECT_EQ(OTHER, request.destination);
	EXPECT_EQ(0xFF, request.delivery | blocks_sent(self->tun, is_request));
	ASSERT_TRUE(answer(self->tun, &request, 0, VMTP_OK));
	EXPECT_EQ(VMTP_OK, outcome(self->fd, LONG_MS));
}

/* ---- Responses ------------------------------------------------------------------------------ */

/* Shows: 4.7.1-i */
TEST_F(peer, packets_of_a_response_add_up)
{
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	for (int block = 0; block < 8; block++) {
		EXPECT_EQ(0, ready(self->fd) & POLLIN);
		ASSERT_TRUE(answer_blocks(self->tun, &request, 0, VMTP_OK, self->segment, 4000, 1U << (block * 3 % 8)));
		/* Again, but for the last, after which the Response is no more being received. */
		if (block < 7) {
			ASSERT_TRUE(answer_blocks(self->tun, &request, 0, VMTP_OK, self->segment, 4000,
						  1U << (block * 3 % 8)));
		}
	}
	ASSERT_EQ(4000, vmtp_getreply(self->fd, &mcb, self->got, sizeof(self->got), 0));
	EXPECT_EQ(0, memcmp(self->segment, self->got, 4000));
	EXPECT_EQ(7, counter("DropDuplicate"));
}

/* Shows: 4.7.1-d */
TEST_F(peer, a_run_of_responses_is_refused_without_streaming)
{
	struct notify_server told;
	struct packet request;

	ASSERT_EQ(0, setting("streaming", 0));
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	ASSERT_TRUE(answer(self->tun, &request, C_NSR, VMTP_OK));
	EXPECT_TRUE(told_server(self->tun, VMTP_STREAMING_NOT_SUPPORTED, &told, 0));
	EXPECT_EQ(VMTP_STREAMED_RESPONSE, outcome(self->fd, LONG_MS));
}

/* Shows: 4.7.1-e 4.7.1-j */
TEST_F(peer, a_run_of_responses_that_nobody_asked_for_is_an_error)
{
	struct packet request, far;
	struct notify_server told;

	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	ASSERT_TRUE(answer(self->tun, &request, C_NER, VMTP_OK));
	ASSERT_TRUE(told_server(self->tun, VMTP_VMTP_ERROR, &told, 0));
	EXPECT_EQ(request.transaction, told.transaction);
	far = request;
	far.transaction += 1000;
	ASSERT_TRUE(answer(self->tun, &far, C_NSR, VMTP_OK));
	ASSERT_TRUE(told_server(self->tun, VMTP_BAD_TRANSACTION_ID, &told, 0));
	EXPECT_EQ(far.transaction, told.transaction);
	/* Neither has ended it. */
	EXPECT_EQ(0, ready(self->fd) & POLLIN);
	ASSERT_TRUE(answer(self->tun, &request, 0, VMTP_OK));
	EXPECT_EQ(VMTP_OK, outcome(self->fd, LONG_MS));
}

/* Shows: 4.7.1-c */
TEST_F(peer, a_client_that_is_only_served_here_is_none_of_this_host)
{
	struct packet request, response;
	struct notify_server told;

	ASSERT_TRUE(served(self->tun, self->fd, 5, VMTP_OK, NULL, 0));
	drain(self->tun);
	request_packet(&request, THERE, little_endian(300077, OTHER), 5);
	response_packet(&response, &request, 0);
	response.source = OTHER;
	response.destination = HOST;
	ASSERT_TRUE(send_packet(self->tun, &response));
	ASSERT_TRUE(told_server(self->tun, VMTP_NONEXISTENT_ENTITY, &told, 0));
	EXPECT_EQ(THERE, told.client);
}

/* Shows: 4.9-e */
TEST_F(peer, an_incomplete_response_with_mdm_is_returned_with_what_came)
{
	struct packet request, response;
	struct vmtp_mcb mcb;

	/* It asks several times for the rest before it gives up: on a slow machine the second packet is late. */
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	for (int block = 0; block <= 2; block += 2) {
		response_packet(&response, &request, 0);
		response.code = VMTP_MDM | (APPLICATION + 1);
		response.msg_delivery = 0xF;
		carry(&response, self->segment, 2048, 1U << block);
		ASSERT_TRUE(send_packet(self->tun, &response));
	}
	memset(self->got, 0, 2048);
	ASSERT_LT(0, vmtp_getreply(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(VMTP_RESPONSE, mcb.function);
	EXPECT_EQ(APPLICATION + 1, vmtp_code(&mcb));
	EXPECT_EQ(5, mcb.msg_delivery);
	EXPECT_EQ(0, memcmp(self->segment, self->got, 512));
	EXPECT_EQ(0, memcmp(self->segment + 1024, self->got + 1024, 512));
}

/* Shows: 4.9-f */
TEST_F(peer, an_incomplete_idempotent_response_is_asked_for_by_the_request)
{
	struct packet packet, request;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	ASSERT_TRUE(answer_blocks(self->tun, &request, 0, VMTP_DGM, self->segment, 2048, 3));
	ASSERT_TRUE(receive_packet(self->tun, &packet, SOON));
	EXPECT_TRUE(is_request(&packet));
	EXPECT_EQ(C_APG, packet.control & C_APG);
	EXPECT_EQ(request.transaction, packet.transaction);
	ASSERT_TRUE(answer_blocks(self->tun, &packet, 0, VMTP_DGM, self->segment, 2048, 0xC));
	ASSERT_EQ(2048, vmtp_getreply(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(0, memcmp(self->segment, self->got, 2048));
}

/* ---- Many Responses ----------------------------------------------------------------------------- */

static bool asked_group(int tun, int fd, __u32 code, struct packet *request)
{
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, GROUP, code);
	return asked_with(tun, fd, &mcb, NULL, 0, request) && request->server == GROUP;
}

static bool answer_as(int tun, const struct packet *request, __u64 server, __u32 code)
{
	struct packet packet;

	response_packet(&packet, request, server);
	packet.source = PEER;
	packet.code = code;
	return send_packet(tun, &packet);
}

/* Shows: 2.7-b D-23-a */
TEST_F(peer, a_group_request_is_repeated_until_somebody_answers)
{
	struct packet request;
	struct vmtp_mcb mcb;
	int sent = 1;

	ASSERT_TRUE(asked_group(self->tun, self->fd, APPLICATION, &request));
	while (!(ready(self->fd) & POLLIN)) {
		if (!next_of(self->tun, is_request, &request, 50))
			continue;
		sent++;
		EXPECT_EQ(0xE0000105, request.destination);
	}
	EXPECT_EQ(6, sent);
	EXPECT_EQ(VMTP_RETRANS_TIMEOUT, outcome(self->fd, 0));
	/* After the first Response it is not. */
	ASSERT_TRUE(asked_group(self->tun, self->fd, APPLICATION | VMTP_MRD, &request));
	ASSERT_TRUE(answer_as(self->tun, &request, MEMBER(1), VMTP_OK));
	drain(self->tun);
	EXPECT_FALSE(next_of(self->tun, is_request, &request, 900));
	EXPECT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
}

/* Shows: 3.2-j 4.6.2-d D-23-b */
TEST_F(peer, with_mrd_all_responses_are_offered_once_and_without_it_one)
{
	struct packet request;
	struct vmtp_mcb mcb;

	for (int many = 0; many < 2; many++) {
		ASSERT_TRUE(asked_group(self->tun, self->fd, APPLICATION | (many ? VMTP_MRD : 0), &request));
		for (int i = 1; i <= 3; i++) {
			ASSERT_TRUE(answer_as(self->tun, &request, MEMBER(i), VMTP_OK));
			ASSERT_TRUE(answer_as(self->tun, &request, MEMBER(i), VMTP_OK));
		}
		for (int i = 1; i <= (many ? 3 : 1); i++) {
			ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
			EXPECT_EQ(VMTP_RESPONSE, mcb.function);
			EXPECT_EQ(MEMBER(i), mcb.server);
			/* Also when it was taken already. */
			ASSERT_TRUE(answer_as(self->tun, &request, MEMBER(i), VMTP_OK));
		}
		ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
		EXPECT_EQ(VMTP_FAILURE, mcb.function);
	}
}

/* Shows: VII.8-a */
TEST_F(peer, many_responses_wait_for_the_user)
{
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked_group(self->tun, self->fd, APPLICATION | VMTP_MRD, &request));
	for (int i = 1; i <= 16; i++) {
		ASSERT_TRUE(answer_as(self->tun, &request, MEMBER(i), APPLICATION + i));
	}
	for (int i = 1; i <= 16; i++) {
		ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
		EXPECT_EQ(VMTP_RESPONSE, mcb.function);
		EXPECT_EQ(MEMBER(i), mcb.server);
		EXPECT_EQ(APPLICATION + i, mcb.code);
	}
}

/* Shows: 4.6.2-e */
TEST_F(peer, what_is_missing_of_a_second_response_is_asked_for)
{
	struct packet request, response;
	struct notify_server told;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked_group(self->tun, self->fd, APPLICATION | VMTP_MRD, &request));
	ASSERT_TRUE(answer_as(self->tun, &request, MEMBER(1), VMTP_OK));
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, LONG_MS));
	for (__u32 blocks = 3; blocks; blocks = blocks == 3 ? 0xC : 0) {
		response_packet(&response, &request, MEMBER(2));
		response.source = PEER;
		carry(&response, self->segment, 2048, blocks);
		ASSERT_TRUE(send_packet(self->tun, &response));
		if (blocks == 3) {
			ASSERT_TRUE(told_server(self->tun, VMTP_RETRY, &told, SOON));
			EXPECT_EQ(MEMBER(2), told.server);
			EXPECT_EQ(3, told.delivery);
		}
	}
	ASSERT_EQ(2048, vmtp_getreply(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(MEMBER(2), mcb.server);
	EXPECT_EQ(0, memcmp(self->segment, self->got, 2048));
}

/* Shows: 2.8-e */
TEST_F(peer, a_conditional_response_is_for_who_waits)
{
	struct packet request;
	struct notify_server told;
	struct waiter waiter;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked_group(self->tun, self->fd, APPLICATION | VMTP_MRD, &request));
	ASSERT_TRUE(answer_as(self->tun, &request, MEMBER(1), VMTP_OK));
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, LONG_MS));
	drain(self->tun);
	/* Nobody is in getreply. */
	ASSERT_TRUE(answer_as(self->tun, &request, MEMBER(2), VMTP_CMD));
	ASSERT_TRUE(told_server(self->tun, VMTP_RESPONSE_DISCARDED, &told, 0));
	EXPECT_EQ(MEMBER(2), told.server);
	/* In getreply, and in poll. */
	ASSERT_TRUE(waiter_start(&waiter, takes_a_reply, &self->fd));
	ASSERT_TRUE(answer_as(self->tun, &request, MEMBER(3), VMTP_CMD));
	EXPECT_EQ(0, waiter_end(&waiter));
	ASSERT_TRUE(waiter_start_in(&waiter, polls, &self->fd, SYS_poll));
	ASSERT_TRUE(answer_as(self->tun, &request, MEMBER(4), VMTP_CMD));
	EXPECT_EQ(0, waiter_end(&waiter));
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
	EXPECT_EQ(MEMBER(4), mcb.server);
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
	EXPECT_EQ(VMTP_FAILURE, mcb.function);
}

/* Shows: D-14-c */
TEST_F(peer, an_entity_is_where_it_was_heard_from)
{
	__u64 asking = little_endian(200000, PEER);
	struct packet packet, request;
	struct vmtp_mcb mcb;

	/* A Request that is answered. */
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	request_packet(&packet, asking, entity_of(self->fd), 1);
	packet.source = OTHER;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->fd, &mcb, NULL, 0));
	drain(self->tun);
	ASSERT_EQ(0, start_null(self->fd, asking));
	ASSERT_TRUE(next_of(self->tun, is_request, &request, LONG_MS));
	EXPECT_EQ(asking, request.server);
	EXPECT_EQ(OTHER, request.destination);
	ASSERT_EQ(0, ioctl(self->fd, VMTP_ABORT));
	/* A Response of a group's member. */
	drain(self->tun);
	ASSERT_TRUE(asked_group(self->tun, self->fd, APPLICATION, &request));
	response_packet(&packet, &request, MEMBER(1));
	packet.source = OTHER;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(VMTP_OK, outcome(self->fd, LONG_MS));
	drain(self->tun);
	ASSERT_EQ(0, start_null(self->fd, MEMBER(1)));
	ASSERT_TRUE(next_of(self->tun, is_request, &request, LONG_MS));
	EXPECT_EQ(MEMBER(1), request.server);
	EXPECT_EQ(OTHER, request.destination);
}

/* Shows: 4.6.1-d 3.2-p */
TEST_F(peer, a_group_request_reaches_members_here_and_elsewhere)
{
	struct vmtp_membership group = { .group = GROUP };
	int member = open_entity(HERE + (1ULL << 32));
	struct packet request;
	struct vmtp_mcb mcb, asked;
	__u64 servers = 0;

	ASSERT_GE(member, 0);
	ASSERT_EQ(0, setsockopt(member, SOL_VMTP, VMTP_OPT_JOIN, &group, sizeof(group)));
	vmtp_request(&mcb, GROUP, APPLICATION | VMTP_MRD);
	mcb.flags = VMTP_F_DRT;
	ASSERT_TRUE(asked_with(self->tun, self->fd, &mcb, NULL, 0, &request));
	EXPECT_EQ(C_DRT, request.control & C_DRT);
	ASSERT_EQ(0, vmtp_recvreq(member, &asked, NULL, 0, LONG_MS));
	EXPECT_EQ(HERE, asked.client);
	ASSERT_EQ(0, reply(member, &asked, VMTP_OK, NULL, 0));
	ASSERT_TRUE(answer_as(self->tun, &request, MEMBER(1), VMTP_OK));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(VMTP_RESPONSE, mcb.function);
		servers ^= mcb.server;
	}
	EXPECT_EQ((HERE + (1ULL << 32)) ^ MEMBER(1), servers);
	close(member);
}

/* Shows: 4.6.1-e */
TEST_F(peer, a_group_request_for_whoever_is_with_an_entity_of_this_host_stays_here)
{
	struct vmtp_membership group = { .group = GROUP };
	int member = open_entity(HERE + (1ULL << 32));
	struct vmtp_mcb mcb, asked;

	ASSERT_GE(member, 0);
	ASSERT_EQ(0, setsockopt(member, SOL_VMTP, VMTP_OPT_JOIN, &group, sizeof(group)));
	/* The manager of this host. */
	vmtp_request(&mcb, VMTP_MANAGER_GROUP, 0);
	mcb.code = VMTP_PROC_PROBE_ENTITY;
	mcb.coresident = HERE;
	mcb.user[2] = HERE >> 32;
	mcb.user[3] = HERE;
	mcb.user[4] = 1;
	ASSERT_EQ(0, vmtp_invoke(self->fd, &mcb, NULL, 0, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
	EXPECT_EQ(0, drain(self->tun));
	/* A member of another group. */
	vmtp_request(&mcb, GROUP, APPLICATION | VMTP_CRE);
	mcb.coresident = HERE;
	ASSERT_EQ(0, start(self->fd, &mcb, NULL, 0));
	ASSERT_EQ(0, vmtp_recvreq(member, &asked, NULL, 0, LONG_MS));
	EXPECT_EQ(GROUP, asked.server);
	ASSERT_EQ(0, reply(member, &asked, VMTP_OK, NULL, 0));
	EXPECT_EQ(VMTP_OK, outcome(self->fd, LONG_MS));
	EXPECT_EQ(0, drain(self->tun));
	close(member);
}

TEST_HARNESS_MAIN
