// SPDX-License-Identifier: GPL-2.0
/*
 * The module as a Client, for a server that is not the module: what it makes of
 * Responses, of Notifies, and of silence.
 */
#include "wire.h"

#include <netinet/ip_icmp.h>

#include "kselftest_harness.h"

#define SERVER	little_endian(300000, PEER)
#define CLIENT	little_endian(200000, HOST)

FIXTURE(peer)
{
	int tun, client;
	unsigned char segment[VMTP_GROUP_SIZE], got[VMTP_GROUP_SIZE];
};

FIXTURE_SETUP(peer)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	self->client = open_entity(CLIENT);
	ASSERT_GE(self->client, 0);
	fill(self->segment, sizeof(self->segment), 1);
}

FIXTURE_TEARDOWN(peer)
{
	close(self->client);
	close(self->tun);
}

/* Starts a transaction without data; its packet. */
static bool asked(int tun, int client, struct packet *request)
{
	/* On a slow machine the last transaction may have been sent more than once. */
	drain(tun);
	return !start_null(client, SERVER) && receive_packet(tun, request, LONG_MS) &&
	       !(request->control & C_RESPONSE) && request->server == SERVER;
}

static bool answer(int tun, const struct packet *request, __u32 code)
{
	struct packet packet;

	response_packet(&packet, request, 0);
	packet.code = code;
	return send_packet(tun, &packet);
}

static bool answer_blocks(int tun, const struct packet *request, __u32 code, __u32 control,
			  const unsigned char *segment, size_t size, __u32 blocks)
{
	struct packet packet;

	response_packet(&packet, request, 0);
	packet.code = code;
	packet.control |= control;
	carry(&packet, segment, size, blocks);
	return send_packet(tun, &packet);
}

static bool notify(int tun, const struct packet *request, __u32 delivery, __u32 code)
{
	struct packet packet;

	notify_client_packet(&packet, request->client, C_RESPONSE | (request->control & 7U << C_RETRANSMIT),
			     request->transaction, delivery, code);
	return send_packet(tun, &packet);
}

/* The next packet is NotifyVmtpServer with this code; its parameters. */
static bool notified(int tun, __u32 code, struct notify_server *parameters, int timeout_ms)
{
	struct packet packet;

	if (!receive_packet(tun, &packet, timeout_ms) || !is_notify_server(&packet))
		return false;
	*parameters = notify_server_of(&packet);
	return parameters->code == code;
}

/* ---- Responses ------------------------------------------------------------------------ */

/* Shows: 4.3-b 2.5.3-a 2.16-a */
TEST_F(peer, a_response_of_one_packet_ends_it_and_nothing_else_is_sent)
{
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	ASSERT_TRUE(answer(self->tun, &request, VMTP_OK));
	EXPECT_EQ(POLLIN | POLLOUT, ready(self->client));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, 0));
	EXPECT_EQ(VMTP_OK, mcb.code);
	EXPECT_FALSE(receive_packet(self->tun, &request, 900));
}

/* Shows: 4.3-c 4.3-d 4.9-d D-16-c III-0110-a */
TEST_F(peer, missing_blocks_of_a_response_are_asked_for)
{
	struct notify_server wants;
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	ASSERT_TRUE(answer_blocks(self->tun, &request, VMTP_OK, 0, self->segment, 4000, 0x05));
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(notified(self->tun, VMTP_RETRY, &wants, LONG_MS));
		EXPECT_EQ(0x05, wants.delivery);
		EXPECT_EQ(SERVER, wants.server);
		EXPECT_EQ(CLIENT, wants.client);
		EXPECT_EQ(request.transaction, wants.transaction);
	}
	EXPECT_EQ(0, ready(self->client));
	ASSERT_TRUE(answer_blocks(self->tun, &request, VMTP_OK, 0, self->segment, 4000, 0xFA));
	ASSERT_EQ(4000, vmtp_getreply(self->client, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(0, memcmp(self->segment, self->got, 4000));
	EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
	EXPECT_EQ(0, counter("Retransmissions"));
}

/* Shows: 2.13-i */
TEST_F(peer, a_response_with_apg_is_acknowledged)
{
	struct notify_server got;
	struct packet request;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	ASSERT_TRUE(answer_blocks(self->tun, &request, VMTP_OK, C_APG, self->segment, 1024, 3));
	ASSERT_TRUE(notified(self->tun, VMTP_OK, &got, 0));
	EXPECT_EQ(request.transaction, got.transaction);
	EXPECT_EQ(3, got.delivery & 3);
}

/* Shows: 4.7.1-g 4.7.1-h */
TEST_F(peer, a_repeated_response_is_ignored_unless_it_wants_an_answer)
{
	struct notify_server got;
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	for (int i = 0; i < 3; i++) {
		EXPECT_TRUE(answer_blocks(self->tun, &request, VMTP_OK, 0, self->segment, 512, 1));
	}
	EXPECT_EQ(0, drain(self->tun));
	EXPECT_EQ(2, counter("DropDuplicate"));
	ASSERT_TRUE(answer_blocks(self->tun, &request, VMTP_OK, C_APG, self->segment, 512, 1));
	EXPECT_TRUE(notified(self->tun, VMTP_RESPONSE_DISCARDED, &got, 0));
	ASSERT_EQ(512, vmtp_getreply(self->client, &mcb, self->got, sizeof(self->got), 0));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, 0));
	EXPECT_EQ(VMTP_FAILURE, mcb.function);
}

/* Shows: D-14-c */
TEST_F(peer, a_response_that_is_not_taken_does_not_tell_where_a_server_is)
{
	struct packet request, other;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	response_packet(&other, &request, little_endian(300001, PEER));
	other.source = OTHER;
	ASSERT_TRUE(send_packet(self->tun, &other));
	EXPECT_EQ(0, ready(self->client));
	ASSERT_TRUE(answer(self->tun, &request, VMTP_OK));
	EXPECT_EQ(POLLIN | POLLOUT, ready(self->client));
	/* The Transaction stays that of the last call. */
	ASSERT_TRUE(send_packet(self->tun, &other));
	other.server = SERVER;
	ASSERT_TRUE(send_packet(self->tun, &other));
	other.transaction--;
	ASSERT_TRUE(send_packet(self->tun, &other));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(0, lines_of("places"));
}

/* Shows: 4.7.1-b 4.8.1-a */
TEST_F(peer, the_response_to_a_client_that_has_moved_is_told_so)
{
	static unsigned char data[65536];
	struct vmtp_image image = { .data = (uintptr_t)data, .length = sizeof(data), .timeout = LONG_MS };
	struct notify_server got;
	struct packet request;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	ASSERT_TRUE(answer(self->tun, &request, VMTP_OK));
	ASSERT_EQ(0, vmtp_getreply(self->client, &(struct vmtp_mcb){ }, NULL, 0, LONG_MS));
	ASSERT_EQ(0, ioctl(self->client, VMTP_EXPORT, &image));
	ASSERT_EQ(0, ioctl(self->client, VMTP_MOVED));
	drain(self->tun);
	ASSERT_TRUE(answer(self->tun, &request, VMTP_OK));
	ASSERT_TRUE(notified(self->tun, VMTP_ENTITY_MIGRATED, &got, 0));
	EXPECT_EQ(SERVER, got.server);
	EXPECT_EQ(CLIENT, got.client);
	EXPECT_EQ(request.transaction, got.transaction);
}

/* Shows: 4.7.1-f */
TEST_F(peer, a_response_to_another_transaction_is_not_taken)
{
	struct notify_server got;
	struct packet request, wrong;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	for (int by = -1; by <= 1; by += 2) {
		wrong = request;
		wrong.transaction += by;
		ASSERT_TRUE(answer(self->tun, &wrong, VMTP_OK));
		EXPECT_EQ(0, ready(self->client));
		ASSERT_TRUE(notified(self->tun, VMTP_BAD_TRANSACTION_ID, &got, 0));
		EXPECT_EQ(wrong.transaction, got.transaction);
	}
	ASSERT_TRUE(answer(self->tun, &request, VMTP_OK));
	EXPECT_EQ(POLLIN | POLLOUT, ready(self->client));
}

/* Shows: 4.8.1-b 4.7.1-a */
TEST_F(peer, a_response_for_nobody_is_told_unless_it_was_multicast)
{
	struct notify_server got;
	struct packet request, response;

	request_packet(&request, CLIENT + (1ULL << 32), SERVER, 5);
	response_packet(&response, &request, 0);
	response.source = PEER;
	response.destination = HOST;
	ASSERT_TRUE(send_packet(self->tun, &response));
	ASSERT_TRUE(notified(self->tun, VMTP_NONEXISTENT_ENTITY, &got, 0));
	EXPECT_EQ(CLIENT + (1ULL << 32), got.client);
	EXPECT_EQ(SERVER, got.server);
	EXPECT_EQ(5, got.transaction);
	EXPECT_EQ(0, got.delivery);
	response.destination = MANAGERS;
	ASSERT_TRUE(send_packet(self->tun, &response));
	EXPECT_EQ(0, drain(self->tun));
}

/* Shows: D-26-a */
TEST_F(peer, response_codes_are_given_as_they_came)
{
	struct packet request;
	struct vmtp_mcb mcb;

	for (__u32 code = 1; code <= 24; code++) {
		ASSERT_TRUE(asked(self->tun, self->client, &request));
		ASSERT_TRUE(answer(self->tun, &request, code));
		ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(VMTP_RESPONSE, mcb.function);
		EXPECT_EQ(code, mcb.code);
	}
}

/* Shows: 2.13-g */
TEST_F(peer, a_response_that_stays_incomplete_is_a_bad_reply_segment)
{
	struct notify_server wants;
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, set_option(self->client, VMTP_OPT_RETRIES, 1));
	ASSERT_TRUE(asked(self->tun, self->client, &request));
	ASSERT_TRUE(answer_blocks(self->tun, &request, VMTP_OK, 0, self->segment, 3072, 0x33));
	ASSERT_TRUE(notified(self->tun, VMTP_RETRY, &wants, LONG_MS));
	ASSERT_EQ(1024, vmtp_getreply(self->client, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(VMTP_BAD_REPLY_SEGMENT, vmtp_code(&mcb));
	EXPECT_EQ(1024, mcb.segment_size);
	EXPECT_EQ(0, memcmp(self->segment, self->got, 1024));
}

/* ---- Notifies --------------------------------------------------------------------------- */

/* Shows: 4.8-f */
TEST_F(peer, retry_makes_it_send_what_is_missing)
{
	__u32 blocks = 0;
	struct packet packet, request;
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, SERVER, APPLICATION);
	ASSERT_EQ(0, start(self->client, &mcb, self->segment, 4096));
	while (blocks != 0xFF) {
		ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
		blocks |= request.delivery;
	}
	ASSERT_TRUE(notify(self->tun, &request, 0x0F, VMTP_RETRY));
	for (blocks = 0; receive_packet(self->tun, &packet, 0); blocks |= packet.delivery) {
		EXPECT_EQ(0, packet.delivery & 0x0F);
	}
	EXPECT_EQ(0xF0, blocks);
	ASSERT_TRUE(answer(self->tun, &request, VMTP_OK));
	EXPECT_EQ(POLLIN | POLLOUT, ready(self->client));
}

/* Shows: 4.8-m */
TEST_F(peer, other_codes_of_a_notify_end_it)
{
	static const __u32 codes[] = {
		VMTP_NO_PERMISSION, VMTP_NOT_AWAITING_MSG, VMTP_VMTP_ERROR, VMTP_SECURITY_NOT_SUPPORTED,
		VMTP_SECURITY_REQUIRED, VMTP_RESPONSE_DISCARDED, VMTP_TOO_MANY_RETRIES,
	};
	struct packet request;
	struct vmtp_mcb mcb;

	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		ASSERT_TRUE(asked(self->tun, self->client, &request));
		ASSERT_TRUE(notify(self->tun, &request, 0, codes[i]));
		ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(VMTP_FAILURE, mcb.function);
		EXPECT_EQ(codes[i], vmtp_code(&mcb));
		EXPECT_EQ(0, drain(self->tun));
	}
}

/* Shows: 4.8-a */
TEST_F(peer, a_notify_about_something_else_has_no_effect)
{
	struct packet request, other;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	other = request;
	other.transaction++;
	ASSERT_TRUE(notify(self->tun, &other, 0, VMTP_NO_PERMISSION));
	other = request;
	other.client += 1ULL << 32;
	ASSERT_TRUE(notify(self->tun, &other, 0, VMTP_NO_PERMISSION));
	EXPECT_EQ(0, ready(self->client));
	EXPECT_EQ(0, drain(self->tun));
	ASSERT_TRUE(answer(self->tun, &request, VMTP_OK));
	EXPECT_EQ(POLLIN | POLLOUT, ready(self->client));
}

/* ---- Silence ------------------------------------------------------------------------------ */

/* Shows: 2.5.4-a 4.9-a 4.9-b D-9-a D-26-b */
TEST_F(peer, six_transmissions_and_then_retrans_timeout)
{
	struct packet request, first = { };
	struct vmtp_mcb mcb;
	int sent = 0, probes = 0;

	vmtp_request(&mcb, SERVER, APPLICATION);
	ASSERT_EQ(0, start(self->client, &mcb, self->segment, 512));
	while (!(ready(self->client) & POLLIN)) {
		if (!receive_packet(self->tun, &request, 50))
			continue;
		if (is_probe(&request)) {
			probes++;
			continue;
		}
		EXPECT_EQ((__u32)sent << C_RETRANSMIT, request.control & 7U << C_RETRANSMIT);
		if (sent++ == 0) {
			first = request;
			EXPECT_EQ(0, request.control & C_APG);
			EXPECT_EQ(512, request.octets);
			continue;
		}
		/* What is missing is asked first. */
		EXPECT_EQ(C_APG, request.control & C_APG);
		EXPECT_EQ(0, request.octets);
		EXPECT_EQ(0, request.delivery);
		EXPECT_EQ(512, request.segment_size);
		EXPECT_EQ(first.transaction, request.transaction);
	}
	EXPECT_EQ(6, sent);
	/* The address in the identifier was a guess: the others were asked. */
	EXPECT_GE(probes, 1);
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, 0));
	EXPECT_EQ(VMTP_FAILURE, mcb.function);
	EXPECT_EQ(VMTP_RETRANS_TIMEOUT, vmtp_code(&mcb));
	EXPECT_EQ(5, counter("Retransmissions"));
}

/* The packet that asks all managers where the Server is. */
static bool searched(int tun, struct packet *probe)
{
	do {
		if (!receive_packet(tun, probe, LONG_MS))
			return false;
	} while (!is_probe(probe));
	return probe->destination == MANAGERS && (probe->code & VMTP_CRE);
}

/* Shows: D-14-b III-0101-j III-0101-a */
TEST_F(peer, a_server_that_is_not_there_is_looked_for_everywhere)
{
	struct packet request, probe, found;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	ASSERT_TRUE(notify(self->tun, &request, 0, VMTP_NONEXISTENT_ENTITY));
	ASSERT_TRUE(searched(self->tun, &probe));
	EXPECT_EQ(VMTP_MANAGER_GROUP, probe.server);
	EXPECT_EQ(W_MPG, probe.frame & W_MPG);
	EXPECT_EQ(SERVER, (__u64)probe.user[0] << 32 | probe.user[1]);
	EXPECT_EQ(SERVER, (__u64)probe.user[2] << 32 | probe.user[3]);
	EXPECT_EQ(1, probe.user[4]);
	response_packet(&found, &probe, little_endian(0xB0B0B0, OTHER));
	found.source = OTHER;
	ASSERT_TRUE(send_packet(self->tun, &found));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	EXPECT_EQ(SERVER, request.server);
	EXPECT_EQ(OTHER, request.destination);
	ASSERT_TRUE(answer(self->tun, &request, VMTP_OK));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_OK, mcb.code);
	/* It is remembered. */
	ASSERT_TRUE(asked(self->tun, self->client, &request));
	EXPECT_EQ(OTHER, request.destination);
}

static bool send_unreachable(int tun, const struct packet *request)
{
	unsigned char icmp[8 + 20 + 20] = { ICMP_DEST_UNREACH, ICMP_PROT_UNREACH };
	unsigned char *ip = icmp + 8;
	__u16 sum;

	ip[0] = 0x45;
	ip[3] = 20 + OVERHEAD;
	ip[8] = 64;
	ip[9] = IPPROTO_VMTP;
	put32(ip + 12, request->source);
	put32(ip + 16, request->destination);
	sum = ip_sum(ip, 20);
	ip[10] = sum >> 8;
	ip[11] = sum;
	put64(ip + 20, request->client);
	put32(ip + 28, VMTP_DOMAIN_INTERNET << 16);
	put32(ip + 36, request->transaction);
	sum = ip_sum(icmp, sizeof(icmp));
	icmp[2] = sum >> 8;
	icmp[3] = sum;
	return send_ip(tun, request->destination, request->source, IPPROTO_ICMP, icmp, sizeof(icmp));
}

/* Shows: D-27-a */
TEST_F(peer, icmp_unreachable_leads_to_a_probe_and_soon_to_nonexistent)
{
	struct packet request, probe;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	ASSERT_TRUE(send_unreachable(self->tun, &request));
	ASSERT_TRUE(searched(self->tun, &probe));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, vmtp_code(&mcb));
	EXPECT_EQ(0, counter("Retransmissions"));
}

/* Shows: D-27-b */
TEST_F(peer, icmp_does_not_end_what_the_server_acknowledged)
{
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	ASSERT_TRUE(notify(self->tun, &request, 0xFFFFFFFF, VMTP_OK));
	ASSERT_TRUE(send_unreachable(self->tun, &request));
	EXPECT_EQ(0, ready(self->client));
	EXPECT_EQ(0, drain(self->tun));
	ASSERT_TRUE(answer(self->tun, &request, VMTP_OK));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_OK, mcb.code);
}

TEST_HARNESS_MAIN
