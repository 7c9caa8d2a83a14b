// SPDX-License-Identifier: GPL-2.0
/*
 * What a host is to others as a whole: its addresses, its manager, its
 * identifiers, how long it remembers, what it has learned of the way to others.
 */
#include "wire.h"

#include "kselftest_harness.h"

#define SERVER		little_endian(100000, HOST)
#define CLIENT		little_endian(200000, PEER)
#define SECOND		0x0A52000AU	/* 10.82.0.10: another address of the host */

FIXTURE(host)
{
	int tun, server;
};

FIXTURE_SETUP(host)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->server = open_entity(SERVER);
	ASSERT_GE(self->server, 0);
	ASSERT_EQ(0, fcntl(self->server, F_SETFL, O_NONBLOCK));
}

FIXTURE_TEARDOWN(host)
{
	close(self->server);
	close(self->tun);
}

static bool reply(int fd, struct vmtp_mcb *mcb)
{
	vmtp_response(mcb, VMTP_OK);
	return !vmtp_sendreply(fd, mcb, NULL, 0);
}

/* Shows: 2.1-b */
TEST_F(host, an_entity_is_reached_at_every_address_of_its_host)
{
	static const __u32 addresses[] = { HOST, SECOND };
	__u64 foreign = little_endian(100001, OTHER), entities[] = { SERVER, foreign };
	int fds[] = { self->server, open_entity(foreign) };
	struct packet request, answer;
	struct vmtp_mcb mcb;
	__u32 transaction = 9;

	ASSERT_GE(fds[1], 0);
	ASSERT_EQ(0, fcntl(fds[1], F_SETFL, O_NONBLOCK));
	ASSERT_EQ(0, system("ip addr add 10.82.0.10/32 dev lo"));
	for (int e = 0; e < 2; e++) {
		for (int a = 0; a < 2; a++) {
			request_packet(&request, CLIENT, entities[e], transaction++);
			request.destination = addresses[a];
			ASSERT_TRUE(send_packet(self->tun, &request));
			ASSERT_EQ(0, vmtp_recvreq(fds[e], &mcb, NULL, 0, 0)) { TH_LOG("entity %d, address %d", e, a); }
			ASSERT_TRUE(reply(fds[e], &mcb));
			ASSERT_TRUE(receive_packet(self->tun, &answer, LONG_MS));
			EXPECT_TRUE(answer.control & C_RESPONSE);
			EXPECT_EQ(entities[e], answer.server);
			/* The Client knows the host by the address that it wrote to. */
			EXPECT_EQ(addresses[a], answer.source);
		}
	}
	close(fds[1]);
}

/* Has the host notify NONEXISTENT_ENTITY; what it sends. */
static bool provoke(int tun, struct packet *notify)
{
	static __u32 transaction = 100;
	struct packet request;

	request_packet(&request, CLIENT, little_endian(199999, HOST), transaction++);
	drain(tun);
	return send_packet(tun, &request) && receive_packet(tun, notify, LONG_MS) && is_notify_client(notify);
}

/* Shows: D-17-a */
TEST_F(host, each_namespace_has_a_manager_of_its_own)
{
	struct packet first, second, other, probe, answer;
	int tun;

	ASSERT_TRUE(provoke(self->tun, &first));
	ASSERT_TRUE(provoke(self->tun, &second));
	EXPECT_EQ(HOST, (__u32)first.client);
	EXPECT_EQ(first.client, second.client);
	EXPECT_EQ(1, second.transaction - first.transaction);
	/* It is an entity, and one of the group. */
	for (int i = 0; i < 2; i++) {
		probe_packet(&probe, CLIENT, first.client, first.client, 1, 50 + i);
		if (i)
			probe.destination = MANAGERS;
		ASSERT_TRUE(send_packet(self->tun, &probe));
		ASSERT_TRUE(receive_packet(self->tun, &answer, LONG_MS));
		EXPECT_EQ(VMTP_OK, answer.code);
		EXPECT_EQ(first.client, answer.server);
	}
	/* A Probe of its own has its name too. */
	ASSERT_EQ(0, setting("probe_clients", PROBE_ALWAYS));
	request_packet(&answer, CLIENT, SERVER, 9);
	ASSERT_TRUE(send_packet(self->tun, &answer));
	ASSERT_TRUE(receive_packet(self->tun, &probe, LONG_MS));
	ASSERT_TRUE(is_probe(&probe));
	EXPECT_EQ(first.client, probe.client);

	ASSERT_GE(namespace_make(), 0);
	tun = link_make(1500);
	ASSERT_GE(tun, 0);
	ASSERT_TRUE(provoke(tun, &other));
	EXPECT_NE(first.client, other.client);
	EXPECT_EQ(HOST, (__u32)other.client);
	close(tun);
}

static int by_number(const void *a, const void *b)
{
	__u64 first = *(const __u64 *)a, second = *(const __u64 *)b;

	return first < second ? -1 : first > second;
}

/* Shows: D-12-b */
TEST_F(host, identifiers_are_not_given_out_again)
{
	static __u64 given[10000];
	__u64 lately;
	int fd;

	for (int i = 0; i < 10000; i++) {
		fd = open_entity(0);
		ASSERT_GE(fd, 0);
		given[i] = entity_of(fd);
		close(fd);
	}
	lately = given[9999];
	qsort(given, 10000, sizeof(given[0]), by_number);
	for (int i = 1; i < 10000; i++)
		ASSERT_NE(given[i - 1], given[i]);
	/* Nor may another user have one. */
	ASSERT_EQ(0, syscall(SYS_setresuid, 1000, 1000, 0));
	EXPECT_ERRNO(EADDRINUSE, open_entity(lately));
	ASSERT_EQ(0, syscall(SYS_setresuid, 0, 0, 0));
}

/* Whether the record of the Client is still there. */
static bool remembered(void)
{
	FILE *file = fopen("/proc/thread-self/net/vmtp/transactions", "r");
	char line[256];
	bool found = false;

	while (file && fgets(line, sizeof(line), file))
		found |= !strncmp(line, "LE-200000-10.81.0.2 ", 20);
	if (file)
		fclose(file);
	return found;
}

/* Shows: D-20-b */
TEST_F(host, duplicates_are_known_for_four_packet_lifetimes)
{
	FILE *file = fopen("/proc/sys/net/vmtp/packet_lifetime_ms", "r");
	struct packet request, answer;
	struct vmtp_mcb mcb;
	int lifetime = 0;
	long begin;

	ASSERT_EQ(1, fscanf(file, "%d", &lifetime));
	EXPECT_EQ(30000, lifetime);
	fclose(file);
	ASSERT_EQ(0, setting("packet_lifetime_ms", 500));
	request_packet(&request, CLIENT, SERVER, 9);
	ASSERT_TRUE(send_packet(self->tun, &request));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	begin = now_ms();
	ASSERT_TRUE(reply(self->server, &mcb));
	drain(self->tun);
	/* A repetition is answered, and not executed; it lives on for as long again. */
	ASSERT_TRUE(send_packet(self->tun, &request));
	ASSERT_TRUE(receive_packet(self->tun, &answer, 0));
	EXPECT_TRUE(answer.control & C_RESPONSE);
	EXPECT_ERRNO(EAGAIN, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	while (remembered() && now_ms() - begin < LONG_MS)
		usleep(10000);
	EXPECT_LE(2000, now_ms() - begin);
	EXPECT_FALSE(remembered());
	/* Now it is a Request of an unknown Client. */
	ASSERT_TRUE(send_packet(self->tun, &request));
	EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
}

/* How long after its first transmission a Request that nobody answers is sent again. */
static long retransmitted_after(int tun, int client)
{
	struct packet packet;
	long begin;

	drain(tun);
	begin = now_ms();
	if (start_null(client, little_endian(300000, PEER)) || !receive_packet(tun, &packet, LONG_MS))
		return -1;
	while (receive_packet(tun, &packet, LONG_MS))
		if (packet.server == little_endian(300000, PEER))
			return now_ms() - begin;
	return -1;
}

/* Shows: VII.2-a */
TEST_F(host, what_was_learned_of_a_host_is_used_for_the_next_transaction)
{
	struct vmtp_peer_info info = { .entity = little_endian(300000, PEER) };
	socklen_t length = sizeof(info);
	int client = open_entity(0), next;
	struct packet request, answer;
	struct vmtp_mcb mcb;
	long after;

	/* 600 ms, as long as nothing is known. */
	EXPECT_LE(600, retransmitted_after(self->tun, client));
	ASSERT_EQ(0, ioctl(client, VMTP_ABORT));
	for (int i = 0; i < 8; i++) {
		drain(self->tun);
		ASSERT_EQ(0, start_null(client, little_endian(300000, PEER)));
		ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
		response_packet(&answer, &request, 0);
		ASSERT_TRUE(send_packet(self->tun, &answer));
		ASSERT_EQ(0, vmtp_getreply(client, &mcb, NULL, 0, LONG_MS));
	}
	ASSERT_EQ(0, getsockopt(client, SOL_VMTP, VMTP_OPT_PEER, &info, &length));
	EXPECT_LT(0, info.rtt);
	EXPECT_EQ(1500, info.mtu);
	close(client);
	/* Also for another Client: it is the host that was learned of. */
	next = open_entity(0);
	after = retransmitted_after(self->tun, next);
	EXPECT_LE(0, after);
	EXPECT_GT(600, after) { TH_LOG("rtt %llu ns", info.rtt); }
	close(next);
}

TEST_HARNESS_MAIN
