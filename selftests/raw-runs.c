// SPDX-License-Identifier: GPL-2.0
/*
 * Runs of transactions (2.11) and messages of several packet groups (2.14), for
 * a peer that is not the module and that loses, holds back and answers what it
 * likes.
 */
#include "raw.h"

#include "kselftest_harness.h"

/* A slow link: packets of a run may come some milliseconds apart. */
RAW_FIXTURE(10)

/* ---- The module is the Client --------------------------------------------------------------- */

/* Starts a member of a run with this segment; its packet. */
static bool member(int tun, int fd, bool more, const void *segment, size_t octets, struct packet *request)
{
	struct vmtp_exchange exchange = {
		.out = {
			.mcb = { .server = THERE, .code = APPLICATION },
			.segment = (uintptr_t)segment,
			.length = octets,
			.flags = VMTP_MSG_START | (more ? VMTP_MSG_MORE : 0),
		},
	};

	return !ioctl(fd, VMTP_INVOKE, &exchange) && next_of(tun, is_request, request, LONG_MS);
}

/* Starts a run of so many, with one block each if there is a segment. */
static bool run_of(int tun, int fd, int length, const void *segment, struct packet *requests)
{
	if (set_option(fd, VMTP_OPT_STREAM, 1))
		return false;
	drain(tun);
	for (int i = 0; i < length; i++)
		if (!member(tun, fd, i + 1 < length, segment, segment ? VMTP_BLOCK_SIZE : 0, &requests[i]))
			return false;
	drain(tun);
	return true;
}

/* What a timer repeats has APG. */
static bool is_sent_at_once(const struct packet *packet)
{
	return is_request(packet) && !(packet->control & C_APG);
}

/* Which of these Requests have been sent again already, one bit each; not by a timer. */
static unsigned int again(int tun, const struct packet *requests, int length)
{
	unsigned int found = 0;
	struct packet packet;

	while (next_of(tun, is_sent_at_once, &packet, 0))
		for (int i = 0; i < length; i++)
			if (packet.transaction == requests[i].transaction)
				found |= 1U << i;
	return found;
}

/* How many transactions have ended with this code; -1 if one with another. */
static int ended(int fd, long code)
{
	int count = 0;

	while (ready(fd) & POLLIN) {
		if (outcome(fd, 0) != code)
			return -1;
		count++;
	}
	return count;
}

/* The flags that tell a Response's place in the run. */
static __u32 place(const struct packet *request)
{
	return request->control & (C_NSR | C_NER);
}

/* Shows: 2.11-a 2.11-b */
TEST_F(peer, the_members_of_a_run_have_their_flags_and_consecutive_numbers)
{
	static const __u32 flags[] = { C_NER, C_NSR | C_NER, C_NSR | C_NER, C_NSR };
	struct packet requests[4];

	ASSERT_TRUE(run_of(self->tun, self->fd, 4, NULL, requests));
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(flags[i], place(&requests[i]));
		EXPECT_EQ(requests[0].transaction + i, requests[i].transaction);
	}
	/* They are answered in order. */
	for (int i = 0; i < 4; i++) {
		ASSERT_TRUE(answer(self->tun, &requests[i], flags[i], VMTP_OK));
	}
	EXPECT_EQ(4, ended(self->fd, VMTP_OK));
}

/* Shows: 2.11-c */
TEST_F(peer, any_member_that_is_not_answered_can_be_sent_again)
{
	struct packet requests[5];

	ASSERT_TRUE(run_of(self->tun, self->fd, 5, self->segment, requests));
	ASSERT_TRUE(tell_client(self->tun, &requests[1], 0, VMTP_RETRY));
	EXPECT_EQ(1U << 1, again(self->tun, requests, 5));
	ASSERT_TRUE(tell_client(self->tun, &requests[4], 0, VMTP_RETRY));
	EXPECT_EQ(1U << 4, again(self->tun, requests, 5));
}

/* Shows: 2.11-g 4.8-h */
TEST_F(peer, after_a_gap_all_that_follows_is_sent_again)
{
	struct packet requests[5];

	ASSERT_TRUE(run_of(self->tun, self->fd, 5, self->segment, requests));
	ASSERT_TRUE(tell_client(self->tun, &requests[1], 0, VMTP_RETRY_ALL));
	EXPECT_EQ(0x1C, again(self->tun, requests, 5));
}

/* Shows: 2.11-g */
TEST_F(peer, a_run_that_the_server_does_not_know_starts_anew)
{
	struct packet requests[4], packet;

	ASSERT_TRUE(run_of(self->tun, self->fd, 4, NULL, requests));
	ASSERT_TRUE(answer(self->tun, &requests[0], C_NER, VMTP_OK));
	EXPECT_EQ(1, ended(self->fd, VMTP_OK));
	drain(self->tun);
	ASSERT_TRUE(tell_client(self->tun, &requests[2], 0, VMTP_NO_RUN_RECORD));
	/* At the first that was not answered, which starts the run now. */
	for (int i = 1; i < 4; i++) {
		ASSERT_TRUE(next_of(self->tun, is_sent_at_once, &packet, 0));
		EXPECT_EQ(requests[i].transaction, packet.transaction);
		EXPECT_EQ(i == 1 ? 0 : C_NSR, packet.control & C_NSR);
	}
}

/* Shows: 2.11-h 4.7.1-k */
TEST_F(peer, responses_are_taken_in_order_and_a_gap_is_told)
{
	struct packet requests[4];
	struct notify_server told;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(run_of(self->tun, self->fd, 4, NULL, requests));
	ASSERT_TRUE(answer(self->tun, &requests[0], place(&requests[0]), VMTP_OK));
	ASSERT_TRUE(answer(self->tun, &requests[1], place(&requests[1]), VMTP_OK));
	drain(self->tun);
	ASSERT_TRUE(answer(self->tun, &requests[3], place(&requests[3]), VMTP_OK));
	ASSERT_TRUE(told_server(self->tun, VMTP_RETRY_ALL, &told, 0));
	EXPECT_EQ(requests[1].transaction, told.transaction);
	EXPECT_EQ(2, ended(self->fd, VMTP_OK));
	for (int i = 2; i < 4; i++) {
		ASSERT_TRUE(answer(self->tun, &requests[i], place(&requests[i]), APPLICATION + i));
		ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(APPLICATION + i, mcb.code);
	}
}

/* Shows: 2.11-i */
TEST_F(peer, one_response_may_answer_the_whole_run)
{
	struct packet requests[4];

	ASSERT_TRUE(run_of(self->tun, self->fd, 4, NULL, requests));
	ASSERT_TRUE(answer(self->tun, &requests[3], C_NSR | 3 << C_GAP, VMTP_OK));
	EXPECT_EQ(4, ended(self->fd, VMTP_OK));
	EXPECT_EQ(POLLOUT, ready(self->fd) & POLLOUT);
}

/* Shows: 2.11-l */
TEST_F(peer, a_server_without_room_gets_fewer_at_a_time)
{
	struct packet requests[8];
	unsigned int sent;

	ASSERT_TRUE(run_of(self->tun, self->fd, 8, NULL, requests));
	/* It has the first three. */
	ASSERT_TRUE(tell_client(self->tun, &requests[2], 0, VMTP_MSGTRANS_OVERFLOW));
	EXPECT_EQ(0, again(self->tun, requests, 8));
	ASSERT_TRUE(answer(self->tun, &requests[0], place(&requests[0]), VMTP_OK));
	/* As those are answered, the later ones come again, but not all at once. */
	sent = again(self->tun, requests, 8);
	EXPECT_EQ(0, sent & 0x07);
	EXPECT_NE(0xF8, sent & 0xF8);
	for (int i = 1; i < 8; i++) {
		ASSERT_TRUE(answer(self->tun, &requests[i], place(&requests[i]), VMTP_OK)) { TH_LOG("%d", i); }
		sent |= again(self->tun, requests, 8);
	}
	EXPECT_EQ(1U << 3, sent & 1U << 3);
	EXPECT_EQ(8, ended(self->fd, VMTP_OK));
}

/* A member of a run with a group of data, at once or not at all. */
static int start_large(int fd, const void *segment)
{
	struct vmtp_exchange exchange = {
		.out = {
			.segment = (uintptr_t)segment,
			.length = VMTP_GROUP_SIZE,
			.flags = VMTP_MSG_START | VMTP_MSG_MORE | VMTP_MSG_DONTWAIT,
		},
	};

	vmtp_request(&exchange.out.mcb, THERE, APPLICATION);
	return ioctl(fd, VMTP_INVOKE, &exchange);
}

/* Whoever polls does not try again and again what does not fit SO_SNDBUF, and waits no longer than until it does. */
TEST_F(peer, room_to_send_is_room_for_what_found_none)
{
	unsigned char segment[VMTP_GROUP_SIZE] = { 0 };
	struct packet requests[3];

	/* Linux doubles it: three groups fit. */
	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_SNDBUF, &(int){ 30000 }, sizeof(int)));
	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_STREAM, 1));
	for (int i = 0; i < 3; i++) {
		drain(self->tun);
		EXPECT_EQ(POLLOUT, ready(self->fd) & POLLOUT);
		ASSERT_EQ(0, start_large(self->fd, segment));
		ASSERT_TRUE(next_of(self->tun, is_request, &requests[i], LONG_MS));
	}
	EXPECT_ERRNO(EAGAIN, start_large(self->fd, segment));
	EXPECT_EQ(0, ready(self->fd) & POLLOUT);
	ASSERT_TRUE(answer(self->tun, &requests[0], place(&requests[0]), VMTP_OK));
	EXPECT_EQ(POLLOUT, ready(self->fd) & POLLOUT);
	EXPECT_EQ(0, start_large(self->fd, segment));
}

/* Shows: 2.11-m */
TEST_F(peer, the_next_run_waits_for_the_end_of_this_one)
{
	struct packet requests[3], next;

	ASSERT_TRUE(run_of(self->tun, self->fd, 3, NULL, requests));
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, O_NONBLOCK));
	for (int i = 0; i < 3; i++) {
		EXPECT_ERRNO(EAGAIN, start_null(self->fd, THERE));
		EXPECT_EQ(0, ready(self->fd) & POLLOUT);
		ASSERT_TRUE(answer(self->tun, &requests[i], place(&requests[i]), VMTP_OK));
	}
	EXPECT_EQ(POLLOUT, ready(self->fd) & POLLOUT);
	EXPECT_EQ(3, ended(self->fd, VMTP_OK));
	drain(self->tun);
	ASSERT_EQ(0, start_null(self->fd, THERE));
	ASSERT_TRUE(next_of(self->tun, is_request, &next, LONG_MS));
	EXPECT_EQ(0, place(&next));
	EXPECT_EQ(requests[2].transaction + 1, next.transaction);
}

/* Shows: 4.8-c */
TEST_F(peer, pgcount_of_a_notify_acknowledges_the_groups_before)
{
	__u32 blocks[3] = { };
	struct packet packet, notify;
	struct vmtp_mcb mcb;
	__u32 first;

	vmtp_request(&mcb, THERE, APPLICATION);
	ASSERT_TRUE(asked_with(self->tun, self->fd, &mcb, self->segment, 40000, &packet));
	for (first = packet.transaction; blocks[1] != 0xFFFFFFFF;) {
		blocks[packet.transaction - first] |= packet.delivery;
		if (blocks[1] != 0xFFFFFFFF) {
			ASSERT_TRUE(next_of(self->tun, is_request, &packet, LONG_MS));
		}
	}
	EXPECT_EQ(0xFFFFFFFF, blocks[0]);
	drain(self->tun);
	/* All of the second and, by PGcount, of the first. */
	notify_client_packet(&notify, HERE, C_RESPONSE | 1 << C_GAP, first + 1, 0xFFFFFFFF, VMTP_OK);
	ASSERT_TRUE(send_packet(self->tun, &notify));
	while (blocks[2] != 0x7FFF) {
		ASSERT_TRUE(next_of(self->tun, is_request, &packet, LONG_MS));
		EXPECT_EQ(first + 2, packet.transaction);
		blocks[2] |= packet.delivery;
	}
	drain(self->tun);
	/* And everything after the second again. */
	notify_client_packet(&notify, HERE, C_RESPONSE, first + 1, 0, VMTP_RETRY_ALL);
	ASSERT_TRUE(send_packet(self->tun, &notify));
	while (next_of(self->tun, is_request, &packet, 100)) {
		EXPECT_EQ(first + 2, packet.transaction);
	}
}

/* Shows: 4.9-c */
TEST_F(peer, a_silent_server_ends_the_whole_run)
{
	struct packet requests[4], packet;

	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_RETRIES, 2));
	ASSERT_TRUE(run_of(self->tun, self->fd, 4, NULL, requests));
	while (!(ready(self->fd) & POLLIN))
		next_of(self->tun, is_request, &packet, 50);
	EXPECT_EQ(4, ended(self->fd, VMTP_RETRANS_TIMEOUT));
}

/* Shows: 4.8-l VII.9-a */
TEST_F(peer, a_server_that_does_not_stream_gets_one_after_the_other)
{
	struct packet requests[3], packet, other;

	ASSERT_TRUE(run_of(self->tun, self->fd, 3, NULL, requests));
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(tell_client(self->tun, &requests[i], 0, VMTP_STREAMING_NOT_SUPPORTED));
	}
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(next_of(self->tun, is_sent_at_once, &packet, SOON));
		EXPECT_EQ(requests[i].transaction, packet.transaction);
		EXPECT_EQ(0, place(&packet));
		/* Another one would end it. */
		EXPECT_FALSE(next_of(self->tun, is_sent_at_once, &other, 0));
		ASSERT_TRUE(answer(self->tun, &packet, 0, VMTP_OK));
	}
	EXPECT_EQ(3, ended(self->fd, VMTP_OK));
	/* It is remembered: the next one is no member of a run. */
	drain(self->tun);
	ASSERT_TRUE(member(self->tun, self->fd, true, NULL, 0, &packet));
	EXPECT_EQ(0, place(&packet));
}

/* Room for a Response of several groups: STI. */
static bool asked_for_much(int tun, int fd, struct packet *request)
{
	struct vmtp_exchange exchange = {
		.out = { .mcb = { .server = THERE, .code = APPLICATION }, .flags = VMTP_MSG_START },
		.in = { .length = 65536 },
	};

	drain(tun);
	return !ioctl(fd, VMTP_INVOKE, &exchange) && next_of(tun, is_request, request, LONG_MS);
}

/* Blocks of a group of the Response. */
static bool answer_group(int tun, const struct packet *request, int group, bool last, const unsigned char *segment,
			 size_t size, __u32 blocks)
{
	size_t at = (size_t)group * VMTP_GROUP_SIZE;
	struct packet packet;

	response_packet(&packet, request, 0);
	packet.transaction += group;
	packet.control |= C_STI | (group ? C_NSR : 0) | (last ? 0 : C_NER | C_CMG);
	carry(&packet, segment + at, size - at < VMTP_GROUP_SIZE ? size - at : VMTP_GROUP_SIZE, blocks);
	packet.segment_size = size;
	return send_packet(tun, &packet);
}

/* All blocks of a group, two a packet. */
static bool answer_whole(int tun, const struct packet *request, int group, bool last, const unsigned char *segment,
			 size_t size)
{
	size_t at = (size_t)group * VMTP_GROUP_SIZE;
	__u32 all = blocks_of(size - at < VMTP_GROUP_SIZE ? size - at : VMTP_GROUP_SIZE);

	for (int block = 0; block < 32; block += 2)
		if ((all & 3U << block) && !answer_group(tun, request, group, last, segment, size, all & 3U << block))
			return false;
	return true;
}

/* Shows: 2.11-b 4.7.1-m 4.7.1-o */
TEST_F(peer, a_response_of_several_groups_is_one_message)
{
	struct packet request, packet;
	struct vmtp_mcb mcb;
	__u32 first;

	ASSERT_TRUE(asked_for_much(self->tun, self->fd, &request));
	EXPECT_EQ(C_STI, request.control & C_STI);
	first = request.transaction;
	ASSERT_TRUE(answer_whole(self->tun, &request, 0, false, self->segment, 40000));
	/* It is not given without the rest, which is asked for. */
	EXPECT_EQ(0, ready(self->fd) & POLLIN);
	ASSERT_TRUE(next_of(self->tun, is_notify_server, &packet, SOON));
	ASSERT_TRUE(answer_whole(self->tun, &request, 1, false, self->segment, 40000));
	ASSERT_TRUE(answer_whole(self->tun, &request, 2, true, self->segment, 40000));
	ASSERT_EQ(40000, vmtp_getreply(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(0, memcmp(self->segment, self->got, 40000));
	/* The server may have used the 255 numbers after that of the Request. */
	ASSERT_TRUE(asked_for_much(self->tun, self->fd, &request));
	EXPECT_LE(first + 256, request.transaction);
}

/* Shows: 4.7.1-l */
TEST_F(peer, what_is_missing_of_a_group_is_asked_for_when_the_next_one_comes)
{
	struct notify_server told;
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked_for_much(self->tun, self->fd, &request));
	for (int block = 0; block < 30; block += 2) {
		ASSERT_TRUE(answer_group(self->tun, &request, 0, false, self->segment, 20000, 3U << block));
	}
	ASSERT_TRUE(answer_whole(self->tun, &request, 1, true, self->segment, 20000));
	do {
		/* One may have been sent while the packets came: the machine may be slow. */
		ASSERT_TRUE(told_server(self->tun, VMTP_RETRY, &told, SOON));
		EXPECT_EQ(request.transaction, told.transaction);
	} while (told.delivery != 0x3FFFFFFF);
	ASSERT_TRUE(answer_group(self->tun, &request, 0, false, self->segment, 20000, 3U << 30));
	ASSERT_TRUE(answer_whole(self->tun, &request, 1, true, self->segment, 20000));
	ASSERT_EQ(20000, vmtp_getreply(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(0, memcmp(self->segment, self->got, 20000));
}

/* ---- The module is the server ------------------------------------------------------------------ */

/* Shows: 5.3-j */
TEST_F(peer, a_member_of_a_run_waits_until_the_one_before_is_answered)
{
	struct vmtp_mcb first, second;
	struct packet packet;

	ASSERT_TRUE(ask(self->tun, 5, C_NER));
	ASSERT_TRUE(ask(self->tun, 6, C_NSR));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &first, NULL, 0, LONG_MS));
	EXPECT_EQ(5, first.transaction);
	EXPECT_TRUE(nothing_arrives(self->fd));
	ASSERT_EQ(0, reply(self->fd, &first, VMTP_OK, NULL, 0));
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
	EXPECT_EQ(C_NER, place(&packet));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &second, NULL, 0, LONG_MS));
	EXPECT_EQ(6, second.transaction);
	ASSERT_EQ(0, reply(self->fd, &second, VMTP_OK, NULL, 0));
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
	EXPECT_EQ(6, packet.transaction);
	EXPECT_EQ(C_NSR, place(&packet));
}

/* Shows: 5.7-k */
TEST_F(peer, runs_are_refused_without_streaming)
{
	static const __u32 flags[] = { C_NER, C_NSR, C_NSR | C_NER };
	struct notify_client told;

	ASSERT_EQ(0, setting("streaming", 0));
	/* There is a record of the Client. */
	ASSERT_TRUE(served(self->tun, self->fd, 5, VMTP_OK, NULL, 0));
	for (__u32 i = 0; i < 3; i++) {
		drain(self->tun);
		ASSERT_TRUE(ask(self->tun, 6 + i, flags[i]));
		EXPECT_TRUE(told_client(self->tun, VMTP_STREAMING_NOT_SUPPORTED, &told, 0)) { TH_LOG("%u", i); }
		EXPECT_EQ(6 + i, told.transaction);
		EXPECT_TRUE(nothing_arrives(self->fd));
	}
}

/* Shows: 5.7-l III-010F-d */
TEST_F(peer, a_request_out_of_sequence_is_told_and_not_delivered)
{
	struct notify_client told;
	struct vmtp_mcb mcb;

	/* Of this Client nothing is known. */
	ASSERT_TRUE(ask(self->tun, 5, C_NSR));
	ASSERT_TRUE(told_client(self->tun, VMTP_NO_RUN_RECORD, &told, 0));
	EXPECT_EQ(5, told.transaction);
	ASSERT_TRUE(ask(self->tun, 10, C_NER));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
	ASSERT_TRUE(ask(self->tun, 17, C_NSR));
	ASSERT_TRUE(told_client(self->tun, VMTP_RETRY_ALL, &told, 0));
	EXPECT_EQ(10, told.transaction);
	EXPECT_TRUE(nothing_arrives(self->fd));
	/* After STI 256 more is the next. */
	ASSERT_TRUE(ask(self->tun, 11, C_NSR | C_NER | C_STI));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
	ASSERT_TRUE(ask(self->tun, 11 + 256, C_NSR));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(11 + 256, mcb.transaction);
}

/* Shows: 5.7-m */
TEST_F(peer, what_is_missing_of_a_request_is_asked_for_when_the_next_one_comes)
{
	struct notify_client told;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(ask_blocks(self->tun, 5, C_NER, self->segment, 2048, 0x3));
	ASSERT_TRUE(ask(self->tun, 6, C_NSR));
	ASSERT_TRUE(told_client(self->tun, VMTP_RETRY, &told, LONG_MS));
	EXPECT_EQ(5, told.transaction);
	EXPECT_EQ(0x3, told.delivery);
	EXPECT_TRUE(nothing_arrives(self->fd));
	ASSERT_TRUE(ask_blocks(self->tun, 5, C_NER, self->segment, 2048, 0xC));
	ASSERT_EQ(2048, vmtp_recvreq(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(5, mcb.transaction);
}

/* Shows: 5.7-n 5.7-o */
TEST_F(peer, a_request_of_several_groups_is_one_message)
{
	struct notify_client told;
	struct packet packet;
	struct vmtp_mcb mcb;

	for (int block = 0; block < 32; block += 2) {
		request_packet(&packet, THERE, HERE, 5);
		packet.control = C_NER | C_CMG;
		carry(&packet, self->segment, VMTP_GROUP_SIZE, 3U << block);
		packet.segment_size = 17000;
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
	EXPECT_TRUE(nothing_arrives(self->fd));
	/* The rest is asked for when it does not come. */
	ASSERT_TRUE(next_of(self->tun, is_notify_client, &packet, SOON));
	told = notify_client_of(&packet);
	EXPECT_TRUE(told.code == VMTP_RETRY || told.code == VMTP_RETRY_ALL) { TH_LOG("code %u", told.code); }
	EXPECT_TRUE(nothing_arrives(self->fd));
	request_packet(&packet, THERE, HERE, 6);
	packet.control = C_NSR;
	carry(&packet, self->segment + VMTP_GROUP_SIZE, 17000 - VMTP_GROUP_SIZE, 3);
	packet.segment_size = 17000;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(17000, vmtp_recvreq(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(0, memcmp(self->segment, self->got, 17000));
	/* It is answered by the number of its last group, for both. */
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
	EXPECT_EQ(6, packet.transaction);
	EXPECT_EQ(1, packet.control >> C_GAP & 0xFF);
}

/* Shows: I-d */
TEST_F(peer, a_run_without_end_overflows_the_server)
{
	struct notify_client told;
	struct vmtp_mcb mcb;
	__u32 accepted = 0;

	drain(self->tun);
	for (__u32 i = 0; i < 100; i++) {
		ASSERT_TRUE(ask(self->tun, 1000 + i, C_NER | (i ? C_NSR : 0)));
		if (told_client(self->tun, VMTP_MSGTRANS_OVERFLOW, &told, 0))
			break;
		accepted++;
	}
	ASSERT_LT(accepted, 100);
	EXPECT_GE(accepted, 2);
	EXPECT_EQ(1000 + accepted - 1, told.transaction);
	/* All that were accepted are served, in their order. */
	for (__u32 i = 0; i < accepted; i++) {
		ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(1000 + i, mcb.transaction);
		ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
	}
	EXPECT_TRUE(nothing_arrives(self->fd));
}

/* Shows: 2.11-f */
TEST_F(peer, with_nrt_a_request_does_not_wait_for_those_before)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(ask(self->tun, 5, C_NER));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
	drain(self->tun);
	ASSERT_TRUE(ask(self->tun, 7, C_NSR | C_NRT));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(7, mcb.transaction);
	EXPECT_FALSE(next_of(self->tun, is_notify_client, &packet, 0));
}

/* Shows: 2.11-k */
TEST_F(peer, responses_stay_consecutive_over_the_numbers_that_sti_skips)
{
	struct packet first, second;
	struct vmtp_mcb mcb;

	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(ask(self->tun, i ? 5 + 256 : 5, i ? C_NSR : C_NER | C_STI));
		ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
		ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
		ASSERT_TRUE(next_of(self->tun, is_response, i ? &second : &first, LONG_MS));
	}
	EXPECT_EQ(5, first.transaction);
	EXPECT_EQ(5 + 256, second.transaction);
	EXPECT_EQ(first.transaction + 1, second.transaction - (second.control >> C_GAP & 0xFF));
}

/* Shows: 2.8-d */
TEST_F(peer, datagrams_of_a_run_are_delivered_in_order)
{
	static const __u32 flags[] = { C_NER, C_NSR | C_NER, C_NSR };
	struct packet packet;
	struct vmtp_mcb mcb;

	for (__u32 i = 0; i < 3; i++) {
		request_packet(&packet, THERE, HERE, 5 + i);
		packet.control = flags[i];
		packet.code |= VMTP_DGM;
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
	for (__u32 i = 0; i < 3; i++) {
		ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(5 + i, mcb.transaction);
	}
	EXPECT_EQ(0, drain(self->tun));
}

/* Shows: 2.8-d */
TEST_F(peer, what_waits_behind_a_datagram_of_a_run_is_delivered)
{
	static const __u32 flags[] = { C_NER, C_NSR | C_NER, C_NSR | C_NER, C_NSR };
	struct packet packet;
	struct vmtp_mcb mcb;

	/* The first and the last are answered. */
	for (__u32 i = 0; i < 4; i++) {
		request_packet(&packet, THERE, HERE, 5 + i);
		packet.control = flags[i];
		packet.code |= i == 1 || i == 2 ? VMTP_DGM : 0;
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(5, mcb.transaction);
	EXPECT_TRUE(nothing_arrives(self->fd));
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
	for (__u32 i = 1; i < 4; i++) {
		ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(5 + i, mcb.transaction);
	}
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
	for (__u32 i = 0; i < 2; i++) {
		ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
		EXPECT_EQ(5 + 3 * i, packet.transaction);
	}
}

/* Shows: 2.5.3-b */
TEST_F(peer, an_acknowledgment_in_a_run_is_for_all_before_it)
{
	static const __u32 flags[] = { C_NER, C_NSR | C_NER, C_NSR };
	struct packet packet;
	struct vmtp_mcb mcb;

	for (__u32 i = 0; i < 3; i++) {
		ASSERT_TRUE(ask_blocks(self->tun, 5 + i, flags[i], self->segment, 2048, 0xF));
		ASSERT_EQ(2048, vmtp_recvreq(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
		ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, self->segment, 1024));
	}
	ASSERT_TRUE(tell_server(self->tun, 7, 0x3, VMTP_OK));
	drain(self->tun);
	EXPECT_FALSE(next_of(self->tun, is_response, &packet, 1000));
}

/* Shows: 5.8-j */
TEST_F(peer, the_last_of_a_run_knows_the_duplicates_of_all)
{
	struct vmtp_mcb mcb;

	for (__u32 i = 0; i < 2; i++) {
		ASSERT_TRUE(ask_blocks(self->tun, 5 + i, i ? C_NSR : C_NER, self->segment, 2048, 0xF));
		ASSERT_EQ(2048, vmtp_recvreq(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
		ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, self->segment, 1024));
	}
	ASSERT_TRUE(tell_server(self->tun, 5, 0x3, VMTP_OK));
	for (__u32 i = 0; i < 2; i++) {
		ASSERT_TRUE(ask_blocks(self->tun, 5 + i, i ? C_NSR : C_NER, self->segment, 2048, 0xF));
	}
	EXPECT_TRUE(nothing_arrives(self->fd));
	EXPECT_EQ(2, counter("RequestsDelivered"));
}

TEST_HARNESS_MAIN
