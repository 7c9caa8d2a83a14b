// SPDX-License-Identifier: GPL-2.0
/*
 * Forwarded Requests (2.9, 5.3, 5.6.3, 5.7), packet by packet: the module
 * passes one on, and one of its own Clients comes back to it.
 */
#include "raw.h"

#include "kselftest_harness.h"

#define NEXT	little_endian(300050, OTHER)	/* the server to which it is passed on */

RAW_FIXTURE(0)

static bool is_passed_on(const struct packet *packet)
{
	return is_request(packet) && packet->server == NEXT;
}

/* A Request is received and passed on with this segment: its first packet. */
static bool passed_on(int tun, int fd, const void *segment, size_t octets, struct packet *packet)
{
	struct vmtp_mcb mcb;

	if (!ask(tun, 5, 0) || vmtp_recvreq(fd, &mcb, NULL, 0, LONG_MS))
		return false;
	drain(tun);
	mcb.code = APPLICATION + 2;
	return !vmtp_forward(fd, &mcb, NEXT, segment, octets) && next_of(tun, is_passed_on, packet, LONG_MS);
}

/* NotifyRemoteVmtpClient of the next server's manager. */
static bool tell_forwarder(int tun, __u32 forward_count, __u32 delivery, __u32 code)
{
	struct packet packet;

	notify_client_packet(&packet, THERE, C_RESPONSE | forward_count << C_FORWARD, 5, delivery, code);
	packet.code = VMTP_PROC_NOTIFY_REMOTE_CLIENT;
	packet.source = OTHER;
	packet.client = little_endian(0xA0A0A0, OTHER);
	return send_packet(tun, &packet);
}

/* Shows: D-24-a 5.3-f 5.3-i */
TEST_F(peer, a_forwarded_request_is_repeated_until_the_next_server_says_something)
{
	struct notify_client told;
	struct packet packet;
	int sent = 1;

	ASSERT_TRUE(passed_on(self->tun, self->fd, NULL, 0, &packet));
	EXPECT_EQ(THERE, packet.client);
	EXPECT_EQ(5, packet.transaction);
	EXPECT_EQ(1, packet.control >> C_FORWARD & 15);
	EXPECT_EQ(APPLICATION + 2, packet.code);
	EXPECT_EQ(OTHER, packet.destination);
	while (next_of(self->tun, is_passed_on, &packet, SOON)) {
		EXPECT_EQ(C_APG, packet.control & C_APG);
		EXPECT_EQ(1, packet.control >> C_FORWARD & 15);
		sent++;
	}
	EXPECT_EQ(6, sent);
	drain(self->tun);
	/* Nobody answers any more. */
	ASSERT_TRUE(ask(self->tun, 5, C_APG));
	EXPECT_TRUE(told_client(self->tun, VMTP_RESPONSE_DISCARDED, &told, 0));
}

/* Shows: 5.3-g 5.6.3-c */
TEST_F(peer, a_client_that_asks_again_is_told_that_its_request_is_here)
{
	struct notify_client told;
	struct packet packet;

	ASSERT_TRUE(passed_on(self->tun, self->fd, NULL, 0, &packet));
	drain(self->tun);
	ASSERT_TRUE(ask(self->tun, 5, 0));
	while (receive_packet(self->tun, &packet, 0)) {
		EXPECT_FALSE(is_notify_client(&packet));
	}
	ASSERT_TRUE(ask(self->tun, 5, C_APG));
	ASSERT_TRUE(told_client(self->tun, VMTP_OK, &told, 0));
	EXPECT_EQ(THERE, told.client);
	EXPECT_TRUE(nothing_arrives(self->fd));
}

/* Shows: 5.3-h 4.8-b */
TEST_F(peer, the_next_server_may_ask_for_blocks_and_only_by_the_remote_operation)
{
	struct packet packet;

	ASSERT_TRUE(passed_on(self->tun, self->fd, self->segment, 4096, &packet));
	EXPECT_EQ(0xFF, packet.delivery | blocks_sent(self->tun, is_passed_on));
	notify_client_packet(&packet, THERE, C_RESPONSE | 1 << C_FORWARD, 5, 0x0F, VMTP_RETRY);
	packet.source = OTHER;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(0, blocks_sent(self->tun, is_passed_on));
	ASSERT_TRUE(tell_forwarder(self->tun, 1, 0x0F, VMTP_RETRY));
	EXPECT_EQ(0xF0, blocks_sent(self->tun, is_passed_on));
}

/* Shows: 5.6.3-b 5.3-h */
TEST_F(peer, the_data_is_kept_until_the_next_server_has_it)
{
	struct notify_client told;
	struct packet packet;

	ASSERT_TRUE(passed_on(self->tun, self->fd, self->segment, 4096, &packet));
	EXPECT_EQ(C_APG, packet.control & C_APG);
	blocks_sent(self->tun, is_passed_on);
	ASSERT_TRUE(tell_forwarder(self->tun, 1, 0xFF, VMTP_OK));
	/* It has been acknowledged: nothing is repeated by itself. */
	EXPECT_FALSE(next_of(self->tun, is_passed_on, &packet, 1000));
	ASSERT_TRUE(ask(self->tun, 5, C_APG));
	EXPECT_TRUE(told_client(self->tun, VMTP_OK, &told, 0));
	while (next_of(self->tun, is_passed_on, &packet, 0)) {
		EXPECT_EQ(0, packet.octets);
	}
}

/* Shows: 5.3-i 5.3-h */
TEST_F(peer, what_becomes_of_it_is_passed_back)
{
	struct notify_client told;
	struct packet packet;

	/* Answered and acknowledged. */
	ASSERT_TRUE(passed_on(self->tun, self->fd, NULL, 0, &packet));
	drain(self->tun);
	ASSERT_TRUE(tell_forwarder(self->tun, 1, 0, VMTP_RESPONSE_DISCARDED));
	EXPECT_EQ(0, drain(self->tun));
	ASSERT_TRUE(ask(self->tun, 5, C_APG));
	EXPECT_TRUE(told_client(self->tun, VMTP_RESPONSE_DISCARDED, &told, 0));
}

TEST_F(peer, an_error_of_the_next_server_is_the_clients)
{
	struct notify_client told;
	struct packet packet;

	ASSERT_TRUE(passed_on(self->tun, self->fd, NULL, 0, &packet));
	drain(self->tun);
	ASSERT_TRUE(tell_forwarder(self->tun, 1, 0, VMTP_NO_PERMISSION));
	ASSERT_TRUE(told_client(self->tun, VMTP_NO_PERMISSION, &told, 0));
	EXPECT_EQ(THERE, told.client);
	EXPECT_EQ(5, told.transaction);
}

/* NotifyRemoteVmtpClient of a host that knows the Transaction, and was not asked. */
TEST_F(peer, only_the_host_that_was_asked_is_believed)
{
	static const __u32 codes[] = { VMTP_OK, VMTP_RESPONSE_DISCARDED, VMTP_NO_PERMISSION, VMTP_ENTITY_MIGRATED };
	struct packet packet;

	ASSERT_TRUE(passed_on(self->tun, self->fd, NULL, 0, &packet));
	drain(self->tun);
	for (int i = 0; i < 4; i++) {
		notify_client_packet(&packet, THERE, C_RESPONSE | 1 << C_FORWARD, 5, 0xFFFFFFFF, codes[i]);
		packet.code = VMTP_PROC_NOTIFY_REMOTE_CLIENT;
		packet.source = PEER;
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
	EXPECT_EQ(4, counter("DropUnwanted"));
	while (receive_packet(self->tun, &packet, 0)) {
		EXPECT_TRUE(is_passed_on(&packet));
	}
	/* Nobody has acknowledged it. */
	ASSERT_TRUE(next_of(self->tun, is_passed_on, &packet, SOON));
	ASSERT_TRUE(tell_forwarder(self->tun, 1, 0, VMTP_NO_PERMISSION));
	EXPECT_TRUE(next_of(self->tun, is_notify_client, &packet, 0));
}

/* Decision 14: ENTITY_MIGRATED always leads to a Probe, and NONEXISTENT_ENTITY where the address was a guess. */
TEST_F(peer, a_next_server_that_is_elsewhere_is_looked_for_and_asked_there)
{
	static const __u32 codes[] = { VMTP_ENTITY_MIGRATED, VMTP_NONEXISTENT_ENTITY };
	struct packet packet, probe;
	__u32 blocks;

	for (__u32 i = 0; i < 2; i++) {
		__u64 next = NEXT + ((__u64)i << 32);
		struct vmtp_mcb mcb;

		ASSERT_TRUE(ask(self->tun, 5 + i, 0));
		ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
		mcb.code = APPLICATION + 2;
		ASSERT_EQ(0, vmtp_forward(self->fd, &mcb, next, self->segment, 4096));
		drain(self->tun);
		notify_client_packet(&packet, THERE, C_RESPONSE | 1 << C_FORWARD, 5 + i, 0, codes[i]);
		packet.code = VMTP_PROC_NOTIFY_REMOTE_CLIENT;
		packet.source = OTHER;
		ASSERT_TRUE(send_packet(self->tun, &packet));
		ASSERT_TRUE(next_of(self->tun, is_probe, &probe, 0));
		EXPECT_EQ(MANAGERS, probe.destination);
		EXPECT_EQ(next, (__u64)probe.user[2] << 32 | probe.user[3]);
		response_packet(&packet, &probe, PEER_MANAGER);
		packet.source = PEER;
		ASSERT_TRUE(send_packet(self->tun, &packet));
		/* No timer has to end for that. */
		for (blocks = 0; blocks != 0xFF; blocks |= packet.delivery) {
			ASSERT_TRUE(next_of(self->tun, is_request, &packet, 0));
			EXPECT_EQ(PEER, packet.destination);
			EXPECT_EQ(next, packet.server);
		}
	}
}

/* ---- Back to the host of its Client -------------------------------------------------------- */

/* The Request of this packet, as another server passes it on to one of this host. */
static bool passed_back(int tun, const struct packet *request, __u64 server, __u32 forward_count)
{
	struct packet packet;

	request_packet(&packet, request->client, server, request->transaction);
	packet.control = forward_count << C_FORWARD;
	return send_packet(tun, &packet);
}

/* Shows: 5.7-a 5.7-b 5.7-c */
TEST_F(peer, a_request_may_come_back_to_the_host_of_its_client)
{
	int server = open_entity(HERE + (1ULL << 32)), other = open_entity(HERE + (2ULL << 32));
	struct packet request, wrong;
	struct vmtp_mcb mcb;

	ASSERT_GE(server, 0);
	ASSERT_GE(other, 0);
	/* Its Client waits for nothing. */
	request_packet(&request, HERE, HERE + (1ULL << 32), 5);
	ASSERT_TRUE(passed_back(self->tun, &request, HERE + (1ULL << 32), 1));
	EXPECT_TRUE(nothing_arrives(server));
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	wrong = request;
	wrong.transaction++;
	ASSERT_TRUE(passed_back(self->tun, &wrong, HERE + (1ULL << 32), 1));
	EXPECT_TRUE(nothing_arrives(server));
	ASSERT_TRUE(passed_back(self->tun, &request, HERE + (1ULL << 32), 2));
	ASSERT_EQ(0, vmtp_recvreq(server, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(HERE, mcb.client);
	EXPECT_EQ(2, mcb.forward_count);
	/* One that was passed on less often is of before. */
	ASSERT_TRUE(passed_back(self->tun, &request, HERE + (2ULL << 32), 1));
	EXPECT_TRUE(nothing_arrives(other));
	ASSERT_EQ(0, reply(server, &mcb, VMTP_OK, NULL, 0));
	EXPECT_EQ(VMTP_OK, outcome(self->fd, LONG_MS));
	/* It has been answered. */
	ASSERT_TRUE(passed_back(self->tun, &request, HERE + (2ULL << 32), 3));
	EXPECT_TRUE(nothing_arrives(other));
	close(server);
	close(other);
}

/* Shows: 5.7-c */
TEST_F(peer, it_may_come_back_in_several_packets)
{
	int server = open_entity(HERE + (1ULL << 32));
	struct packet request, packet;
	struct vmtp_mcb mcb;

	ASSERT_GE(server, 0);
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	for (int i = 0; i < 4; i++) {
		EXPECT_TRUE(nothing_arrives(server));
		request_packet(&packet, HERE, HERE + (1ULL << 32), request.transaction);
		packet.control = 1 << C_FORWARD;
		carry(&packet, self->segment, 2048, 1U << i);
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
	ASSERT_EQ(2048, vmtp_recvreq(server, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(0, memcmp(self->segment, self->got, 2048));
	ASSERT_EQ(0, reply(server, &mcb, VMTP_OK, NULL, 0));
	EXPECT_EQ(VMTP_OK, outcome(self->fd, LONG_MS));
	close(server);
}

TEST_HARNESS_MAIN
