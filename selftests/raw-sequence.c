// SPDX-License-Identifier: GPL-2.0
/*
 * Receive sequence numbers (2.12) over packets: the module numbers what it
 * receives and tells that, and logs what another host tells of its Requests.
 */
#include "wire.h"

#include "kselftest_harness.h"

#define SERVER	little_endian(100000, HOST)
#define CLIENT	little_endian(200000, HOST)
#define THERE	little_endian(300000, PEER)	/* client and server at the test's end */
#define GROUP	vmtp_entity(VMTP_ENTITY_GROUP, 7, 0xE0000105)

FIXTURE(peer)
{
	int tun, server, client;
};

FIXTURE_SETUP(peer)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	ASSERT_EQ(0, setting("receive_sequence", 1));
	self->server = open_entity(SERVER);
	self->client = open_entity(CLIENT);
	ASSERT_GE(self->server, 0);
	ASSERT_GE(self->client, 0);
}

FIXTURE_TEARDOWN(peer)
{
	close(self->client);
	close(self->server);
	close(self->tun);
}

/* ---- The module receives -------------------------------------------------------------- */

/* A Request of the test's end, or of a third host, is received. What the module says at once. */
static bool receives(int tun, int server, __u32 source, __u32 transaction, struct packet *said)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	drain(tun);
	request_packet(&packet, little_endian(300000, source), SERVER, transaction);
	packet.source = source;
	if (!send_packet(tun, &packet) || vmtp_recvreq(server, &mcb, NULL, 0, LONG_MS))
		return false;
	memset(said, 0, offsetof(struct packet, data));
	receive_packet(tun, said, 0);
	vmtp_response(&mcb, VMTP_OK);
	return !vmtp_sendreply(server, &mcb, NULL, 0);
}

/* Bit 31 of the Response. */
static int confirmed(int tun)
{
	struct packet packet;

	while (receive_packet(tun, &packet, LONG_MS))
		if (packet.control & C_RESPONSE)
			return packet.control >> 31;
	return -1;
}

/* Shows: 2.12-b 2.12-c III-010F-c */
TEST_F(peer, a_client_is_told_the_number_that_it_does_not_presume_and_the_others_are_confirmed)
{
	struct notify_client told;
	struct packet said;
	__u32 first;

	ASSERT_TRUE(receives(self->tun, self->server, PEER, 9, &said));
	ASSERT_TRUE(is_notify_client(&said));
	told = notify_client_of(&said);
	EXPECT_EQ(THERE, told.client);
	EXPECT_EQ(9, told.transaction);
	EXPECT_EQ(VMTP_OK, told.code);
	EXPECT_EQ(C_NRS, told.control & C_NRS);
	first = told.receive_sequence;
	EXPECT_EQ(0, confirmed(self->tun));
	/* The next one: two packets, as ever. */
	ASSERT_TRUE(receives(self->tun, self->server, PEER, 10, &said));
	EXPECT_EQ(0, said.code);
	EXPECT_EQ(1, confirmed(self->tun));
	/* Another host's comes in between. */
	ASSERT_TRUE(receives(self->tun, self->server, OTHER, 5, &said));
	ASSERT_TRUE(is_notify_client(&said));
	EXPECT_EQ(OTHER, said.destination);
	EXPECT_EQ(first + 2, notify_client_of(&said).receive_sequence);
	ASSERT_TRUE(receives(self->tun, self->server, PEER, 11, &said));
	ASSERT_TRUE(is_notify_client(&said));
	EXPECT_EQ(first + 3, notify_client_of(&said).receive_sequence);
	EXPECT_EQ(0, confirmed(self->tun));
	ASSERT_TRUE(receives(self->tun, self->server, PEER, 12, &said));
	EXPECT_EQ(0, said.code);
	EXPECT_EQ(1, confirmed(self->tun));
}

/* Shows: 4.5-a III-010F-c */
TEST_F(peer, notifies_have_the_number_of_the_request_or_the_hosts_last_and_none_without_the_option)
{
	struct packet packet, said;
	struct notify_client told;
	__u32 number;

	ASSERT_TRUE(receives(self->tun, self->server, PEER, 9, &said));
	number = notify_client_of(&said).receive_sequence;
	for (int on = 1; on >= 0; on--) {
		ASSERT_EQ(0, setting("receive_sequence", on));
		drain(self->tun);
		request_packet(&packet, THERE, SERVER + (1ULL << 32), 20);
		ASSERT_TRUE(send_packet(self->tun, &packet));
		ASSERT_TRUE(receive_packet(self->tun, &said, 0));
		ASSERT_TRUE(is_notify_client(&said));
		told = notify_client_of(&said);
		EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, told.code);
		EXPECT_EQ(on ? number : 0, told.receive_sequence);
		EXPECT_EQ(on, told.control >> 31);
	}
	/* Nor does a Request provoke a Notify then. */
	ASSERT_TRUE(receives(self->tun, self->server, OTHER, 5, &said));
	EXPECT_EQ(0, said.code);
	EXPECT_EQ(0, confirmed(self->tun));
}

/* ---- The module sends ------------------------------------------------------------------ */

/* The number that the module knows of the test's host, or -1. */
static long logged(void)
{
	FILE *file = fopen("/proc/thread-self/net/vmtp/hosts", "r");
	char line[256];
	long value = -1;

	/* HOST MTU RTT_NS DEVIATION_NS GAP_NS GAP IDLE_MS SEQUENCE, of which the last is - if there is none. */
	while (file && fgets(line, sizeof(line), file)) {
		char sequence[32];

		if (sscanf(line, "10.81.0.2 %*s %*s %*s %*s %*s %*s %31s", sequence) == 1 && strcmp(sequence, "-"))
			value = strtol(sequence, NULL, 10);
	}
	if (file)
		fclose(file);
	return value;
}

/* Starts a transaction; the first packet of its Request. */
static bool asked(int tun, int client, struct packet *request)
{
	drain(tun);
	return !start_null(client, THERE) && receive_packet(tun, request, LONG_MS) &&
	       !(request->control & C_RESPONSE) && request->server == THERE;
}

/* The test's host tells the number of a Request. */
static bool tell(int tun, const struct packet *request, __u32 number)
{
	struct packet packet;

	notify_client_packet(&packet, request->client, C_NRS | C_RESPONSE, request->transaction, 0xFFFFFFFF, VMTP_OK);
	packet.user[3] = number;
	return send_packet(tun, &packet);
}

static bool answered(int tun, int client, const struct packet *request, __u32 control)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	response_packet(&packet, request, 0);
	packet.control |= control;
	return send_packet(tun, &packet) && !vmtp_getreply(client, &mcb, NULL, 0, LONG_MS) &&
	       vmtp_code(&mcb) == VMTP_OK;
}

/* Shows: 2.12-a */
TEST_F(peer, the_number_of_each_confirmed_request_is_one_more)
{
	struct packet request;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	EXPECT_EQ(-1, logged());
	ASSERT_TRUE(tell(self->tun, &request, 41));
	ASSERT_TRUE(answered(self->tun, self->client, &request, 0));
	EXPECT_EQ(41, logged());
	for (int i = 42; i <= 44; i++) {
		ASSERT_TRUE(asked(self->tun, self->client, &request));
		EXPECT_EQ(0, request.control & C_APG);
		ASSERT_TRUE(answered(self->tun, self->client, &request, C_NRS));
		EXPECT_EQ(i, logged());
	}
	/* A Notify was lost: the next Request asks, and is told. */
	ASSERT_TRUE(asked(self->tun, self->client, &request));
	ASSERT_TRUE(answered(self->tun, self->client, &request, 0));
	ASSERT_TRUE(asked(self->tun, self->client, &request));
	EXPECT_EQ(C_APG, request.control & C_APG);
	ASSERT_TRUE(tell(self->tun, &request, 60));
	ASSERT_TRUE(answered(self->tun, self->client, &request, C_NRS));
	EXPECT_EQ(60, logged());
}

/* Shows: 2.12-d */
TEST_F(peer, a_request_tells_whether_anything_came_before_the_last_response)
{
	struct packet request, said;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	EXPECT_EQ(0, request.control & C_NRS);
	ASSERT_TRUE(answered(self->tun, self->client, &request, 0));
	ASSERT_TRUE(asked(self->tun, self->client, &request));
	EXPECT_EQ(C_NRS, request.control & C_NRS);
	/* A Request comes while the Response is awaited. */
	ASSERT_TRUE(receives(self->tun, self->server, OTHER, 5, &said));
	ASSERT_TRUE(answered(self->tun, self->client, &request, 0));
	ASSERT_TRUE(asked(self->tun, self->client, &request));
	EXPECT_EQ(0, request.control & C_NRS);
	ASSERT_TRUE(answered(self->tun, self->client, &request, 0));
	ASSERT_EQ(0, setting("receive_sequence", 0));
	ASSERT_TRUE(asked(self->tun, self->client, &request));
	EXPECT_EQ(0, request.control & C_NRS);
}

/* Shows: 2.12-e */
TEST_F(peer, every_server_of_a_group_is_told_that_its_response_was_received)
{
	struct packet request, packet;
	__u32 before = 0;
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, GROUP, APPLICATION | VMTP_MRD);
	ASSERT_EQ(0, start(self->client, &mcb, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	ASSERT_EQ(GROUP, request.server);
	for (int i = 0; i < 2; i++) {
		__u32 from = i ? PEER : OTHER;
		__u64 server = little_endian(300000, from);
		struct notify_server told;

		drain(self->tun);
		response_packet(&packet, &request, server);
		packet.source = from;
		ASSERT_TRUE(send_packet(self->tun, &packet));
		ASSERT_TRUE(receive_packet(self->tun, &packet, 0));
		ASSERT_TRUE(is_notify_server(&packet));
		told = notify_server_of(&packet);
		EXPECT_EQ(from, packet.destination);
		EXPECT_EQ(server, told.server);
		EXPECT_EQ(CLIENT, told.client);
		EXPECT_EQ(request.transaction, told.transaction);
		EXPECT_EQ(VMTP_OK, told.code);
		/* The order is that of the manager's Transactions. */
		if (i) {
			EXPECT_GT((__s32)(packet.transaction - before), 0);
		}
		before = packet.transaction;
		ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	}
}

TEST_HARNESS_MAIN
