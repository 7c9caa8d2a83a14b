// SPDX-License-Identifier: GPL-2.0
/*
 * The fields of packets (chapter 3), as the module sends them and as it takes
 * them from a peer that is not the module.
 */
#include "raw.h"

#include "kselftest_harness.h"

RAW_FIXTURE(0)

/* ---- The message control block ------------------------------------------------------- */

/* Shows: 2.4-a */
TEST_F(peer, words_without_their_flags_are_user_data)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	request_packet(&packet, THERE, HERE, 5);
	for (int i = 0; i < 5; i++)
		packet.user[i] = 0x01020304 * (i + 1);
	packet.msg_delivery = 0x80000001;
	packet.segment_size = 0xFFFFFFF1;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(0, memcmp(packet.user, mcb.user, sizeof(mcb.user)));
	EXPECT_EQ(0x80000001, mcb.msg_delivery);
	EXPECT_EQ(0xFFFFFFF1, mcb.segment_size);
	/* And the other way. */
	vmtp_request(&mcb, THERE, APPLICATION);
	for (int i = 0; i < 5; i++)
		mcb.user[i] = 0x11121314 * (i + 1);
	mcb.msg_delivery = 0x55AA55AA;
	mcb.segment_size = 0xFFFFFFFF;
	ASSERT_TRUE(asked_with(self->tun, self->fd, &mcb, NULL, 0, &packet));
	EXPECT_EQ(0, memcmp(packet.user, mcb.user, sizeof(mcb.user)));
	EXPECT_EQ(0x55AA55AA, packet.msg_delivery);
	EXPECT_EQ(0xFFFFFFFF, packet.segment_size);
	EXPECT_EQ(0, packet.code & (VMTP_SDA | VMTP_MDM | VMTP_CRE));
	EXPECT_EQ(0, packet.octets);
}

/* Every octet, in the order in which it was written. */
static void octets_in_order(unsigned char *to)
{
	for (int i = 0; i < 256; i++)
		to[i] = i;
}

/* Shows: 2.15-a 3.1-a D-7-b */
TEST_F(peer, clients_of_every_kind_are_told_apart_and_their_octets_are_the_same)
{
	static const __u64 kinds[] = { VMTP_ENTITY_LEE, 0, VMTP_ENTITY_ALIAS | VMTP_ENTITY_LEE, VMTP_ENTITY_ALIAS };
	unsigned char order[256];
	struct packet packet;
	struct vmtp_mcb mcb;

	octets_in_order(order);
	for (int i = 0; i < 4; i++) {
		__u64 client = (THERE & ~VMTP_ENTITY_LEE) | kinds[i];

		drain(self->tun);
		request_packet(&packet, client, HERE, 5);
		packet.user[4] = 0x0A0B0C0D;
		carry(&packet, order, sizeof(order), 1);
		for (int times = 0; times < 2; times++) {
			ASSERT_TRUE(send_packet(self->tun, &packet));
		}
		memset(self->got, 0, sizeof(self->got));
		ASSERT_EQ(256, vmtp_recvreq(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
		EXPECT_EQ(client, mcb.client);
		EXPECT_EQ(0x0A0B0C0D, mcb.user[4]);
		EXPECT_EQ(0, memcmp(order, self->got, sizeof(order)));
		/* The second is a duplicate, whatever the kind. */
		EXPECT_TRUE(nothing_arrives(self->fd));
		vmtp_response(&mcb, VMTP_OK);
		mcb.user[4] = 0x01020304;
		ASSERT_EQ(0, vmtp_sendreply(self->fd, &mcb, order, sizeof(order)));
		ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
		EXPECT_EQ(client, packet.client);
		EXPECT_EQ(0x01020304, packet.user[4]);
		EXPECT_EQ(256, packet.octets);
		EXPECT_EQ(0, memcmp(order, packet.data, sizeof(order)));
	}
}

/* Shows: 2.15-a D-7-b */
TEST_F(peer, an_entity_of_the_other_byte_order_sends_the_same_packets)
{
	int fd = open_entity(HERE & ~VMTP_ENTITY_LEE);
	unsigned char order[256];
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_GE(fd, 0);
	octets_in_order(order);
	vmtp_request(&mcb, THERE & ~VMTP_ENTITY_LEE, APPLICATION);
	mcb.user[0] = 0x01020304;
	ASSERT_TRUE(asked_with(self->tun, fd, &mcb, order, sizeof(order), &packet));
	EXPECT_EQ(HERE & ~VMTP_ENTITY_LEE, packet.client);
	EXPECT_EQ(0x01020304, packet.user[0]);
	EXPECT_EQ(0, memcmp(order, packet.data, sizeof(order)));
	ASSERT_TRUE(answer_blocks(self->tun, &packet, 0, VMTP_OK, order, sizeof(order), 1));
	ASSERT_EQ(256, vmtp_getreply(fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(THERE & ~VMTP_ENTITY_LEE, mcb.server);
	EXPECT_EQ(0, memcmp(order, self->got, sizeof(order)));
	close(fd);
}

/* Shows: 3.2-k */
TEST_F(peer, pic_is_data_of_the_code)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	request_packet(&packet, THERE, HERE, 5);
	packet.code = VMTP_PIC | 0x123456;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_PIC | 0x123456, mcb.code);
	vmtp_request(&mcb, THERE, VMTP_PIC | 0x123456);
	ASSERT_TRUE(asked_with(self->tun, self->fd, &mcb, NULL, 0, &packet));
	EXPECT_EQ(VMTP_PIC | 0x123456, packet.code);
}

/* ---- The control word -------------------------------------------------------------------- */

/* Shows: 3.2-d */
TEST_F(peer, requests_that_wait_are_handled_by_priority)
{
	static const __u32 priorities[] = { 4, 0, 8, 12, 13, 0 }, order[] = { 12, 13, 8, 0, 0, 4 };
	struct packet packet;
	struct vmtp_mcb mcb;

	for (int i = 0; i < 6; i++) {
		request_packet(&packet, THERE + ((__u64)i << 32), HERE, 5);
		packet.control = priorities[i] << C_PRIORITY;
		packet.user[0] = i;
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
	for (int i = 0; i < 6; i++) {
		ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(order[i], mcb.priority) { TH_LOG("place %d", i); }
		/* Of two alike the first is first. */
		if (i == 3) {
			EXPECT_EQ(1, mcb.user[0]);
		}
		EXPECT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
	}
	EXPECT_EQ(6, counter("ResponsesSent"));
}

/* Shows: 3.2-f */
TEST_F(peer, the_last_bit_alone_makes_a_response)
{
	struct notify_server told;
	struct packet packet;
	struct vmtp_mcb mcb;

	/* To the server it is a Response for a Client that is not here. */
	request_packet(&packet, THERE, HERE, 5);
	packet.control = C_RESPONSE;
	packet.code = VMTP_OK;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_TRUE(nothing_arrives(self->fd));
	EXPECT_TRUE(told_server(self->tun, VMTP_NONEXISTENT_ENTITY, &told, 0));
	EXPECT_EQ(1, counter("InResponses"));
	packet.control = 0;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
}

/* Shows: 3.2-e 3.4-a 3.4-e D-3-b D-3-c D-5-b */
TEST_F(peer, a_response_repeats_what_names_it_and_nothing_that_is_reserved)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	request_packet(&packet, THERE, HERE, 0xFFFFFFFF);
	packet.control = C_RESERVED | 17 << C_GAP | 8 << C_PRIORITY | 3U << C_RETRANSMIT | C_DRT;
	packet.code |= VMTP_MRD | VMTP_PIC;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(8, mcb.priority);
	/* The user has no say in what is reserved. */
	vmtp_response(&mcb, VMTP_CRE | VMTP_MRD | VMTP_PIC);
	mcb.flags = VMTP_F_DRT;
	if (vmtp_sendreply(self->fd, &mcb, NULL, 0)) {
		EXPECT_EQ(EINVAL, errno);
		mcb.code = VMTP_OK;
		mcb.flags = 0;
		ASSERT_EQ(0, vmtp_sendreply(self->fd, &mcb, NULL, 0));
	}
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
	EXPECT_EQ(THERE, packet.client);
	EXPECT_EQ(HERE, packet.server);
	EXPECT_EQ(0xFFFFFFFF, packet.transaction);
	EXPECT_EQ(1U << W_DOMAIN, packet.frame);
	/* PGcount is 0, and so are the flags and the reserved bits. */
	EXPECT_EQ(C_RESPONSE | 8 << C_PRIORITY | 3U << C_RETRANSMIT, packet.control);
	EXPECT_EQ(VMTP_OK, packet.code);
	/* Octets 32 to 63 are zero: their sum is sent as 0xFFFF. */
	EXPECT_EQ(0xFFFF, packet.sum & 0xFFFF);
}

/* Shows: 3.4-c */
TEST_F(peer, a_response_has_the_retransmit_count_of_the_last_request)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(ask(self->tun, 5, 0));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	ASSERT_TRUE(ask(self->tun, 5, C_APG | 3U << C_RETRANSMIT));
	drain(self->tun);
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
	EXPECT_EQ(3, packet.control >> C_RETRANSMIT & 7);
	ASSERT_TRUE(ask(self->tun, 5, C_APG | 6U << C_RETRANSMIT));
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
	EXPECT_EQ(6, packet.control >> C_RETRANSMIT & 7);
}

/* Shows: 3.2-b 4.3-a */
TEST_F(peer, retransmit_count_goes_round_after_seven)
{
	struct packet packet;

	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_RETRIES, 9));
	ASSERT_TRUE(asked(self->tun, self->fd, &packet));
	for (__u32 sent = 0; sent < 10; sent++) {
		EXPECT_EQ(sent % 8, packet.control >> C_RETRANSMIT & 7) { TH_LOG("transmission %u", sent); }
		EXPECT_EQ(sent ? C_APG : 0, packet.control & C_APG);
		if (sent < 9) {
			ASSERT_TRUE(next_of(self->tun, is_request, &packet, LONG_MS));
		}
	}
	EXPECT_EQ(VMTP_RETRANS_TIMEOUT, outcome(self->fd, LONG_MS));
}

/* Shows: D-13-c D-13-b */
TEST_F(peer, a_multicast_request_is_one_whatever_was_sent_before_by_the_same_interface)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	for (int i = 0; i < 4; i++) {
		vmtp_request(&mcb, i % 2 ? GROUP : THERE, APPLICATION);
		ASSERT_TRUE(asked_with(self->tun, self->fd, &mcb, NULL, 0, &packet));
		EXPECT_EQ(i % 2 ? 0xE0000105 : PEER, packet.destination);
		EXPECT_EQ(i % 2 ? W_MPG : 0, packet.frame & W_MPG);
		EXPECT_EQ(i % 2 ? 1 : 64, packet.ttl);
		ASSERT_EQ(0, vmtp_abort(self->fd));
	}
}

/* Shows: D-3-a */
TEST_F(peer, every_flag_has_its_bit)
{
	static const struct {
		__u32 flag, priority, word;
	} cases[] = {
		{ 0, 0, 0 },
		{ VMTP_F_APG, 0, 0x40000000 },
		{ VMTP_F_NRT, 0, 0x08000000 },
		{ VMTP_F_PRIORITY, 13, 0x000000D0 },
		{ VMTP_F_APG | VMTP_F_NRT | VMTP_F_PRIORITY, 15, 0x480000F0 },
	};
	struct packet packet;
	struct vmtp_mcb mcb;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		vmtp_request(&mcb, THERE, APPLICATION);
		mcb.flags = cases[i].flag;
		mcb.priority = cases[i].priority;
		ASSERT_TRUE(asked_with(self->tun, self->fd, &mcb, NULL, 0, &packet));
		EXPECT_EQ(cases[i].word, packet.control) { TH_LOG("case %zu", i); }
		ASSERT_EQ(0, vmtp_abort(self->fd));
	}
	/* DRT is of multicast Requests. */
	vmtp_request(&mcb, GROUP, APPLICATION | VMTP_MRD);
	mcb.flags = VMTP_F_DRT;
	ASSERT_TRUE(asked_with(self->tun, self->fd, &mcb, NULL, 0, &packet));
	EXPECT_EQ(0x00800000, packet.control);
}

/* ---- Several packet groups ------------------------------------------------------------------ */

/* Shows: D-8-a D-8-b 2.14-a */
TEST_F(peer, a_long_request_is_cut_into_groups)
{
	__u32 blocks[3] = { }, first;
	struct packet packet;
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, THERE, APPLICATION);
	ASSERT_TRUE(asked_with(self->tun, self->fd, &mcb, self->segment, 40000, &packet));
	first = packet.transaction;
	do {
		__u32 group = packet.transaction - first;
		size_t at = 0;

		ASSERT_LT(group, 3);
		EXPECT_EQ(40000, packet.segment_size);
		EXPECT_EQ(group < 2 ? C_CMG | C_NER : 0, packet.control & (C_CMG | C_NER));
		EXPECT_EQ(group ? C_NSR : 0, packet.control & C_NSR);
		for (int block = 0; block < 32; block++) {
			size_t start = group * VMTP_GROUP_SIZE + block * VMTP_BLOCK_SIZE;

			if (!(packet.delivery & 1U << block))
				continue;
			memcpy(self->got + start, packet.data + at, VMTP_BLOCK_SIZE);
			at += VMTP_BLOCK_SIZE;
		}
		blocks[group] |= packet.delivery;
		/* The rest of a long message waits for an acknowledgment. */
		if (blocks[group] == 0xFFFFFFFF) {
			ASSERT_TRUE(tell_client(self->tun, &packet, 0xFFFFFFFF, VMTP_OK));
		}
	} while (blocks[2] != 0x7FFF && next_of(self->tun, is_request, &packet, LONG_MS));
	EXPECT_EQ(0xFFFFFFFF, blocks[0]);
	EXPECT_EQ(0xFFFFFFFF, blocks[1]);
	EXPECT_EQ(0x7FFF, blocks[2]);
	EXPECT_EQ(0, memcmp(self->segment, self->got, 40000));
	/* The Response names the last group, and answers the two before it. */
	packet.transaction = first + 2;
	ASSERT_TRUE(answer(self->tun, &packet, 2 << C_GAP, VMTP_OK));
	EXPECT_EQ(VMTP_OK, outcome(self->fd, LONG_MS));
}

/* Shows: 3.4-b D-8-a 4.7.1-m */
TEST_F(peer, a_long_response_uses_the_transactions_that_sti_leaves_to_it)
{
	struct packet packet, known;
	struct vmtp_mcb mcb;
	__u32 blocks[3] = { };

	/* A Client that is known may be sent more than three times what it sent. */
	ASSERT_EQ(0, setting("probe_clients", PROBE_ALWAYS));
	ASSERT_TRUE(ask(self->tun, 500, C_STI));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	ASSERT_TRUE(is_probe(&packet));
	response_packet(&known, &packet, PEER_MANAGER);
	known.user[0] = 500;
	ASSERT_TRUE(send_packet(self->tun, &known));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, self->segment, 40000));
	while (blocks[2] != 0x7FFF) {
		__u32 group;

		ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
		group = packet.transaction - 500;
		ASSERT_LT(group, 3);
		if (group) {
			EXPECT_EQ(C_STI, packet.control & C_STI);
		}
		EXPECT_EQ(group < 2 ? C_CMG : 0, packet.control & C_CMG);
		EXPECT_EQ(group ? C_NSR : 0, packet.control & C_NSR);
		EXPECT_EQ(40000, packet.segment_size);
		blocks[group] |= packet.delivery;
		if (blocks[group] == 0xFFFFFFFF) {
			ASSERT_TRUE(tell_server(self->tun, packet.transaction, 0xFFFFFFFF, VMTP_OK));
		}
	}
	EXPECT_EQ(0xFFFFFFFF, blocks[0] & blocks[1]);
}

/* Shows: 3.2-q */
TEST_F(peer, without_sti_a_response_is_one_group)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(ask_blocks(self->tun, 5, 0, self->segment, 8192, 0xFFFF));
	ASSERT_EQ(8192, vmtp_recvreq(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	vmtp_response(&mcb, VMTP_OK);
	EXPECT_ERRNO(EMSGSIZE, vmtp_sendreply(self->fd, &mcb, self->segment, 20000));
	EXPECT_EQ(0, drain(self->tun));
	/* It may still be answered. */
	ASSERT_EQ(0, vmtp_sendreply(self->fd, &mcb, self->segment, VMTP_GROUP_SIZE));
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
	EXPECT_EQ(VMTP_GROUP_SIZE, packet.segment_size);
}

/* ---- Names ------------------------------------------------------------------------------------ */

/* Shows: D-11-b */
TEST_F(peer, the_managers_are_a_well_known_group)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	EXPECT_EQ(0x40000001E0000100ULL, VMTP_MANAGER_GROUP);
	/* A Server that is not there is looked for among all managers. */
	vmtp_request(&mcb, little_endian(300001, PEER), APPLICATION);
	ASSERT_TRUE(asked_with(self->tun, self->fd, &mcb, NULL, 0, &packet));
	ASSERT_TRUE(tell_client(self->tun, &packet, 0, VMTP_NONEXISTENT_ENTITY));
	ASSERT_TRUE(next_of(self->tun, is_probe, &packet, LONG_MS));
	EXPECT_EQ(0x40000001E0000100ULL, packet.server);
	EXPECT_EQ(0xE0000100, packet.destination);
}

/* Shows: 3.2-g */
TEST_F(peer, the_server_of_a_response_is_whoever_answers)
{
	struct vmtp_membership group = { .group = GROUP };
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_JOIN, &group, sizeof(group)));
	request_packet(&packet, THERE, GROUP, 5);
	packet.destination = 0xE0000105;
	packet.frame |= W_MPG;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(GROUP, mcb.server);
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
	EXPECT_EQ(HERE, packet.server);
	/* Whoever it was forwarded to answers as itself. */
	vmtp_request(&mcb, GROUP, APPLICATION);
	ASSERT_TRUE(asked(self->tun, self->fd, &packet));
	EXPECT_EQ(THERE, packet.server);
	packet.server = little_endian(300009, OTHER);
	ASSERT_TRUE(answer(self->tun, &packet, 1 << C_FORWARD, VMTP_OK));
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(little_endian(300009, OTHER), mcb.server);
}

/* Shows: I-a */
TEST(response_codes_have_the_values_of_the_rfc)
{
	static const __u32 codes[] = {
		VMTP_OK, VMTP_RETRY, VMTP_RETRY_ALL, VMTP_BUSY, VMTP_NONEXISTENT_ENTITY, VMTP_ENTITY_MIGRATED,
		VMTP_NO_PERMISSION, VMTP_NOT_AWAITING_MSG, VMTP_VMTP_ERROR, VMTP_MSGTRANS_OVERFLOW,
		VMTP_BAD_TRANSACTION_ID, VMTP_STREAMING_NOT_SUPPORTED, VMTP_NO_RUN_RECORD, VMTP_RETRANS_TIMEOUT,
		VMTP_USER_TIMEOUT, VMTP_RESPONSE_DISCARDED, VMTP_SECURITY_NOT_SUPPORTED, VMTP_BAD_REPLY_SEGMENT,
		VMTP_SECURITY_REQUIRED, VMTP_STREAMED_RESPONSE, VMTP_TOO_MANY_RETRIES, VMTP_NO_PRINCIPAL,
		VMTP_NO_KEY, VMTP_ENCRYPTION_NOT_SUPPORTED, VMTP_NO_AUTHENTICATOR,
	};

	for (__u32 code = 0; code < sizeof(codes) / sizeof(*codes); code++) {
		EXPECT_EQ(code, codes[code]);
	}
}

TEST_HARNESS_MAIN
