// SPDX-License-Identifier: GPL-2.0
/*
 * Interpacket gaps (2.5.6, VII.4): packets of a group keep the gap that the other host asks for, counted in the speed
 * that the link tells; urgent groups go before others; neither other hosts nor messages of one packet wait.
 *
 * A packet that is due is in the device's queue when the call that sends it returns. So "at once" is what is there
 * then, and a gap is a time before which the last packet must not be there: a slow machine can only make it longer.
 */
#include "wire.h"

#include <net/if.h>
#include <sys/wait.h>

#include "kselftest_harness.h"

#define SERVER		little_endian(100000, HOST)
#define CLIENT		little_endian(200000, PEER)
#define MBPS		10
#define MTU_NS		(1500 * 8 * 1000 / MBPS)	/* the transmission time of an MTU: 1.2 ms */
#define GROUP_PACKETS	16	/* 16,384 octets in packets of two blocks */
#define URGENT		0xC	/* 2.13: levels 1100, 1000, 0000 and 0100 */
#define BACKGROUND	0x4

FIXTURE(pacing)
{
	int tun, server;
	unsigned char segment[VMTP_GROUP_SIZE];
};

FIXTURE_SETUP(pacing)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make_speed(1500, MBPS);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->server = open_entity(SERVER);
	ASSERT_GE(self->server, 0);
	fill(self->segment, sizeof(self->segment), 1);
}

FIXTURE_TEARDOWN(pacing)
{
	close(self->server);
	close(self->tun);
}

static long now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

/*
 * A Request of PEER that asks for this gap is received; mcb is for the answer. It is as large as the answer: its Client
 * is not probed, and no amplifier is wanted.
 */
static bool asks_for_gap(int tun, int server, __u32 transaction, unsigned int gap, struct vmtp_mcb *mcb)
{
	static unsigned char segment[VMTP_GROUP_SIZE], got[VMTP_GROUP_SIZE];
	struct packet packet;

	request_packet(&packet, CLIENT, SERVER, transaction);
	packet.control = gap << C_GAP;
	carry(&packet, segment, sizeof(segment), 0xFFFFFFFF);
	return send_packet(tun, &packet) && vmtp_recvreq(server, mcb, got, sizeof(got), LONG_MS) == sizeof(got);
}

/* How many packets of a Response of a group there are at once. */
static int at_once(int tun)
{
	struct packet packet;
	int count = 0;

	while (receive_packet(tun, &packet, 0))
		count++;
	return count;
}

/*
 * The packets of a Response of a group that is sent from begin on: how many come, and how many of them before their time,
 * which a slow machine only makes later.
 */
static void measure(int tun, long begin, long gap_ns, int *all, int *early)
{
	struct packet packet;
	__u32 blocks = 0;

	for (*all = *early = 0; blocks != 0xFFFFFFFF && receive_packet(tun, &packet, LONG_MS);) {
		if (!(packet.control & C_RESPONSE) || (packet.control >> C_RETRANSMIT & 7))
			continue;
		/* Each after the other's own time and the gap; what is due within a moment may go with another. */
		if (now_ns() - begin < *all * (MTU_NS + gap_ns) - MTU_NS)
			++*early;
		blocks |= packet.delivery;
		++*all;
	}
}

/* Shows: D-25-a D-25-c */
TEST_F(pacing, packets_of_a_response_keep_the_gap_that_its_client_asked_for)
{
	static const unsigned int gaps[] = { 255, 64, 32 };
	struct vmtp_mcb mcb;
	int all, early;
	long begin;

	for (size_t i = 0; i < sizeof(gaps) / sizeof(*gaps); i++) {
		ASSERT_TRUE(asks_for_gap(self->tun, self->server, 7 + 7 * i, gaps[i], &mcb));
		vmtp_response(&mcb, VMTP_OK);
		begin = now_ns();
		ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, self->segment, sizeof(self->segment)));
		measure(self->tun, begin, (long)MTU_NS / 32 * gaps[i], &all, &early);
		EXPECT_EQ(GROUP_PACKETS, all);
		EXPECT_EQ(0, early) { TH_LOG("gap %u", gaps[i]); }
	}
}

/* Shows: D-25-a */
TEST_F(pacing, without_a_gap_all_leave_at_once)
{
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asks_for_gap(self->tun, self->server, 7, 0, &mcb));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, self->segment, sizeof(self->segment)));
	EXPECT_EQ(GROUP_PACKETS, at_once(self->tun));
}

/* Starts a Request of so many octets for an entity of that host. */
static int ask(int fd, __u32 host, const unsigned char *segment, size_t octets)
{
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, little_endian(300000, host), APPLICATION);
	return start(fd, &mcb, segment, octets);
}

/* Shows: VII.4-c */
TEST_F(pacing, neither_another_host_nor_a_single_packet_waits)
{
	int slow = open_entity(little_endian(400000, HOST)), other = open_entity(little_endian(400001, HOST));
	int single = open_entity(little_endian(400002, HOST)), to_other = 0, null = 0, to_slow = 0;
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asks_for_gap(self->tun, self->server, 7, 255, &mcb));
	drain(self->tun);
	ASSERT_EQ(0, ask(slow, PEER, self->segment, sizeof(self->segment)));
	ASSERT_EQ(0, ask(other, OTHER, self->segment, sizeof(self->segment)));
	ASSERT_EQ(0, ask(single, PEER, NULL, 0));
	while (receive_packet(self->tun, &packet, 0)) {
		to_other += packet.destination == OTHER;
		null += packet.destination == PEER && packet.octets == 0;
		to_slow += packet.destination == PEER && packet.octets != 0;
	}
	EXPECT_EQ(GROUP_PACKETS, to_other);
	EXPECT_EQ(1, null);
	EXPECT_LE(to_slow, GROUP_PACKETS / 2);
	close(slow);
	close(other);
	close(single);
}

/* Shows: VII.4-a */
TEST_F(pacing, an_urgent_group_goes_before_one_in_the_background)
{
	int behind = open_entity(little_endian(400000, HOST)), ahead = open_entity(little_endian(400001, HOST));
	int before = 0, urgent = 0, background = 0;
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asks_for_gap(self->tun, self->server, 7, 255, &mcb));
	drain(self->tun);
	ASSERT_EQ(0, set_option(behind, VMTP_OPT_PRIORITY, BACKGROUND));
	ASSERT_EQ(0, set_option(ahead, VMTP_OPT_PRIORITY, URGENT));
	ASSERT_EQ(0, ask(behind, PEER, self->segment, sizeof(self->segment)));
	ASSERT_EQ(0, ask(ahead, PEER, self->segment, sizeof(self->segment)));
	while (urgent < GROUP_PACKETS && receive_packet(self->tun, &packet, LONG_MS)) {
		if (packet.client == little_endian(400001, HOST)) {
			urgent++;
		} else if (urgent) {
			background++;
		} else {
			before++;
		}
	}
	/* What had left before the urgent group came had left; then nothing of the other until it was through. */
	EXPECT_EQ(GROUP_PACKETS, urgent);
	EXPECT_EQ(0, background);
	EXPECT_LT(before, GROUP_PACKETS);
	EXPECT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	close(behind);
	close(ahead);
}

/* Shows: 5.8-b */
TEST_F(pacing, an_acknowledged_response_stops_leaving)
{
	struct packet packet;
	struct vmtp_mcb mcb;
	int came = 0;

	ASSERT_TRUE(asks_for_gap(self->tun, self->server, 7, 255, &mcb));
	vmtp_response(&mcb, VMTP_OK | VMTP_DGM);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, self->segment, sizeof(self->segment)));
	notify_server_packet(&packet, SERVER, CLIENT, 7, 0xFFFFFFFF, VMTP_OK);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	while (receive_packet(self->tun, &packet, 300))
		came++;
	EXPECT_LT(came, GROUP_PACKETS);
}

/* Shows: 5.8-c */
TEST_F(pacing, a_response_that_is_leaving_begins_anew_where_its_client_is)
{
	struct packet packet, probe;
	struct vmtp_mcb mcb;
	__u32 blocks = 0;

	ASSERT_TRUE(asks_for_gap(self->tun, self->server, 7, 255, &mcb));
	vmtp_response(&mcb, VMTP_OK | VMTP_DGM);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, self->segment, sizeof(self->segment)));
	notify_server_packet(&packet, SERVER, CLIENT, 7, 0, VMTP_ENTITY_MIGRATED);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	do {
		ASSERT_TRUE(receive_packet(self->tun, &probe, LONG_MS));
	} while (!is_probe(&probe));
	/* While it is looked for nothing leaves for where it is not. */
	while (receive_packet(self->tun, &packet, 100)) {
		EXPECT_TRUE(is_probe(&packet));
	}
	response_packet(&packet, &probe, little_endian(0xB0B0B0, OTHER));
	packet.source = OTHER;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	while (blocks != 0xFFFFFFFF) {
		ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
		if (is_probe(&packet))
			continue;
		EXPECT_EQ(OTHER, packet.destination);
		EXPECT_EQ(VMTP_DGM, packet.code & VMTP_DGM);
		blocks |= packet.delivery;
	}
}

/* A socket that is closed, and a device that is removed, while packets wait. */
TEST_F(pacing, who_goes_while_packets_wait_goes_in_peace)
{
	int client = open_entity(little_endian(400000, HOST));
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asks_for_gap(self->tun, self->server, 7, 255, &mcb));
	ASSERT_EQ(0, ask(client, PEER, self->segment, sizeof(self->segment)));
	close(client);
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, self->segment, sizeof(self->segment)));
	close(self->tun);
	self->tun = -1;
	EXPECT_FALSE(comes(self->server, POLLIN, 300));
}

/* In a namespace of its own, with a device whose other end is in the parent's: that one goes when the namespace does. */
static bool in_a_namespace(int (*child_does)(void), const char *device)
{
	pid_t parent = getpid(), child = fork();
	char command[96];
	int status;

	if (!child) {
		if (namespace_make() < 0)
			_exit(1);
		snprintf(command, sizeof(command), "ip link add gone type veth peer name %s netns %d", device, parent);
		_exit(system(command) ? 2 : child_does());
	}
	return waitpid(child, &status, 0) == child && status == 0;
}

static bool goes(const char *device)
{
	for (int i = 0; i < 200 && if_nametoindex(device); i++)
		usleep(100000);
	return !if_nametoindex(device);
}

/* With room for one way a Response waits for the gap of another, and all ends. */
static int child_with_a_way_too_many(void)
{
	static unsigned char segment[VMTP_GROUP_SIZE], got[VMTP_GROUP_SIZE];
	struct packet packet;
	struct vmtp_mcb mcb;
	int tun, server;

	tun = link_make_speed(1500, MBPS);
	if (tun < 0 || setting("probe_clients", PROBE_NEVER) || setting("paths_max", 1))
		return 3;
	server = open_entity(SERVER);
	/* The one way is in use: there is a record of its Client. */
	request_packet(&packet, CLIENT, SERVER, 1);
	if (server < 0 || !send_packet(tun, &packet) || vmtp_recvreq(server, &mcb, NULL, 0, LONG_MS))
		return 4;
	request_packet(&packet, CLIENT, SERVER, 1);
	packet.source = OTHER;
	packet.client = little_endian(200000, OTHER);
	packet.control = 255 << C_GAP;
	carry(&packet, segment, sizeof(segment), 0xFFFFFFFF);
	if (!send_packet(tun, &packet) || vmtp_recvreq(server, &mcb, got, sizeof(got), LONG_MS) != sizeof(got))
		return 5;
	vmtp_response(&mcb, VMTP_OK);
	return vmtp_sendreply(server, &mcb, segment, sizeof(segment)) ? 6 : 0;
}

static int child_with_nothing(void)
{
	return 0;
}

/* Namespaces end one after another, their devices first: one that does not end keeps the next one's devices. */
TEST(a_way_that_is_not_remembered_does_not_hold_its_namespace)
{
	ASSERT_GE(namespace_make(), 0);
	ASSERT_TRUE(in_a_namespace(child_with_a_way_too_many, "stays"));
	EXPECT_TRUE(goes("stays"));
	ASSERT_TRUE(in_a_namespace(child_with_nothing, "behind"));
	EXPECT_TRUE(goes("behind"));
}

TEST_HARNESS_MAIN
