// SPDX-License-Identifier: GPL-2.0
/*
 * Peers that stop in the middle: hundreds of Clients that take no Response, a
 * server that begins one and falls silent. What was kept for them goes in its
 * time, and who is there is served meanwhile.
 */
#include "wire.h"

#include "kselftest_harness.h"

#define SERVER		little_endian(100000, HOST)
#define CLIENT(n)	little_endian(200000 + (n), PEER)
#define REMOTE		little_endian(300000, PEER)
#define CLIENTS		200

FIXTURE(peers)
{
	int tun, server, client;
	unsigned char segment[VMTP_GROUP_SIZE], got[VMTP_GROUP_SIZE];
};

FIXTURE_SETUP(peers)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->server = open_entity(SERVER);
	self->client = open_entity(little_endian(100001, HOST));
	ASSERT_GE(self->server, 0);
	ASSERT_GE(self->client, 0);
	ASSERT_EQ(0, fcntl(self->server, F_SETFL, O_NONBLOCK));
	fill(self->segment, sizeof(self->segment), 1);
}

FIXTURE_TEARDOWN(peers)
{
	close(self->server);
	close(self->client);
	close(self->tun);
}

/* Records in this state. */
static int records(const char *state)
{
	FILE *file = fopen("/proc/thread-self/net/vmtp/transactions", "r");
	char line[256];
	int count = 0;

	while (file && fgets(line, sizeof(line), file))
		count += !!strstr(line, state);
	if (file)
		fclose(file);
	return count;
}

/* A Client that is there: asks with data, takes its Response and says so. */
static bool served(int tun, int server, __u64 client, const unsigned char *segment)
{
	struct packet packet;
	struct vmtp_mcb mcb;
	bool answered = false;

	request_packet(&packet, client, SERVER, 1);
	packet.source = OTHER;
	carry(&packet, segment, 1024, 3);
	if (!send_packet(tun, &packet) || vmtp_recvreq(server, &mcb, NULL, 0, 0) < 0 || mcb.client != client)
		return false;
	vmtp_response(&mcb, VMTP_OK);
	if (vmtp_sendreply(server, &mcb, segment, 1000))
		return false;
	while (!answered && receive_packet(tun, &packet, LONG_MS))
		answered = packet.client == client && packet.control & C_RESPONSE && packet.octets == 1000;
	notify_server_packet(&packet, SERVER, client, 1, 3, VMTP_OK);
	packet.source = OTHER;
	return answered && send_packet(tun, &packet);
}

TEST_F_TIMEOUT(peers, clients_that_stop_hold_nothing_for_long, 120)
{
	struct notify_client notify;
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_RESPONSE_RETRIES, 2));
	for (int i = 0; i < CLIENTS; i++) {
		request_packet(&packet, CLIENT(i), SERVER, 9);
		carry(&packet, self->segment, 1024, 3);
		ASSERT_TRUE(send_packet(self->tun, &packet));
		ASSERT_EQ(1024, vmtp_recvreq(self->server, &mcb, self->got, sizeof(self->got), 0));
		vmtp_response(&mcb, VMTP_OK);
		/* Three times what came, so that nobody needs to be probed. */
		ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, self->segment, 3000));
		drain(self->tun);
		if (i % 50 == 25) {
			EXPECT_TRUE(served(self->tun, self->server, CLIENT(1000 + i), self->segment));
		}
	}
	/* Each Response is sent again twice and given up; the records go on filtering duplicates. */
	for (long end = now_ms() + 60000; records("Responded") && now_ms() < end; usleep(50000))
		drain(self->tun);
	EXPECT_EQ(0, records("Responded"));
	EXPECT_EQ(CLIENTS + CLIENTS / 50, records("ResponseDiscarded"));
	/* Who comes back is told that it is too late, and that nothing is executed again. */
	drain(self->tun);
	request_packet(&packet, CLIENT(7), SERVER, 9);
	packet.control = C_APG | 1U << C_RETRANSMIT;
	carry(&packet, self->segment, 1024, 3);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_TRUE(receive_packet(self->tun, &packet, 0));
	ASSERT_TRUE(is_notify_client(&packet));
	notify = notify_client_of(&packet);
	EXPECT_EQ(VMTP_RESPONSE_DISCARDED, notify.code);
	EXPECT_EQ(-1, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_TRUE(served(self->tun, self->server, CLIENT(5000), self->segment));
}

TEST_F_TIMEOUT(peers, a_server_that_stops_in_its_response_ends_the_transaction, 120)
{
	struct packet request, packet;
	struct vmtp_mcb mcb;
	int asked = 0;

	ASSERT_EQ(0, set_option(self->client, VMTP_OPT_RETRIES, 2));
	vmtp_request(&mcb, REMOTE, APPLICATION);
	ASSERT_EQ(0, start(self->client, &mcb, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	response_packet(&packet, &request, 0);
	carry(&packet, self->segment, 4096, 5);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	/* It asks for the rest, not for ever. */
	while (!comes(self->client, POLLIN, 0) && receive_packet(self->tun, &packet, LONG_MS))
		asked += is_notify_server(&packet) && notify_server_of(&packet).code == VMTP_RETRY;
	EXPECT_LE(2, asked);
	EXPECT_GE(4, asked);
	ASSERT_LE(0, vmtp_getreply(self->client, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(VMTP_BAD_REPLY_SEGMENT, vmtp_code(&mcb));
	/* The socket is as it was. */
	drain(self->tun);
	vmtp_request(&mcb, REMOTE, APPLICATION);
	ASSERT_EQ(0, start(self->client, &mcb, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	response_packet(&packet, &request, 0);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(0, vmtp_getreply(self->client, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
}

TEST_HARNESS_MAIN
