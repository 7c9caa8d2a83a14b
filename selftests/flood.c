// SPDX-License-Identifier: GPL-2.0
/*
 * What strangers may cost a host: forged Requests fill neither its tables nor a server's queue, one source leaves room
 * for others, what a server has not received is bounded, and a Client that is there gets through all of it.
 */
#include "wire.h"

#include "kselftest_harness.h"

#define SERVER	little_endian(100000, HOST)
#define OTHER_SERVER	little_endian(100001, HOST)
#define CLIENT(n)	little_endian(200000 + (n), PEER)

FIXTURE(flood)
{
	int tun, server;
	unsigned char segment[VMTP_GROUP_SIZE], got[VMTP_GROUP_SIZE];
};

FIXTURE_SETUP(flood)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	self->server = open_entity(SERVER);
	ASSERT_GE(self->server, 0);
	ASSERT_EQ(0, fcntl(self->server, F_SETFL, O_NONBLOCK));
	fill(self->segment, sizeof(self->segment), 1);
}

FIXTURE_TEARDOWN(flood)
{
	close(self->server);
	close(self->tun);
}

static bool ask_from(int tun, __u32 source, __u64 client, __u32 transaction)
{
	struct packet packet;

	request_packet(&packet, client, SERVER, transaction);
	packet.source = source;
	return send_packet(tun, &packet);
}

static long records(void)
{
	FILE *file = fopen("/proc/net/vmtp/transactions", "r");
	long lines = -1;
	int c;

	while (file && (c = fgetc(file)) != EOF)
		lines += c == '\n';
	if (file)
		fclose(file);
	return lines;
}

/* Waits for a Probe of this Client, among others, and answers it. */
static bool answer_probe_of(int tun, __u64 client, __u32 transaction)
{
	struct packet probe, answer;

	while (receive_packet(tun, &probe, 2000)) {
		if (!is_probe(&probe) || ((__u64)probe.user[0] << 32 | probe.user[1]) != client)
			continue;
		response_packet(&answer, &probe, PEER_MANAGER);
		answer.code = VMTP_OK;
		answer.user[0] = transaction;
		return send_packet(tun, &answer);
	}
	return false;
}

/* Shows: 2.5.1-c */
TEST_F(flood, forged_clients_fill_neither_table_nor_queue)
{
	struct vmtp_mcb mcb = { };

	ASSERT_EQ(0, setting("records_max", 200));
	for (int i = 0; i < 2000; i++) {
		ASSERT_TRUE(ask_from(self->tun, SOURCE(i), CLIENT(i), 7));
		if (i % 50 == 0)
			drain(self->tun);
	}
	drain(self->tun);
	EXPECT_LE(records(), 200);
	EXPECT_GE(counter("RecordsEvicted"), 1500);
	EXPECT_EQ(0, counter("RequestsDelivered"));
	/* One that is there. */
	ASSERT_TRUE(ask_from(self->tun, PEER, CLIENT(5000), 7));
	ASSERT_TRUE(answer_probe_of(self->tun, CLIENT(5000), 7));
	ASSERT_TRUE(comes(self->server, POLLIN, LONG_MS));
	EXPECT_LE(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_EQ(CLIENT(5000), mcb.client);
}

TEST_F(flood, one_source_leaves_room_for_others)
{
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	ASSERT_EQ(0, setting("records_max", 256));
	for (int i = 0; i < 200; i++)
		ASSERT_TRUE(ask_from(self->tun, PEER, CLIENT(i), 7));
	EXPECT_EQ(64, records());
	ASSERT_TRUE(ask_from(self->tun, OTHER, CLIENT(1000), 7));
	EXPECT_EQ(65, records());
}

TEST_F(flood, after_records_had_to_go_unknown_clients_are_probed)
{
	struct vmtp_mcb mcb = { };
	long probes;

	ASSERT_EQ(0, setting("records_max", 50));
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_PROBE_CLIENTS, VMTP_PROBE_NEVER));
	for (int i = 0; i < 50; i++) {
		ASSERT_TRUE(ask_from(self->tun, SOURCE(i), CLIENT(i), 7));
		ASSERT_LE(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
		vmtp_response(&mcb, VMTP_OK);
		ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
	}
	/* A Client that has just been answered may ask again: nobody has to go for another. */
	ASSERT_TRUE(ask_from(self->tun, PEER, CLIENT(99), 7));
	EXPECT_EQ(0, counter("RecordsEvicted"));
	EXPECT_EQ(50, records());
	sleep(11);
	ASSERT_EQ(0, setting("packet_lifetime_ms", 2000));
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_PROBE_CLIENTS, VMTP_PROBE_HOST));
	ASSERT_TRUE(ask_from(self->tun, PEER, CLIENT(100), 7));
	EXPECT_EQ(1, counter("RecordsEvicted"));
	probes = counter("OutProbes");
	ASSERT_TRUE(ask_from(self->tun, PEER, CLIENT(101), 7));
	EXPECT_EQ(probes + 1, counter("OutProbes"));
	EXPECT_EQ(50, records());
}

TEST_F(flood, what_a_server_has_not_received_is_bounded)
{
	struct packet packet;
	struct vmtp_mcb mcb = { };
	int buffer = 32768, taken = 0;

	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)));
	for (int i = 0; i < 60; i++)
		for (int block = 0; block < 32; block += 2) {
			request_packet(&packet, CLIENT(i), SERVER, 7);
			carry(&packet, self->segment, VMTP_GROUP_SIZE, 3U << block);
			ASSERT_TRUE(send_packet(self->tun, &packet));
		}
	drain(self->tun);
	EXPECT_GE(counter("RequestsDelivered"), 1);
	EXPECT_LE(counter("RequestsDelivered"), 8);
	EXPECT_GT(counter("DropNoRoom"), 0);
	while (vmtp_recvreq(self->server, &mcb, self->got, sizeof(self->got), 0) >= 0) {
		EXPECT_EQ(0, memcmp(self->segment, self->got, sizeof(self->got)));
		taken++;
	}
	EXPECT_EQ(counter("RequestsDelivered"), taken);
	/* Now there is room again. */
	for (int block = 0; block < 32; block += 2) {
		request_packet(&packet, CLIENT(1000), SERVER, 7);
		carry(&packet, self->segment, VMTP_GROUP_SIZE, 3U << block);
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
	EXPECT_LE(0, vmtp_recvreq(self->server, &mcb, self->got, sizeof(self->got), 0));
}

TEST_F_TIMEOUT(flood, a_server_that_has_all_memory_leaves_others_their_requests, 120)
{
	int other = open_entity(OTHER_SERVER), buffer = 1 << 30, asked = 0;
	struct octets octets;
	struct packet packet;
	struct vmtp_mcb mcb = { };

	ASSERT_GE(other, 0);
	ASSERT_EQ(0, fcntl(other, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(0, system("ip link set tun0 mtu 17000"));
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)));
	/*
	 * Requests of 4 MiB of which only the last of 256 packet groups is missing, and which are not given up soon, until the
	 * machine has no more room for such. A packet has a group, and no checksum.
	 */
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_RESPONSE_RETRIES, 255));
	for (; asked < 12000; asked++) {
		int client = asked / 255, group = asked % 255;

		request_packet(&packet, CLIENT(client), SERVER, 7 + group);
		packet.source = SOURCE(client);
		packet.control = C_NER | C_CMG | (group ? C_NSR : 0);
		carry(&packet, self->segment, VMTP_GROUP_SIZE, 0xFFFFFFFF);
		packet.segment_size = VMTP_MESSAGE_SIZE;
		encode(&packet, &octets);
		put32(octets.at + octets.length - 4, 0);
		ASSERT_TRUE(send_ip(self->tun, packet.source, HOST, IPPROTO_VMTP, octets.at, octets.length));
		if (asked % 50)
			continue;
		drain(self->tun);
		if (counter("DropNoRoom"))
			break;
	}
	EXPECT_LT(0, counter("DropNoRoom")) { TH_LOG("%d groups", asked); }
	request_packet(&packet, CLIENT(20000), OTHER_SERVER, 7);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(other, &mcb, NULL, 0, 0)) { TH_LOG("%s", strerror(errno)); }
	EXPECT_EQ(CLIENT(20000), mcb.client);
	close(other);
}

TEST_HARNESS_MAIN
