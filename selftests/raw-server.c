// SPDX-License-Identifier: GPL-2.0
/*
 * The module as a server, for a Client that is not the module: what it makes of
 * Requests in all their parts and repetitions, packet by packet.
 */
#include "wire.h"

#include <sys/epoll.h>

#include "kselftest_harness.h"

#define SERVER	little_endian(100000, HOST)
#define CLIENT	little_endian(200000, PEER)

FIXTURE(peer)
{
	int tun, server;
	unsigned char segment[VMTP_GROUP_SIZE], got[VMTP_GROUP_SIZE];
};

FIXTURE_SETUP(peer)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->server = open_entity(SERVER);
	ASSERT_GE(self->server, 0);
	ASSERT_EQ(0, fcntl(self->server, F_SETFL, O_NONBLOCK));
	fill(self->segment, sizeof(self->segment), 1);
}

FIXTURE_TEARDOWN(peer)
{
	close(self->server);
	close(self->tun);
}

/* A Request without data. */
static bool ask(int tun, struct packet *packet, __u64 client, __u32 transaction)
{
	request_packet(packet, client, SERVER, transaction);
	return send_packet(tun, packet);
}

static bool send_blocks(int tun, const unsigned char *segment, size_t size, __u32 blocks, __u32 transaction,
			__u32 control)
{
	struct packet packet;

	request_packet(&packet, CLIENT, SERVER, transaction);
	packet.control = control;
	carry(&packet, segment, size, blocks);
	return send_packet(tun, &packet);
}

static bool nothing_arrives(int fd)
{
	struct vmtp_mcb mcb;

	return vmtp_recvreq(fd, &mcb, NULL, 0, 0) < 0 && errno == EAGAIN;
}

/*
 * The next packet is NotifyVmtpClient with this code; its parameters. Requests
 * for missing blocks, which a timer makes 1 ms after a packet, are left out
 * unless they are what is waited for.
 */
static bool notified(int tun, __u32 code, struct notify_client *notify, int timeout_ms)
{
	struct packet packet;

	do {
		if (!receive_packet(tun, &packet, timeout_ms) || !is_notify_client(&packet))
			return false;
		*notify = notify_client_of(&packet);
	} while (notify->code == VMTP_RETRY && code != VMTP_RETRY);
	return notify->code == code;
}

/* The server answers what it received last. */
static int reply(int fd, struct vmtp_mcb *mcb, __u32 code, const void *segment, size_t size)
{
	vmtp_response(mcb, code);
	return vmtp_sendreply(fd, mcb, segment, size);
}

/* ---- Parts of a Request ------------------------------------------------------------- */

/* Shows: 2.13-c 2.13-l 5.3-c */
TEST_F(peer, blocks_may_come_in_any_order_and_twice)
{
	struct vmtp_mcb mcb;

	for (int i = 0; i < 32; i++) {
		int block = i * 13 % 32;

		EXPECT_TRUE(nothing_arrives(self->server));
		ASSERT_TRUE(send_blocks(self->tun, self->segment, VMTP_GROUP_SIZE, 1U << block, 9, 0));
		if (i % 5 == 0) {
			ASSERT_TRUE(send_blocks(self->tun, self->segment, VMTP_GROUP_SIZE, 1U << block, 9, 0));
		}
	}
	ASSERT_EQ(VMTP_GROUP_SIZE, vmtp_recvreq(self->server, &mcb, self->got, sizeof(self->got), 0));
	EXPECT_EQ(0, memcmp(self->segment, self->got, sizeof(self->got)));
	EXPECT_TRUE(nothing_arrives(self->server));
	EXPECT_GE(counter("DropDuplicate"), 6);
	EXPECT_EQ(1, counter("RequestsDelivered"));
}

/* Shows: 2.13-c */
TEST_F(peer, the_blocks_of_packets_may_be_interleaved)
{
	static const __u32 masks[][4] = {
		{ 0x55, 0xAA }, { 0xAA, 0x55 }, { 0x81, 0x42, 0x24, 0x18 }, { 0x11, 0x88, 0x44, 0x22 }, { 0xF1, 0x1F },
	};
	struct vmtp_mcb mcb;

	for (int i = 0; i < 5; i++) {
		for (int j = 0; j < 4 && masks[i][j]; j++) {
			EXPECT_TRUE(nothing_arrives(self->server));
			ASSERT_TRUE(send_blocks(self->tun, self->segment, 4000, masks[i][j], 9 + i, 0));
		}
		memset(self->got, 0, sizeof(self->got));
		ASSERT_EQ(4000, vmtp_recvreq(self->server, &mcb, self->got, sizeof(self->got), 0));
		EXPECT_EQ(0, memcmp(self->segment, self->got, 4000)) { TH_LOG("case %d", i); }
		EXPECT_EQ(0, self->got[4000]);
	}
}

/* Shows: VI-b */
TEST_F(peer, a_packet_in_ip_fragments_is_one_packet)
{
	unsigned char ip[20 + 1480];
	struct packet packet;
	struct octets octets;
	struct vmtp_mcb mcb;

	request_packet(&packet, CLIENT, SERVER, 9);
	carry(&packet, self->segment, 4000, 0xFF);
	encode(&packet, &octets);
	for (size_t at = 0; at < octets.length; at += 480) {
		size_t size = octets.length - at < 480 ? octets.length - at : 480;
		__u16 fragment = at / 8 | (at + size < octets.length ? 0x2000 : 0), sum;

		memset(ip, 0, 20);
		ip[0] = 0x45;
		ip[2] = (20 + size) >> 8;
		ip[3] = 20 + size;
		ip[5] = 7;
		ip[6] = fragment >> 8;
		ip[7] = fragment;
		ip[8] = 64;
		ip[9] = IPPROTO_VMTP;
		put32(ip + 12, PEER);
		put32(ip + 16, HOST);
		sum = ip_sum(ip, 20);
		ip[10] = sum >> 8;
		ip[11] = sum;
		memcpy(ip + 20, octets.at + at, size);
		ASSERT_EQ(20 + size, write(self->tun, ip, 20 + size));
	}
	ASSERT_EQ(4000, vmtp_recvreq(self->server, &mcb, self->got, sizeof(self->got), 0));
	EXPECT_EQ(0, memcmp(self->segment, self->got, 4000));
	EXPECT_EQ(0, counter("DropChecksum"));
}

/* Shows: 2.13-d */
TEST_F(peer, with_mdm_a_group_is_complete_with_the_blocks_of_msgdelivery)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	for (int block = 0; block <= 2; block += 2) {
		EXPECT_TRUE(nothing_arrives(self->server));
		request_packet(&packet, CLIENT, SERVER, 9);
		packet.code |= VMTP_MDM;
		packet.msg_delivery = 5;
		carry(&packet, self->segment, 2048, 1U << block);
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
	memset(self->got, 0xEE, sizeof(self->got));
	ASSERT_EQ(2048, vmtp_recvreq(self->server, &mcb, self->got, sizeof(self->got), 0));
	EXPECT_EQ(5, mcb.msg_delivery);
	EXPECT_EQ(2048, mcb.segment_size);
	EXPECT_EQ(0, memcmp(self->segment, self->got, 512));
	EXPECT_EQ(0, memcmp(self->segment + 1024, self->got + 1024, 512));
	/* What did not come is zero: nothing that was there before is taken for received. */
	for (int i = 512; i < 1024; i++)
		ASSERT_EQ(0, self->got[i] | self->got[i + 1024]);
	for (int i = 2048; i < (int)sizeof(self->got); i++)
		ASSERT_EQ(0xEE, self->got[i]);
}

TEST_F(peer, what_did_not_come_is_zero_for_recvmsg_and_for_pieces_too)
{
	static const unsigned char zeros[16384];
	struct packet packet;
	struct vmtp_mcb mcb;
	char got[16384];

	for (int way = 0; way < 2; way++) {
		for (int block = 0; block <= 31; block += 31) {
			request_packet(&packet, CLIENT, SERVER, 9 + way);
			packet.code |= VMTP_MDM;
			packet.msg_delivery = 0x80000001;
			carry(&packet, self->segment, 16384, 1U << block);
			ASSERT_TRUE(send_packet(self->tun, &packet));
		}
		memset(got, 0xEE, sizeof(got));
		if (way == 0) {
			ASSERT_EQ(16384, recv(self->server, got, sizeof(got), 0));
		} else {
			/* The piece begins and ends within what is missing. */
			ASSERT_EQ(1000, vmtp_recvreq(self->server, &mcb, got, 1000, 0));
			EXPECT_EQ((char)0xEE, got[1000]);
			EXPECT_EQ(0, memcmp(self->segment, got, 512));
			EXPECT_EQ(0, memcmp(zeros, got + 512, 488));
			continue;
		}
		EXPECT_EQ(0, memcmp(self->segment, got, 512));
		EXPECT_EQ(0, memcmp(zeros, got + 512, 30 * 512));
		EXPECT_EQ(0, memcmp(self->segment + 31 * 512, got + 31 * 512, 512));
	}
}

/* Shows: 3.2-n */
TEST_F(peer, padding_of_any_value_is_not_delivered)
{
	struct vmtp_mcb mcb;

	ASSERT_TRUE(send_blocks(self->tun, self->segment, 13, 1, 9, 0));
	memset(self->got, 0xEE, 16);
	ASSERT_EQ(13, vmtp_recvreq(self->server, &mcb, self->got, sizeof(self->got), 0));
	EXPECT_EQ(0, memcmp(self->segment, self->got, 13));
	EXPECT_EQ(0xEE, self->got[13]);
}

/* Shows: 2.13-h */
TEST_F(peer, apg_is_acknowledged_as_soon_as_the_group_is_complete)
{
	struct notify_client notify;

	ASSERT_TRUE(send_blocks(self->tun, self->segment, 2048, 3, 9, C_APG));
	EXPECT_FALSE(notified(self->tun, VMTP_OK, &notify, 0));
	ASSERT_TRUE(send_blocks(self->tun, self->segment, 2048, 0xC, 9, C_APG));
	ASSERT_TRUE(notified(self->tun, VMTP_OK, &notify, 0));
	EXPECT_EQ(CLIENT, notify.client);
	EXPECT_EQ(9, notify.transaction);
	EXPECT_EQ(0xF, notify.delivery & 0xF);
}

/* Shows: 2.13-j */
TEST_F(peer, packets_that_contradict_each_other_are_a_protocol_error)
{
	struct notify_client notify;
	struct packet packet;

	for (int i = 0; i < 4; i++) {
		ASSERT_TRUE(send_blocks(self->tun, self->segment, 2048, 3, 100 + i, 0));
		request_packet(&packet, CLIENT, SERVER, 100 + i);
		carry(&packet, self->segment, 2048, 0xC);
		if (i == 0)
			packet.segment_size = 2047;
		if (i == 1)
			packet.user[3] = 1;
		if (i == 2)
			packet.code ^= 4;
		if (i == 3)
			packet.msg_delivery = 1;
		ASSERT_TRUE(send_packet(self->tun, &packet));
		EXPECT_TRUE(notified(self->tun, VMTP_VMTP_ERROR, &notify, 0)) { TH_LOG("case %d", i); }
		EXPECT_TRUE(nothing_arrives(self->server));
		EXPECT_EQ(i + 1, counter("DropProtocol"));
	}
	/* It is not remembered: all of it may come again. */
	ASSERT_TRUE(send_blocks(self->tun, self->segment, 2048, 0xF, 103, 0));
	EXPECT_FALSE(nothing_arrives(self->server));
}

/* Shows: D-9-c */
TEST_F(peer, a_header_alone_is_answered_with_the_blocks_that_are_there)
{
	struct notify_client notify;

	ASSERT_TRUE(send_blocks(self->tun, self->segment, 4096, 0x0C, 9, 0));
	ASSERT_TRUE(send_blocks(self->tun, self->segment, 4096, 0, 9, C_APG | 1 << C_RETRANSMIT));
	ASSERT_TRUE(notified(self->tun, VMTP_RETRY, &notify, 0));
	EXPECT_EQ(9, notify.transaction);
	EXPECT_EQ(0x0C, notify.delivery);
	EXPECT_EQ(CLIENT, notify.client);
	ASSERT_TRUE(send_blocks(self->tun, self->segment, 4096, 0xF3, 9, 0));
	EXPECT_FALSE(nothing_arrives(self->server));
	drain(self->tun);
	ASSERT_TRUE(send_blocks(self->tun, self->segment, 4096, 0, 9, C_APG | 1 << C_RETRANSMIT));
	EXPECT_TRUE(notified(self->tun, VMTP_OK, &notify, 0));
	/* The header may also be the first that comes. */
	ASSERT_TRUE(send_blocks(self->tun, self->segment, 4096, 0, 10, C_APG));
	ASSERT_TRUE(notified(self->tun, VMTP_RETRY, &notify, 0));
	EXPECT_EQ(0, notify.delivery);
	EXPECT_EQ(10, notify.transaction);
}

/* Shows: 5.9-c III-010F-b */
TEST_F(peer, missing_blocks_are_asked_for_when_the_rest_does_not_come)
{
	struct notify_client notify;

	ASSERT_TRUE(send_blocks(self->tun, self->segment, 2048, 5, 9,
				3U << C_RETRANSMIT | 8U << C_PRIORITY | C_RESERVED));
	ASSERT_TRUE(notified(self->tun, VMTP_RETRY, &notify, LONG_MS));
	EXPECT_EQ(5, notify.delivery);
	EXPECT_EQ(9, notify.transaction);
	EXPECT_EQ(0, notify.receive_sequence);
	EXPECT_EQ(3U << C_RETRANSMIT | 8U << C_PRIORITY, notify.control & ~C_RESPONSE);
	EXPECT_EQ(0, counter("RequestsDelivered"));
}

/* Shows: 2.13-f 5.9-e */
TEST_F(peer, what_stays_incomplete_is_discarded_told_and_forgotten)
{
	struct notify_client notify;
	int asked = 0;

	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_RESPONSE_RETRIES, 2));
	ASSERT_TRUE(send_blocks(self->tun, self->segment, 2048, 1, 9, 0));
	while (notified(self->tun, VMTP_RETRY, &notify, LONG_MS))
		asked++;
	EXPECT_EQ(2, asked);
	EXPECT_EQ(VMTP_TOO_MANY_RETRIES, notify.code);
	EXPECT_TRUE(nothing_arrives(self->server));
	ASSERT_TRUE(send_blocks(self->tun, self->segment, 2048, 0xF, 9, 0));
	EXPECT_FALSE(nothing_arrives(self->server));
}

/* Shows: 2.13-e 2.8-b */
TEST_F(peer, what_nobody_sends_again_is_not_asked_for)
{
	struct packet packet;

	request_packet(&packet, CLIENT, SERVER, 9);
	packet.control = C_NRT;
	carry(&packet, self->segment, 2048, 7);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	request_packet(&packet, CLIENT + (1ULL << 32), SERVER, 9);
	packet.code |= VMTP_DGM;
	carry(&packet, self->segment, 2048, 7);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	for (long end = now_ms() + LONG_MS; counter("Timeouts") < 2 && now_ms() < end; sched_yield())
		;
	EXPECT_GE(counter("Timeouts"), 2);
	EXPECT_EQ(0, drain(self->tun));
	EXPECT_TRUE(nothing_arrives(self->server));
}

/* Shows: 5.9-d */
TEST_F(peer, with_mdm_what_came_is_delivered_in_the_end)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_RESPONSE_RETRIES, 1));
	request_packet(&packet, CLIENT, SERVER, 9);
	packet.code |= VMTP_MDM;
	packet.msg_delivery = 0xF;
	carry(&packet, self->segment, 2048, 5);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_TRUE(comes(self->server, POLLIN, LONG_MS));
	ASSERT_LE(0, vmtp_recvreq(self->server, &mcb, self->got, sizeof(self->got), 0));
	EXPECT_EQ(5, mcb.msg_delivery);
	EXPECT_EQ(0, memcmp(self->segment, self->got, 512));
}

/* ---- At most once ------------------------------------------------------------------------- */

/* Shows: 2.5.1-b 5.7-i 5.7-h */
TEST_F(peer, a_repeated_request_is_not_executed_again)
{
	struct notify_client notify;
	struct packet packet, answer;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 9));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_EQ(0, drain(self->tun));
	packet.control = C_APG | 1 << C_RETRANSMIT;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_TRUE(notified(self->tun, VMTP_OK, &notify, 0));
	EXPECT_EQ(9, notify.transaction);

	ASSERT_EQ(0, reply(self->server, &mcb, APPLICATION, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &answer, 0));
	EXPECT_EQ(APPLICATION, answer.code);
	for (int i = 2; i < 5; i++) {
		packet.control = C_APG | i << C_RETRANSMIT;
		ASSERT_TRUE(send_packet(self->tun, &packet));
		ASSERT_TRUE(receive_packet(self->tun, &answer, 0));
		EXPECT_EQ(C_RESPONSE, answer.control & C_RESPONSE);
		EXPECT_EQ(APPLICATION, answer.code);
		EXPECT_EQ(0, answer.control & C_APG);
		EXPECT_EQ(i << C_RETRANSMIT, answer.control & 7 << C_RETRANSMIT);
		EXPECT_EQ(0, drain(self->tun));
	}
	EXPECT_TRUE(nothing_arrives(self->server));
	EXPECT_EQ(1, counter("RequestsDelivered"));
	EXPECT_EQ(4, counter("DropDuplicate"));
}

/* Shows: 5.7-j 5.8.1-e */
TEST_F(peer, an_older_transaction_is_dropped_in_silence_modulo_2_32)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 0xFFFFFFFE));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 0xFFFFFFFD));
	EXPECT_TRUE(nothing_arrives(self->server));
	EXPECT_EQ(1, counter("DropOld"));
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 0xFFFFFFFF));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 0));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_EQ(0, mcb.transaction);
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 0xFFFFFFFF));
	EXPECT_TRUE(nothing_arrives(self->server));
	EXPECT_EQ(2, counter("DropOld"));
	EXPECT_EQ(0, drain(self->tun));
}

/* Shows: D-21-a */
TEST_F(peer, a_new_request_ends_the_one_before)
{
	struct vmtp_mcb first, second;
	struct packet packet;

	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 9));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &first, NULL, 0, 0));
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 10));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &second, NULL, 0, 0));
	EXPECT_EQ(-1, reply(self->server, &first, VMTP_OK, NULL, 0));
	EXPECT_EQ(ENOTCONN, errno);
	EXPECT_EQ(0, drain(self->tun));
	EXPECT_EQ(0, reply(self->server, &second, VMTP_OK, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &packet, 0));
	EXPECT_EQ(10, packet.transaction);
}

TEST_F(peer, replyrecv_goes_on_where_nobody_waits_for_the_response)
{
	struct packet packet;
	struct vmtp_mcb mcb;
	int sent = 1;

	/* A datagram, a Client that has started its next transaction meanwhile, and a Response that went before. */
	request_packet(&packet, CLIENT, SERVER, 9);
	packet.code |= VMTP_DGM;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	for (int transaction = 10; transaction <= 12; transaction++) {
		ASSERT_TRUE(ask(self->tun, &packet, CLIENT, transaction));
		if (transaction == 11) {
			struct vmtp_mcb last;

			ASSERT_EQ(0, vmtp_recvreq(self->server, &last, NULL, 0, 0));
			ASSERT_EQ(11, last.transaction);
			ASSERT_EQ(0, reply(self->server, &last, VMTP_OK, NULL, 0));
			mcb = last;
			ASSERT_TRUE(receive_packet(self->tun, &packet, 0));
			continue;
		}
		vmtp_response(&mcb, VMTP_OK);
		ASSERT_EQ(0, vmtp_replyrecv_sent(self->server, &mcb, NULL, 0, NULL, 0, 0, &sent));
		EXPECT_FALSE(sent);
		EXPECT_EQ(transaction, mcb.transaction);
	}
	EXPECT_EQ(0, drain(self->tun));
	/* Other reasons are told, and nothing is taken. */
	EXPECT_ERRNO(EMSGSIZE, vmtp_replyrecv_sent(self->server, &mcb, self->segment,
						   VMTP_MESSAGE_SIZE + 1, NULL, 0, 0, &sent));
	EXPECT_FALSE(sent);
	EXPECT_ERRNO(EAGAIN, ({
		vmtp_response(&mcb, VMTP_OK);
		vmtp_replyrecv_sent(self->server, &mcb, NULL, 0, NULL, 0, 10, &sent);
	}));
	EXPECT_TRUE(sent);
	ASSERT_TRUE(receive_packet(self->tun, &packet, 0));
	EXPECT_EQ(12, packet.transaction);
}

/* Shows: 2.5.4-e */
TEST_F(peer, an_idempotent_reply_is_made_anew_by_the_server)
{
	struct packet packet, answer;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_IDEMPOTENT, 1));
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 9));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
		ASSERT_EQ(0, reply(self->server, &mcb, APPLICATION + i, NULL, 0));
		ASSERT_TRUE(receive_packet(self->tun, &answer, 0));
		EXPECT_EQ(VMTP_DGM | (APPLICATION + i), answer.code);
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
}

/* Shows: 2.8-c 5.7-s */
TEST_F(peer, a_datagram_is_delivered_once_and_not_answered)
{
	struct packet packet, before;
	struct vmtp_mcb mcb, first;

	ASSERT_TRUE(ask(self->tun, &before, CLIENT, 9));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &first, NULL, 0, 0));
	request_packet(&packet, CLIENT, SERVER, 10);
	packet.code |= VMTP_DGM;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_TRUE(mcb.code & VMTP_DGM);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_TRUE(nothing_arrives(self->server));
	EXPECT_EQ(-1, reply(self->server, &mcb, VMTP_OK, NULL, 0));
	EXPECT_EQ(ENOTCONN, errno);
	/* It superseded what was before. */
	EXPECT_EQ(-1, reply(self->server, &first, VMTP_OK, NULL, 0));
	EXPECT_EQ(0, drain(self->tun));
}

/* Shows: 5.7-d 5.7-e 3.4-d */
TEST_F(peer, a_request_forwarded_further_is_new_and_less_far_is_old)
{
	struct packet packet, answer;
	struct vmtp_mcb mcb;

	for (int i = 0; i < 2; i++) {
		request_packet(&packet, CLIENT, SERVER, 9);
		packet.control = (__u32)(2 + i) << C_FORWARD;
		ASSERT_TRUE(send_packet(self->tun, &packet));
		ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
		EXPECT_EQ(2 + i, mcb.forward_count);
		packet.control = 1 << C_FORWARD;
		ASSERT_TRUE(send_packet(self->tun, &packet));
		EXPECT_TRUE(nothing_arrives(self->server));
	}
	ASSERT_EQ(0, reply(self->server, &mcb, VMTP_OK, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &answer, LONG_MS));
	EXPECT_EQ(3U << C_FORWARD, answer.control & 15U << C_FORWARD);
	EXPECT_EQ(PEER, answer.destination);
}

/* ---- Who is told what ----------------------------------------------------------------------- */

/* Shows: 5.8.1-b 4.5-a */
TEST_F(peer, who_asks_nobody_is_told)
{
	struct notify_client notify;
	struct packet packet;
	struct vmtp_mcb mcb;

	for (int known = 0; known < 2; known++) {
		request_packet(&packet, CLIENT, SERVER + (1ULL << 32), 20 + known);
		carry(&packet, self->segment, 1024, 3);
		ASSERT_TRUE(send_packet(self->tun, &packet));
		ASSERT_TRUE(notified(self->tun, VMTP_NONEXISTENT_ENTITY, &notify, 0));
		EXPECT_EQ(CLIENT, notify.client);
		EXPECT_EQ(20 + known, notify.transaction);
		EXPECT_EQ(3, notify.delivery);
		ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 30 + known));
		ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	}
	EXPECT_EQ(2, counter("DropNoEntity"));
}

static bool ask_conditionally(int tun, __u32 transaction)
{
	struct packet packet;

	request_packet(&packet, CLIENT, SERVER, transaction);
	packet.code |= VMTP_CMD;
	return send_packet(tun, &packet);
}

/* The server waits in such a call, although its other calls do not. */
static bool waits_in(struct waiter *waiter, long (*call)(void *argument), int *server)
{
	return fcntl(*server, F_SETFL, 0) == 0 && waiter_start(waiter, call, server) &&
	       fcntl(*server, F_SETFL, O_NONBLOCK) == 0;
}

/* Shows: 5.7-q */
TEST_F(peer, a_conditional_request_is_for_who_waits)
{
	struct epoll_event watched = { .events = EPOLLIN };
	struct notify_client notify;
	struct packet packet;
	struct waiter waiter;
	struct vmtp_mcb mcb;
	int set = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_TRUE(ask_conditionally(self->tun, 9));
	EXPECT_TRUE(notified(self->tun, VMTP_NOT_AWAITING_MSG, &notify, 0));
	EXPECT_TRUE(nothing_arrives(self->server));

	/* In recvreq, where nothing is left of it. */
	ASSERT_TRUE(waits_in(&waiter, takes_a_request, &self->server));
	ASSERT_TRUE(ask_conditionally(self->tun, 10));
	EXPECT_EQ(0, waiter_end(&waiter));
	EXPECT_TRUE(nothing_arrives(self->server));
	/* In poll, and whoever watches with epoll; not any longer when they do not. */
	ASSERT_TRUE(waiter_start_in(&waiter, polls, &self->server, SYS_poll));
	ASSERT_TRUE(ask_conditionally(self->tun, 11));
	EXPECT_EQ(0, waiter_end(&waiter));
	EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	ASSERT_EQ(0, epoll_ctl(set, EPOLL_CTL_ADD, self->server, &watched));
	ASSERT_TRUE(ask_conditionally(self->tun, 12));
	EXPECT_EQ(1, epoll_wait(set, &watched, 1, 0));
	EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_EQ(0, drain(self->tun));
	close(set);
	ASSERT_TRUE(ask_conditionally(self->tun, 13));
	EXPECT_TRUE(notified(self->tun, VMTP_NOT_AWAITING_MSG, &notify, 0));
	/* Who waits for an answer does not wait for a Request. */
	ASSERT_EQ(0, start_null(self->server, little_endian(300000, PEER)));
	ASSERT_TRUE(waits_in(&waiter, takes_a_reply, &self->server));
	ASSERT_TRUE(ask_conditionally(self->tun, 14));
	ASSERT_TRUE(next_of(self->tun, is_notify_client, &packet, LONG_MS));
	EXPECT_EQ(VMTP_NOT_AWAITING_MSG, notify_client_of(&packet).code);
	ASSERT_EQ(0, ioctl(self->server, VMTP_ABORT));
	waiter_end(&waiter);
	EXPECT_TRUE(nothing_arrives(self->server));
}

/* Shows: I-c */
TEST_F(peer, a_full_queue_is_busy)
{
	struct notify_client notify;
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_REQUEST_QUEUE, 2));
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(ask(self->tun, &packet, CLIENT + ((__u64)i << 32), 9));
	}
	EXPECT_EQ(0, drain(self->tun));
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT + (2ULL << 32), 9));
	EXPECT_TRUE(notified(self->tun, VMTP_BUSY, &notify, 0));
	EXPECT_EQ(CLIENT + (2ULL << 32), notify.client);
	EXPECT_EQ(1, counter("DropNoRoom"));
	/* It was not lost: it may come again. */
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_EQ(CLIENT + (2ULL << 32), mcb.client);
}

/*
 * More Clients of one host than errors may be notified to it in a second.
 * Shows: D-29-a
 */
TEST_F(peer, a_server_that_goes_tells_all_clients_of_a_host)
{
	const int clients = 300, room = 4 << 20;
	bool told[300] = { };
	struct notify_client notify;
	struct packet packet;
	struct vmtp_mcb mcb;
	int count = 0;

	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)));
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_REQUEST_QUEUE, 3 * clients));
	for (int i = 0; i < clients; i++) {
		ASSERT_TRUE(ask(self->tun, &packet, CLIENT + ((__u64)i << 32), 9));
	}
	/* Some have been received, some not. */
	for (int i = 0; i < clients / 3; i++) {
		ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	}
	ASSERT_EQ(clients, counter("RequestsDelivered"));
	close(self->server);
	while (notified(self->tun, VMTP_NONEXISTENT_ENTITY, &notify, 0)) {
		unsigned long i = (notify.client - CLIENT) >> 32;

		ASSERT_LT(i, clients);
		EXPECT_FALSE(told[i]);
		EXPECT_EQ(9, notify.transaction);
		told[i] = true;
		count++;
	}
	EXPECT_EQ(clients, count);
}

/* Requests of a run wait one behind the other: as many as there may be are told, and the stack is not theirs. */
TEST_F(peer, a_server_that_goes_tells_a_full_run)
{
	const int queued = 32;
	struct notify_client notify;
	struct packet packet;
	struct vmtp_mcb mcb;

	for (int i = 0; i <= queued; i++) {
		request_packet(&packet, CLIENT, SERVER, 100 + i);
		packet.control = i ? C_NSR | C_NER : C_NER;
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_EQ(100, mcb.transaction);
	EXPECT_EQ(0, drain(self->tun));
	close(self->server);
	for (int i = 0; i <= queued; i++) {
		ASSERT_TRUE(notified(self->tun, VMTP_NONEXISTENT_ENTITY, &notify, 0)) { TH_LOG("after %d", i); }
		EXPECT_EQ(100 + i, notify.transaction);
	}
}

TEST_HARNESS_MAIN
