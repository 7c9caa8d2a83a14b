// SPDX-License-Identifier: GPL-2.0
/*
 * The module as a server: every branch of NotifyVmtpServer (5.8), of its timer
 * (5.9) and of Requests that come again (5.3, 5.7), for a Client that is not
 * the module.
 */
#include "raw.h"

#include "kselftest_harness.h"

/* A slow link: packets of a group may come some milliseconds apart. */
RAW_FIXTURE(10)

#define LARGE	4096	/* octets of a Response, after a Request that is large enough for it (D-28) */

/* A Request is answered with eight blocks: those that were sent at once. */
static bool answered(int tun, int fd, const unsigned char *segment, __u32 transaction, __u32 code, __u32 *blocks)
{
	static unsigned char got[2048];
	struct vmtp_mcb mcb;

	drain(tun);
	if (!ask_blocks(tun, transaction, 0, segment, 2048, 0xF) ||
	    vmtp_recvreq(fd, &mcb, got, sizeof(got), LONG_MS) != 2048 || reply(fd, &mcb, code, segment, LARGE))
		return false;
	*blocks = blocks_sent(tun, is_response);
	return true;
}

/*
 * The Client answers a Probe: from then on it may have its Responses sent again
 * as often as it asks. The way to it takes 100 ms.
 */
static bool proven(int tun, int fd)
{
	struct packet probe, response;
	struct vmtp_mcb mcb;

	if (setting("probe_clients", PROBE_ALWAYS) || !ask(tun, 1, 0) || !next_of(tun, is_probe, &probe, LONG_MS))
		return false;
	usleep(100000);
	return answer_probe(tun, &probe, VMTP_OK, 1) && vmtp_recvreq(fd, &mcb, NULL, 0, LONG_MS) == 0 &&
	       !reply(fd, &mcb, VMTP_OK, NULL, 0) && next_of(tun, is_response, &response, LONG_MS) &&
	       !setting("probe_clients", PROBE_NEVER);
}

/* ---- A Response that is not acknowledged ------------------------------------------------- */

/* Shows: 2.5.4-b 5.6.2-d 5.9-a 5.9-b D-9-b 5.3-d */
TEST_F(peer, a_response_is_repeated_without_its_data_and_then_discarded)
{
	struct notify_client told;
	struct packet packet;
	struct vmtp_mcb mcb;
	__u32 blocks = 0;
	int repeats = 0;

	ASSERT_TRUE(ask_blocks(self->tun, 5, 0, self->segment, 2048, 0xF));
	ASSERT_EQ(2048, vmtp_recvreq(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, self->segment, LARGE));
	while (next_of(self->tun, is_response, &packet, SOON)) {
		EXPECT_EQ(VMTP_SDA, packet.code & VMTP_SDA);
		EXPECT_EQ(LARGE, packet.segment_size);
		if (blocks != 0xFF) {
			EXPECT_EQ(0, packet.control & C_APG);
			blocks |= packet.delivery;
			continue;
		}
		EXPECT_EQ(C_APG, packet.control & C_APG);
		EXPECT_EQ(0, packet.delivery);
		EXPECT_EQ(0, packet.octets);
		repeats++;
	}
	EXPECT_EQ(0xFF, blocks);
	EXPECT_EQ(5, repeats);
	/* It is gone, but its Request is known. */
	ASSERT_TRUE(ask_blocks(self->tun, 5, C_APG, self->segment, 2048, 0));
	ASSERT_TRUE(told_client(self->tun, VMTP_RESPONSE_DISCARDED, &told, 0));
	EXPECT_EQ(5, told.transaction);
	EXPECT_TRUE(nothing_arrives(self->fd));
	drain(self->tun);
	ASSERT_TRUE(tell_server(self->tun, 5, 0, VMTP_RETRY));
	EXPECT_TRUE(told_client(self->tun, VMTP_RESPONSE_DISCARDED, &told, 0));
}

/* Shows: 2.5.4-d 5.8-e */
TEST_F(peer, a_response_is_the_modules_own_copy)
{
	static unsigned char buffer[LARGE];
	struct packet packet;
	struct vmtp_mcb mcb;
	__u32 blocks = 0;

	ASSERT_TRUE(proven(self->tun, self->fd));
	ASSERT_TRUE(ask_blocks(self->tun, 5, 0, self->segment, 2048, 0xF));
	ASSERT_EQ(2048, vmtp_recvreq(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	memcpy(buffer, self->segment, sizeof(buffer));
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, buffer, sizeof(buffer)));
	memset(buffer, 0xEE, sizeof(buffer));
	EXPECT_EQ(0xFF, blocks_sent(self->tun, is_response));
	ASSERT_TRUE(tell_server(self->tun, 5, 0x0F, VMTP_RETRY));
	memset(self->got, 0, sizeof(self->got));
	/* Where packets were lost there is a gap between them. */
	while (blocks != 0xF0) {
		size_t at = 0;

		ASSERT_TRUE(next_of(self->tun, is_response, &packet, SOON));
		for (int block = 0; block < 8; block++) {
			if (!(packet.delivery & 1U << block))
				continue;
			memcpy(self->got + block * VMTP_BLOCK_SIZE, packet.data + at, VMTP_BLOCK_SIZE);
			at += VMTP_BLOCK_SIZE;
		}
		ASSERT_EQ(0, packet.delivery & 0x0F);
		blocks |= packet.delivery;
	}
	EXPECT_EQ(0, memcmp(self->segment + 2048, self->got + 2048, 2048));
}

/* Shows: 2.5.3-c */
TEST_F(peer, the_next_request_acknowledges_the_response_before)
{
	struct packet packet;
	__u32 blocks;

	ASSERT_TRUE(answered(self->tun, self->fd, self->segment, 5, VMTP_OK, &blocks));
	ASSERT_TRUE(served(self->tun, self->fd, 6, VMTP_OK, NULL, 0));
	drain(self->tun);
	EXPECT_FALSE(next_of(self->tun, is_response, &packet, 1000));
}

/* Shows: 5.8-f */
TEST_F(peer, a_client_that_asks_for_ever_is_told_that_the_response_is_gone)
{
	struct notify_client told;
	struct packet packet;
	__u32 blocks;
	int asked;

	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_RESPONSE_RETRIES, 2));
	ASSERT_TRUE(proven(self->tun, self->fd));
	ASSERT_TRUE(answered(self->tun, self->fd, self->segment, 5, VMTP_OK, &blocks));
	EXPECT_EQ(0xFF, blocks);
	for (asked = 0; asked < 7; asked++) {
		ASSERT_TRUE(tell_server(self->tun, 5, 0, VMTP_RETRY));
		/* Where packets were lost there is a gap between them. */
		for (blocks = 0; blocks != 0xFF; blocks |= packet.delivery)
			if (!next_of(self->tun, is_response, &packet, 150) || !packet.octets)
				break;
		if (blocks != 0xFF)
			break;
	}
	EXPECT_GE(asked, 2);
	EXPECT_LE(asked, 3);
	drain(self->tun);
	ASSERT_TRUE(ask_blocks(self->tun, 5, C_APG, self->segment, 2048, 0));
	EXPECT_TRUE(told_client(self->tun, VMTP_RESPONSE_DISCARDED, &told, 0));
	EXPECT_TRUE(nothing_arrives(self->fd));
}

/* Shows: 5.8-g */
TEST_F(peer, a_busy_client_gets_everything_later)
{
	struct packet packet;
	__u32 blocks;
	long begin;

	ASSERT_TRUE(proven(self->tun, self->fd));
	ASSERT_TRUE(answered(self->tun, self->fd, self->segment, 5, VMTP_OK, &blocks));
	ASSERT_TRUE(tell_server(self->tun, 5, 0, VMTP_BUSY));
	begin = now_ms();
	EXPECT_EQ(0, blocks_sent(self->tun, is_response));
	for (blocks = 0; blocks != 0xFF; blocks |= packet.delivery) {
		ASSERT_TRUE(next_of(self->tun, is_response, &packet, SOON));
	}
	EXPECT_GE(now_ms() - begin, 50);
}

/* Shows: D-28-a */
TEST_F(peer, who_was_never_probed_has_nothing_sent_again_that_is_three_times_what_came)
{
	static const __u32 codes[] = { VMTP_RETRY, VMTP_BUSY, VMTP_RETRY_ALL };
	unsigned int came = 2 * (68 + 1024), sent;
	struct packet packet;
	__u32 blocks;
	int probes = 0;

	ASSERT_TRUE(answered(self->tun, self->fd, self->segment, 5, VMTP_OK, &blocks));
	ASSERT_EQ(0xFF, blocks);
	/* Eight blocks in packets of two. */
	sent = 4 * (68 + 1024);
	for (int i = 0; i < 30; i++) {
		ASSERT_TRUE(tell_server(self->tun, 5, 0, codes[i % 3]));
		came += 68;
		while (receive_packet(self->tun, &packet, 50)) {
			if (is_probe(&packet))
				probes++;
			else if (is_response(&packet))
				sent += 68 + packet.octets;
			ASSERT_GE(3 * came, sent);
		}
	}
	EXPECT_LE(1, probes);
}

/* Shows: 5.8-i */
TEST_F(peer, an_acknowledgment_or_an_error_ends_the_repetitions)
{
	static const __u32 codes[] = { VMTP_OK, VMTP_NONEXISTENT_ENTITY, VMTP_VMTP_ERROR, VMTP_BAD_TRANSACTION_ID };
	struct notify_client told;
	struct packet packet;
	__u32 blocks;

	for (__u32 i = 0; i < 4; i++) {
		ASSERT_TRUE(answered(self->tun, self->fd, self->segment, 5 + i, VMTP_OK, &blocks));
		ASSERT_TRUE(tell_server(self->tun, 5 + i, 0xFF, codes[i]));
		EXPECT_FALSE(next_of(self->tun, is_response, &packet, 900)) { TH_LOG("code %u", codes[i]); }
		/* Its data is not kept. */
		ASSERT_TRUE(tell_server(self->tun, 5 + i, 0, VMTP_RETRY));
		EXPECT_TRUE(told_client(self->tun, VMTP_RESPONSE_DISCARDED, &told, 0));
	}
}

/* The multicast Probe that the module has sent at once is answered by the manager of the host OTHER. */
static bool found_at_other(int tun, __u64 entity)
{
	struct packet probe, found;

	if (!next_of(tun, is_probe, &probe, 0) || probe.destination != MANAGERS ||
	    ((__u64)probe.user[2] << 32 | probe.user[3]) != entity)
		return false;
	response_packet(&found, &probe, little_endian(0xB0B0B0, OTHER));
	found.source = OTHER;
	return send_packet(tun, &found);
}

/* Shows: 5.8-h */
TEST_F(peer, a_client_that_moved_is_looked_for_and_gets_everything_where_it_is)
{
	struct packet packet;
	__u32 blocks;

	ASSERT_TRUE(answered(self->tun, self->fd, self->segment, 5, VMTP_OK, &blocks));
	EXPECT_EQ(0xFF, blocks);
	ASSERT_TRUE(tell_server(self->tun, 5, 0x0F, VMTP_ENTITY_MIGRATED));
	ASSERT_TRUE(found_at_other(self->tun, THERE));
	/* No timer has to end for that. */
	for (blocks = 0; blocks != 0xFF; blocks |= packet.delivery) {
		ASSERT_TRUE(next_of(self->tun, is_response, &packet, 0));
		EXPECT_EQ(OTHER, packet.destination);
	}
	/* What is repeated goes there as well. */
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, SOON));
	EXPECT_EQ(OTHER, packet.destination);
	EXPECT_EQ(C_APG, packet.control & C_APG);
}

TEST_F(peer, a_client_that_moved_nowhere_gets_nothing)
{
	struct notify_client told;
	struct packet packet;
	__u32 blocks;
	int probes = 0;

	ASSERT_TRUE(answered(self->tun, self->fd, self->segment, 5, VMTP_OK, &blocks));
	ASSERT_TRUE(tell_server(self->tun, 5, 0, VMTP_ENTITY_MIGRATED));
	while (receive_packet(self->tun, &packet, SOON)) {
		EXPECT_FALSE(is_response(&packet));
		probes += is_probe(&packet);
	}
	EXPECT_GE(probes, 1);
	ASSERT_TRUE(tell_server(self->tun, 5, 0, VMTP_RETRY));
	EXPECT_TRUE(told_client(self->tun, VMTP_RESPONSE_DISCARDED, &told, 0));
}

/* Shows: 5.8-d 5.6.2-e */
TEST_F(peer, an_idempotent_response_is_sent_once)
{
	struct packet packet;
	__u32 blocks;

	ASSERT_TRUE(answered(self->tun, self->fd, self->segment, 9, VMTP_DGM, &blocks));
	EXPECT_EQ(0xFF, blocks);
	ASSERT_TRUE(tell_server(self->tun, 9, 0, VMTP_RETRY));
	EXPECT_FALSE(next_of(self->tun, is_response, &packet, 900));
	/* The record lives on to know duplicates of what was before. */
	ASSERT_TRUE(ask(self->tun, 8, 0));
	EXPECT_TRUE(nothing_arrives(self->fd));
	EXPECT_EQ(1, counter("DropOld"));
}

/* Shows: 5.8-a */
TEST_F(peer, a_notify_about_nothing_has_no_effect)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(ask(self->tun, 5, 0));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	drain(self->tun);
	/* It is being processed; another Transaction; another Client. */
	ASSERT_TRUE(tell_server(self->tun, 5, 0, VMTP_RETRY));
	ASSERT_TRUE(tell_server(self->tun, 5, 0, VMTP_NONEXISTENT_ENTITY));
	ASSERT_TRUE(tell_server(self->tun, 77, 0, VMTP_RETRY));
	notify_server_packet(&packet, HERE, THERE + (1ULL << 32), 5, 0, VMTP_RETRY);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(0, drain(self->tun));
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
	EXPECT_TRUE(next_of(self->tun, is_response, &packet, 0));
}

/* ---- A Request that comes again ------------------------------------------------------------- */

/* Shows: 5.7-g */
TEST_F(peer, a_repeated_request_has_its_response_sent_again_with_apg)
{
	struct packet packet;
	__u32 blocks;

	ASSERT_TRUE(answered(self->tun, self->fd, self->segment, 5, VMTP_OK, &blocks));
	ASSERT_TRUE(ask_blocks(self->tun, 5, C_APG | 1U << C_RETRANSMIT, self->segment, 2048, 0));
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, 0));
	EXPECT_EQ(C_APG, packet.control & C_APG);
	EXPECT_EQ(1, packet.control >> C_RETRANSMIT & 7);
	EXPECT_TRUE(nothing_arrives(self->fd));
	/* And by the timer after that. */
	EXPECT_TRUE(next_of(self->tun, is_response, &packet, SOON));
}

/* Shows: 5.6.2-f */
TEST_F(peer, a_response_without_data_is_kept_for_late_repetitions)
{
	struct packet first, again;

	ASSERT_TRUE(served(self->tun, self->fd, 5, APPLICATION + 7, NULL, 0));
	ASSERT_TRUE(next_of(self->tun, is_response, &first, 0));
	/* Nobody repeats it by itself. */
	EXPECT_FALSE(next_of(self->tun, is_response, &again, SOON));
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(ask(self->tun, 5, C_APG));
		ASSERT_TRUE(next_of(self->tun, is_response, &again, 0));
		EXPECT_EQ(APPLICATION + 7, again.code);
		EXPECT_EQ(0, memcmp(first.user, again.user, sizeof(first.user)));
		/* An acknowledgment does not take it away. */
		ASSERT_TRUE(tell_server(self->tun, 5, 0, VMTP_OK));
	}
	EXPECT_TRUE(nothing_arrives(self->fd));
}

/* Shows: 5.6.2-c */
TEST_F(peer, a_reply_of_response_discarded_is_none)
{
	struct notify_client told;
	struct packet packet;

	ASSERT_TRUE(served(self->tun, self->fd, 5, VMTP_RESPONSE_DISCARDED, NULL, 0));
	EXPECT_FALSE(next_of(self->tun, is_response, &packet, 100));
	ASSERT_TRUE(ask(self->tun, 5, C_APG));
	EXPECT_TRUE(nothing_arrives(self->fd));
	EXPECT_TRUE(told_client(self->tun, VMTP_RESPONSE_DISCARDED, &told, 0));
}

/* Shows: 5.3-d */
TEST_F(peer, nobody_is_told_what_became_of_a_multicast_request)
{
	struct vmtp_membership group = { .group = GROUP };
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_JOIN, &group, sizeof(group)));
	for (int times = 0; times < 2; times++) {
		request_packet(&packet, THERE, GROUP, 5);
		packet.destination = 0xE0000105;
		packet.frame |= W_MPG;
		packet.control = times ? C_APG : 0;
		ASSERT_TRUE(send_packet(self->tun, &packet));
		if (!times) {
			ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
			ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_RESPONSE_DISCARDED, NULL, 0));
		}
		EXPECT_EQ(0, drain(self->tun));
	}
	EXPECT_TRUE(nothing_arrives(self->fd));
}

/* Shows: 5.7-f */
TEST_F(peer, packets_of_a_request_add_up)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	for (int block = 0; block < 8; block++) {
		EXPECT_TRUE(nothing_arrives(self->fd));
		for (int times = 0; times < (block < 7 ? 2 : 1); times++) {
			ASSERT_TRUE(ask_blocks(self->tun, 5, 0, self->segment, 4000, 1U << (block * 3 % 8)));
		}
	}
	ASSERT_EQ(4000, vmtp_recvreq(self->fd, &mcb, self->got, sizeof(self->got), 0));
	EXPECT_EQ(0, memcmp(self->segment, self->got, 4000));
	EXPECT_EQ(7, counter("DropDuplicate"));
	while (receive_packet(self->tun, &packet, 0)) {
		EXPECT_FALSE(is_response(&packet));
	}
}

/* The host that it sent to: others it would not believe. */
TEST_F(peer, a_client_is_asked_from_the_address_that_it_sent_to)
{
	const __u32 second = 0x0A52000A;
	struct packet packet;

	ASSERT_EQ(0, system("ip addr add 10.82.0.10/32 dev lo"));
	request_packet(&packet, THERE, HERE, 5);
	carry(&packet, self->segment, 2048, 0x3);
	packet.destination = second;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_TRUE(next_of(self->tun, is_notify_client, &packet, SOON));
	EXPECT_EQ(VMTP_RETRY, notify_client_of(&packet).code);
	EXPECT_EQ(second, packet.source);
}

/* Shows: VII.4-b */
TEST_F(peer, a_response_goes_where_its_request_came_from)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	for (int i = 0; i < 2; i++) {
		request_packet(&packet, THERE, HERE, 5 + i);
		packet.source = i ? PEER : OTHER;
		ASSERT_TRUE(send_packet(self->tun, &packet));
		ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
		ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
		ASSERT_TRUE(next_of(self->tun, is_response, &packet, 0));
		EXPECT_EQ(i ? PEER : OTHER, packet.destination);
	}
}

/*
 * Whoever knows the Transaction, which a Probe tells, is not the Client for that: not while the Request is executed, not
 * when it is answered, and not after a Request of his own in the Client's name.
 */
TEST_F(peer, a_response_goes_to_nobody_who_repeats_its_request_from_elsewhere)
{
	struct packet packet, theft;
	struct vmtp_mcb mcb;
	int other = open_entity(0);

	ASSERT_GE(other, 0);
	request_packet(&theft, THERE, entity_of(other), 4);
	theft.source = OTHER;
	ASSERT_TRUE(send_packet(self->tun, &theft));
	ASSERT_TRUE(ask(self->tun, 5, 0));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	request_packet(&theft, THERE, HERE, 5);
	theft.source = OTHER;
	for (int i = 0; i < 4; i++) {
		/* Nor as one that another server passed on. */
		theft.control = C_APG | (i & 1) << C_FORWARD;
		ASSERT_TRUE(send_packet(self->tun, &theft));
		EXPECT_EQ(0, drain(self->tun));
		EXPECT_TRUE(nothing_arrives(self->fd));
		if (i == 1) {
			ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
			ASSERT_TRUE(next_of(self->tun, is_response, &packet, 0));
			EXPECT_EQ(PEER, packet.destination);
		}
	}
	EXPECT_EQ(4, counter("DropUnwanted"));
	/* The Client itself has it again. */
	ASSERT_TRUE(ask(self->tun, 5, 0));
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, 0));
	EXPECT_EQ(PEER, packet.destination);
	close(other);
}

/* Nor does a later Transaction in the Client's name end what the Client has here with another server. */
TEST_F(peer, a_request_from_elsewhere_ends_nothing_with_other_servers)
{
	struct packet packet, forged;
	struct vmtp_mcb mcb;
	int other = open_entity(0);

	ASSERT_GE(other, 0);
	request_packet(&forged, THERE, entity_of(other), 5 + (1U << 30));
	forged.source = OTHER;
	for (__u32 count = 0; count < 2; count++) {
		ASSERT_TRUE(ask(self->tun, 5 + 2 * count, 0));
		ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
		/* Or as one that another server passed on. */
		forged.control = count << C_FORWARD;
		forged.transaction++;
		ASSERT_TRUE(send_packet(self->tun, &forged));
		ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
		ASSERT_TRUE(next_of(self->tun, is_response, &packet, 0));
		/* And its next is served. */
		ASSERT_TRUE(ask(self->tun, 6 + 2 * count, 0));
		ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(6 + 2 * count, mcb.transaction);
	}
	close(other);
}

/* From the host at an address instead of the Client's. */
static bool send_from(int tun, struct packet *packet, __u32 address)
{
	packet->source = address;
	return send_packet(tun, packet);
}

static bool tell_server_from(int tun, __u32 address, __u32 delivery, __u32 code)
{
	struct packet packet;

	notify_server_packet(&packet, HERE, THERE, 5, delivery, code);
	return send_from(tun, &packet, address);
}

/* A Request in the Client's name makes nobody the one that speaks for it. */
TEST_F(peer, a_response_is_not_given_up_on_the_word_of_another_host)
{
	static const __u32 codes[] = { VMTP_OK, VMTP_NONEXISTENT_ENTITY };
	struct packet packet, forged;
	__u32 blocks;
	int other = open_entity(0);

	ASSERT_GE(other, 0);
	ASSERT_TRUE(answered(self->tun, self->fd, self->segment, 5, VMTP_OK, &blocks));
	request_packet(&forged, THERE, entity_of(other), 900);
	ASSERT_TRUE(send_from(self->tun, &forged, OTHER));
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(tell_server_from(self->tun, OTHER, 0xFF, codes[i]));
	}
	ASSERT_TRUE(tell_server(self->tun, 5, 0x3F, VMTP_RETRY));
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, SOON));
	EXPECT_EQ(0xC0, packet.delivery);
	EXPECT_EQ(PEER, packet.destination);
	close(other);
}

TEST_F(peer, the_response_to_a_forwarded_request_goes_to_nobody_who_took_the_clients_name)
{
	struct packet packet, forged, request;
	int other = open_entity(0);
	struct vmtp_mcb mcb;
	__u32 blocks = 0;

	ASSERT_GE(other, 0);
	request_packet(&forged, THERE, entity_of(other), 4);
	ASSERT_TRUE(send_from(self->tun, &forged, SOURCE(1)));
	request_packet(&request, THERE, HERE, 5);
	request.control = 1 << C_FORWARD;
	carry(&request, self->segment, 2048, 0xF);
	ASSERT_TRUE(send_from(self->tun, &request, OTHER));
	ASSERT_EQ(2048, vmtp_recvreq(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	drain(self->tun);
	ASSERT_EQ(0, reply(self->fd, &mcb, VMTP_OK, self->segment, LARGE));
	for (; blocks != 0xFF; blocks |= packet.delivery) {
		ASSERT_TRUE(next_of(self->tun, is_response, &packet, SOON));
		EXPECT_EQ(PEER, packet.destination);
	}
	/* And only the Client says that it has it. */
	ASSERT_TRUE(tell_server_from(self->tun, SOURCE(1), 0xFF, VMTP_OK));
	ASSERT_TRUE(tell_server_from(self->tun, OTHER, 0xFF, VMTP_OK));
	ASSERT_TRUE(tell_server(self->tun, 5, 0x3F, VMTP_RETRY));
	ASSERT_TRUE(next_of(self->tun, is_response, &packet, SOON));
	EXPECT_EQ(0xC0, packet.delivery);
	close(other);
}

/* ---- Who the Client is ----------------------------------------------------------------------- */

struct inquiry {
	int fd, result;
	struct vmtp_probe probe;
};

static void *inquire(void *argument)
{
	struct inquiry *inquiry = argument;

	inquiry->result = vmtp_probeentity(inquiry->fd, THERE, &inquiry->probe, LONG_MS);
	return NULL;
}

/* Shows: 5.4-d 5.6.4-a */
TEST_F(peer, a_client_is_probed_for_its_principal_only_when_the_server_asks)
{
	struct inquiry inquiry = { .fd = self->fd };
	struct packet packet, known;
	pthread_t thread;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(ask(self->tun, 5, 0));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(0, drain(self->tun));
	ASSERT_EQ(0, pthread_create(&thread, NULL, inquire, &inquiry));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	ASSERT_TRUE(is_probe(&packet));
	EXPECT_EQ(PEER, packet.destination);
	EXPECT_EQ(THERE, (__u64)packet.user[2] << 32 | packet.user[3]);
	response_packet(&known, &packet, PEER_MANAGER);
	known.user[0] = 5;
	known.user[1] = PEER;
	known.user[2] = 4242;
	known.user[3] = PEER;
	known.user[4] = 1001;
	known.msg_delivery = PEER;
	known.segment_size = 1002;
	ASSERT_TRUE(send_packet(self->tun, &known));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, inquiry.result);
	EXPECT_EQ(VMTP_OK, inquiry.probe.code);
	EXPECT_EQ(5, inquiry.probe.transaction);
	EXPECT_EQ((__u64)PEER << 32 | 4242, inquiry.probe.process);
	EXPECT_EQ((__u64)PEER << 32 | 1001, inquiry.probe.principal);
	EXPECT_EQ((__u64)PEER << 32 | 1002, inquiry.probe.effective_principal);
	/* The Request is still the server's to answer. */
	EXPECT_EQ(0, reply(self->fd, &mcb, VMTP_OK, NULL, 0));
	EXPECT_TRUE(next_of(self->tun, is_response, &packet, 0));
}

/* Shows: III-0101-i */
TEST_F(peer, of_an_answer_that_refuses_nothing_but_the_code_is_taken)
{
	struct inquiry inquiry = { .fd = self->fd };
	struct packet probe, refusal, request;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, inquire, &inquiry));
	ASSERT_TRUE(receive_packet(self->tun, &probe, LONG_MS));
	ASSERT_TRUE(is_probe(&probe));
	response_packet(&refusal, &probe, PEER_MANAGER);
	refusal.source = OTHER;
	refusal.code = 99;
	for (int i = 0; i < 5; i++)
		refusal.user[i] = 4242;
	ASSERT_TRUE(send_packet(self->tun, &refusal));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, inquiry.result);
	EXPECT_EQ(99, inquiry.probe.code);
	EXPECT_EQ(0, inquiry.probe.transaction);
	EXPECT_EQ(0, inquiry.probe.process);
	EXPECT_EQ(0, inquiry.probe.principal);
	EXPECT_EQ(0, inquiry.probe.effective_principal);
	/* Nor where it is. */
	EXPECT_EQ(0, lines_of("places"));
	drain(self->tun);
	ASSERT_EQ(0, start_null(self->fd, THERE));
	ASSERT_TRUE(next_of(self->tun, is_request, &request, LONG_MS));
	EXPECT_EQ(PEER, request.destination);
}

TEST_HARNESS_MAIN
