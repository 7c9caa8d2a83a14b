// SPDX-License-Identifier: GPL-2.0
/*
 * GRO: what arrives on a device packet by packet is joined, and is the same for whoever gets it: this host's entities,
 * and hosts behind this one if it is a router. Packets are counted before the device (they are sent one by one) and
 * behind it (as a packet socket sees them).
 *
 * wire, where the test is, - gate, the host with the module's entity, which is a router too - far, a host behind it
 */
#include "wire-frames.h"

#include "kselftest_harness.h"

#define FAR		0x0A520002U	/* 10.82.0.2 */
#define SERVER		little_endian(300000, HOST)
#define CLIENT(n)	little_endian(400000 + (n), PEER)
#define PACKETS		16		/* of two blocks each: a group */
#define DATA		1024
#define PIECE		(OVERHEAD + DATA)

FIXTURE(gate)
{
	int wire, gate, far;		/* namespaces */
	int out, in, behind;		/* frames: sent by wire, as gate's stack sees them, as far's device gets them */
	int server;
	unsigned char segment[VMTP_GROUP_SIZE], got[VMTP_GROUP_SIZE];
	struct frame frame;
};

FIXTURE_SETUP(gate)
{
	int pid = getpid();

	self->wire = namespace_make();
	self->far = namespace_make();
	self->gate = namespace_make();
	ASSERT_GE(self->gate, 0);
	ASSERT_EQ(0, hosts_run("ip link add g0 address 02:00:00:00:00:01 type veth peer name w0 address 02:00:00:00:00:02"
			       " netns /proc/%d/fd/%d && ip link add g1 address 02:00:00:00:00:03 type veth"
			       " peer name f0 address 02:00:00:00:00:04 netns /proc/%d/fd/%d"
			       " && ethtool -K g0 gro on >/dev/null", pid, self->wire, pid, self->far));
	/* g1 is as a device of hardware: it takes no trains. */
	ASSERT_EQ(0, hosts_run("ethtool -K g1 tx-gso-list off >/dev/null && ip addr add 10.81.0.1/24 dev g0"
			       " && ip addr add 10.82.0.1/24 dev g1 && ip link set g0 up && ip link set g1 up"
			       " && ip neigh add 10.81.0.2 lladdr 02:00:00:00:00:02 dev g0 nud permanent"
			       " && ip neigh add 10.82.0.2 lladdr 02:00:00:00:00:04 dev g1 nud permanent"
			       " && echo 1 >/proc/sys/net/ipv4/ip_forward"));
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->in = frames_open("g0");
	ASSERT_GE(self->in, 0);
	self->server = open_entity(SERVER);
	ASSERT_GE(self->server, 0);
	ASSERT_EQ(0, namespace_enter(self->far));
	ASSERT_EQ(0, hosts_run("ip link set f0 up"));
	self->behind = frames_open("f0");
	ASSERT_GE(self->behind, 0);
	ASSERT_EQ(0, namespace_enter(self->wire));
	/* A veth polls for packets of a device without TSO only. */
	ASSERT_EQ(0, hosts_run("ethtool -K w0 tso off >/dev/null && ip link set w0 up && { modprobe sch_netem 2>/dev/null; true; }"));
	ASSERT_EQ(0, frames_hold("w0"));
	self->out = frames_open("w0");
	ASSERT_GE(self->out, 0);
	ASSERT_EQ(0, namespace_enter(self->gate));
	fill(self->segment, sizeof(self->segment), 1);
}

FIXTURE_TEARDOWN(gate)
{
	close(self->server);
	close(self->out);
	close(self->in);
	close(self->behind);
	close(self->wire);
	close(self->far);
	close(self->gate);
}

/* One packet of a group. */
static void piece(const FIXTURE_DATA(gate) *self, int client, int number, __u32 frame, struct octets *octets)
{
	struct packet packet;

	request_packet(&packet, CLIENT(client), SERVER, 7);
	packet.frame |= frame;
	carry(&packet, self->segment, sizeof(self->segment), 3U << 2 * number);
	encode(&packet, octets);
}

static bool put(FIXTURE_DATA(gate) *self, const struct octets *octets, const struct ip_manner *manner)
{
	frame_make(&self->frame, 2, 1, PEER, HOST, octets, manner);
	return send(self->out, self->frame.at, self->frame.length, 0) == (ssize_t)self->frame.length;
}

static bool put_piece(FIXTURE_DATA(gate) *self, int client, int number)
{
	struct octets octets;

	piece(self, client, number, 0, &octets);
	return put(self, &octets, &ip_usual);
}

/* What was put since goes out in a burst. */
static bool go(const FIXTURE_DATA(gate) *self)
{
	return !namespace_enter(self->wire) && !frames_release("w0", self->out) && !frames_hold("w0") &&
	       !namespace_enter(self->gate);
}

/* Goes, and counts the packets that the stack sees until so many octets of IP payload have come; -1 if they do not. */
static int seen(FIXTURE_DATA(gate) *self, size_t octets)
{
	int count = 0;

	if (!go(self))
		return -1;
	while (octets) {
		size_t length;

		if (!frame_receive(self->in, &self->frame, LONG_MS))
			return -1;
		length = self->frame.length - ETH_HLEN - 4 * (self->frame.at[ETH_HLEN] & 15);
		if (length > octets)
			return -1;
		octets -= length;
		count++;
	}
	return count;
}

/* Whether the server gets the Request with the segment as it was sent. */
static bool arrives(FIXTURE_DATA(gate) *self, int timeout_ms)
{
	struct vmtp_mcb mcb;

	memset(self->got, 0, sizeof(self->got));
	return comes(self->server, POLLIN, timeout_ms) &&
	       vmtp_recvreq(self->server, &mcb, self->got, sizeof(self->got), 0) == sizeof(self->got) &&
	       !memcmp(self->got, self->segment, sizeof(self->got));
}

TEST_F(gate, packets_of_a_group_arrive_as_one)
{
	for (int i = 0; i < PACKETS; i++)
		ASSERT_TRUE(put_piece(self, 0, i));
	EXPECT_EQ(1, seen(self, PACKETS * PIECE));
	EXPECT_TRUE(arrives(self, LONG_MS));
	EXPECT_EQ(PACKETS, counter("InPackets"));
	EXPECT_EQ(PACKETS * PIECE, counter("InOctets"));
}

TEST_F(gate, what_was_lost_comes_later)
{
	for (int i = 0; i < PACKETS; i++)
		if (i != 5)
			ASSERT_TRUE(put_piece(self, 0, i));
	EXPECT_EQ(1, seen(self, (PACKETS - 1) * PIECE));
	EXPECT_EQ(PACKETS - 1, counter("InPackets"));
	EXPECT_FALSE(arrives(self, 0));
	ASSERT_TRUE(put_piece(self, 0, 5));
	EXPECT_EQ(1, seen(self, PIECE));
	EXPECT_TRUE(arrives(self, LONG_MS));
}

/* A packet with the last block makes the train go on, wherever it is. */
TEST_F(gate, order_does_not_matter)
{
	static const int order[PACKETS] = { 3, 1, 0, 2, 15, 8, 7, 6, 14, 13, 4, 5, 12, 9, 11, 10 };

	for (int i = 0; i < PACKETS; i++)
		ASSERT_TRUE(put_piece(self, 0, order[i]));
	EXPECT_EQ(2, seen(self, PACKETS * PIECE));
	EXPECT_TRUE(arrives(self, LONG_MS));
	EXPECT_EQ(PACKETS, counter("InPackets"));
}

TEST_F(gate, duplicates_do_no_harm)
{
	for (int i = 0; i < PACKETS; i++) {
		ASSERT_TRUE(put_piece(self, 0, i));
		ASSERT_TRUE(put_piece(self, 0, i));
	}
	EXPECT_EQ(2, seen(self, 2 * PACKETS * PIECE));
	EXPECT_TRUE(arrives(self, LONG_MS));
	EXPECT_FALSE(arrives(self, 100));
	EXPECT_EQ(2 * PACKETS, counter("InPackets"));
}

TEST_F(gate, each_client_has_its_own_train)
{
	for (int i = 0; i < PACKETS; i++)
		for (int client = 0; client < 3; client++)
			ASSERT_TRUE(put_piece(self, client, i));
	EXPECT_EQ(3, seen(self, 3 * PACKETS * PIECE));
	for (int client = 0; client < 3; client++)
		EXPECT_TRUE(arrives(self, LONG_MS));
	EXPECT_EQ(3 * PACKETS, counter("InPackets"));
}

TEST_F(gate, wrong_checksum_of_one_does_not_hurt_the_others)
{
	struct octets octets;

	for (int i = 0; i < PACKETS; i++) {
		piece(self, 0, i, 0, &octets);
		if (i == 0 || i == 9)
			octets.at[HEADER_SIZE + 100] ^= 0x40;
		ASSERT_TRUE(put(self, &octets, &ip_usual));
	}
	EXPECT_EQ(1, seen(self, PACKETS * PIECE));
	EXPECT_FALSE(arrives(self, 100));
	EXPECT_EQ(2, counter("DropChecksum"));
	ASSERT_TRUE(put_piece(self, 0, 0));
	ASSERT_TRUE(put_piece(self, 0, 9));
	ASSERT_TRUE(go(self));
	EXPECT_TRUE(arrives(self, LONG_MS));
}

/* The subnet's broadcast address, which the header does not show: there nobody is told that he has no such entity. */
TEST_F(gate, what_was_broadcast_is_not_answered_whichever_of_the_train_is_first)
{
	struct octets octets;

	close(self->server);
	self->server = -1;
	for (int broadcast = 0; broadcast < 2; broadcast++) {
		for (int i = 0; i < 2; i++) {
			piece(self, 0, i, 0, &octets);
			if (i == 0)
				octets.at[HEADER_SIZE + 100] ^= 0x40;
			frame_make(&self->frame, 2, 1, PEER, broadcast ? HOST | 0xFF : HOST, &octets, &ip_usual);
			ASSERT_EQ(self->frame.length, send(self->out, self->frame.at, self->frame.length, 0));
		}
		EXPECT_EQ(1, seen(self, 2 * PIECE));
		EXPECT_EQ(1 + broadcast, counter("DropChecksum"));
		EXPECT_EQ(1 + broadcast, counter("DropNoEntity"));
		EXPECT_EQ(1, counter("OutPackets")) { TH_LOG("broadcast %d", broadcast); }
	}
	/* With the hardware's broadcast address they are not even joined. */
	for (int i = 0; i < 2; i++) {
		piece(self, 0, i, 0, &octets);
		frame_make(&self->frame, 2, 1, PEER, HOST | 0xFF, &octets, &ip_usual);
		memset(self->frame.at, 0xFF, ETH_ALEN);
		ASSERT_EQ(self->frame.length, send(self->out, self->frame.at, self->frame.length, 0));
	}
	EXPECT_EQ(2, seen(self, 2 * PIECE));
	EXPECT_EQ(1, counter("OutPackets"));
}

TEST_F(gate, checksum_of_the_header_only)
{
	struct octets octets;

	for (int i = 0; i < PACKETS; i++) {
		piece(self, 0, i, W_HCO, &octets);
		ASSERT_TRUE(put(self, &octets, &ip_usual));
	}
	EXPECT_EQ(1, seen(self, PACKETS * PIECE));
	EXPECT_TRUE(arrives(self, LONG_MS));
}

/* A train is as long as an IP packet may be, less room for headers of tunnels. */
TEST_F(gate, trains_are_bounded)
{
	for (int i = 0; i < BURST_MOST; i++)
		ASSERT_TRUE(put_piece(self, 0, i % (PACKETS - 1)));	/* never the last block */
	EXPECT_EQ(2, seen(self, BURST_MOST * PIECE));
	EXPECT_EQ(BURST_MOST, counter("InPackets"));
}

TEST_F(gate, groups_keep_their_order)
{
	struct packet packet;
	struct octets octets;

	for (int group = 0; group < 3; group++)
		for (int i = 0; i < 4; i++) {
			request_packet(&packet, CLIENT(0), SERVER, 7 + group);
			carry(&packet, self->segment, sizeof(self->segment), 3U << 2 * i);
			encode(&packet, &octets);
			ASSERT_TRUE(put(self, &octets, &ip_usual));
		}
	ASSERT_TRUE(go(self));
	for (int group = 0; group < 3; group++) {
		ASSERT_TRUE(frame_receive(self->in, &self->frame, LONG_MS));
		EXPECT_EQ(ETH_HLEN + 20 + 4 * PIECE, self->frame.length);
		EXPECT_EQ(7 + group, get32(self->frame.at + ETH_HLEN + 20 + 16));
	}
}

TEST_F(gate, what_differs_is_not_joined)
{
	const struct ip_manner manners[] = {
		{ .ttl = 64, .fragment = 0x4000 },
		{ .ttl = 63, .fragment = 0x4000 },
		{ .ttl = 63, .fragment = 0x4000, .tos = 0x10 },
		{ .ttl = 63, .fragment = 0, .tos = 0x10 },
		{ .ttl = 63, .fragment = 0, .tos = 0x10, .options = 4 },
		{ .ttl = 64, .fragment = 0x4000 },
	};
	struct octets octets;
	size_t payload = 0;
	int count = 0;

	for (size_t i = 0; i < sizeof(manners) / sizeof(*manners); i++) {
		piece(self, 0, i, 0, &octets);
		ASSERT_TRUE(put(self, &octets, &manners[i]));
		payload += octets.length;
		count++;
	}
	/* Encrypted, another domain, another flag, no segment. */
	for (int i = 0; i < 4; i++) {
		static const __u32 frames[] = { W_EPG, 2 << W_DOMAIN, W_MPG, 0 };

		piece(self, 0, 7, frames[i], &octets);
		if (i == 3)
			octets.at[32] &= ~(VMTP_SDA >> 24);
		ASSERT_TRUE(put(self, &octets, &ip_usual));
		payload += octets.length;
		count++;
	}
	EXPECT_EQ(count, seen(self, payload));
}

TEST_F(gate, fragments_are_put_together_by_ip_as_ever)
{
	struct octets octets, part;

	for (int i = 0; i < PACKETS; i++) {
		piece(self, 0, i, 0, &octets);
		part = octets;
		part.length = 512;
		ASSERT_TRUE(put(self, &part, &(struct ip_manner){ .ttl = 64, .id = 1 + i, .fragment = 0x2000 }));
		part.length = octets.length - 512;
		memcpy(part.at, octets.at + 512, part.length);
		ASSERT_TRUE(put(self, &part, &(struct ip_manner){ .ttl = 64, .id = 1 + i, .fragment = 512 / 8 }));
	}
	EXPECT_EQ(2 * PACKETS, seen(self, PACKETS * PIECE));
	EXPECT_TRUE(arrives(self, LONG_MS));
}

/* With a device that holds what it may, for longer than the time given here. */
TEST_F(gate, complete_groups_and_single_packets_do_not_wait)
{
	struct packet packet;
	struct vmtp_mcb mcb;
	struct octets octets;

	ASSERT_EQ(0, hosts_run("unshare -m sh -c 'mount -t sysfs sys /sys && echo 60000000000 >/sys/class/net/g0/gro_flush_timeout'"));
	for (int i = 0; i < PACKETS; i++)
		ASSERT_TRUE(put_piece(self, 0, i));
	ASSERT_TRUE(go(self));
	EXPECT_TRUE(arrives(self, LONG_MS));
	request_packet(&packet, CLIENT(1), SERVER, 7);
	carry(&packet, self->segment, 700, 3);
	encode(&packet, &octets);
	ASSERT_TRUE(put(self, &octets, &ip_usual));
	ASSERT_TRUE(go(self));
	ASSERT_TRUE(comes(self->server, POLLIN, LONG_MS));
	EXPECT_EQ(700, vmtp_recvreq(self->server, &mcb, self->got, sizeof(self->got), 0));
}

/* A router's: each packet leaves as it came, but for the time to live and the sum over the IP header. */
TEST_F(gate, forwarded_packets_are_parted_again_octet_by_octet)
{
	static struct frame sent[PACKETS];

	for (int i = 0; i < PACKETS; i++) {
		const struct ip_manner manner = {
			.ttl = 64, .tos = 8, .fragment = 0x4000, .id = (__u16)(0x1234 * i),
		};
		unsigned char *ip = sent[i].at + ETH_HLEN;
		struct octets octets;
		__u16 sum;

		piece(self, 0, i, i % 2 ? W_HCO : 0, &octets);
		if (i == 3)
			octets.at[HEADER_SIZE + 1] ^= 1;	/* its end is to see that */
		frame_make(&sent[i], 2, 1, PEER, FAR, &octets, &manner);
		if (i % 2 && i > PACKETS / 2)
			continue;
		ASSERT_EQ((ssize_t)sent[i].length, send(self->out, sent[i].at, sent[i].length, 0));
		sent[i].at[5] = 4;
		sent[i].at[11] = 3;
		ip[8]--;
		ip[10] = ip[11] = 0;
		sum = ip_sum(ip, 20);
		ip[10] = sum >> 8;
		ip[11] = sum;
	}
	ASSERT_TRUE(go(self));
	for (int i = 0; i < PACKETS; i++) {
		if (i % 2 && i > PACKETS / 2)
			continue;
		ASSERT_TRUE(frame_receive(self->behind, &self->frame, LONG_MS)) { TH_LOG("packet %d", i); }
		EXPECT_EQ(sent[i].length, self->frame.length);
		EXPECT_EQ(0, memcmp(sent[i].at, self->frame.at, sent[i].length)) { TH_LOG("packet %d", i); }
	}
	EXPECT_FALSE(frame_receive(self->behind, &self->frame, 100));
}

/* The packets of one transmission are one for the router, and the same as ever on its other side. */
TEST_F(gate, a_router_joins_and_parts)
{
	static struct frame sent[PACKETS];
	size_t octets_in = 0;
	int count = 0;

	for (int i = 0; i < PACKETS; i++) {
		const struct ip_manner manner = { .ttl = 9, .id = (__u16)(7000 - i) };
		struct octets octets;

		piece(self, 0, i, 0, &octets);
		frame_make(&sent[i], 2, 1, PEER, FAR, &octets, &manner);
		ASSERT_EQ((ssize_t)sent[i].length, send(self->out, sent[i].at, sent[i].length, 0));
		octets_in += octets.length;
	}
	EXPECT_EQ(1, seen(self, octets_in));
	while (count < PACKETS && frame_receive(self->behind, &self->frame, LONG_MS)) {
		EXPECT_EQ(sent[count].length, self->frame.length);
		EXPECT_EQ(8, self->frame.at[ETH_HLEN + 8]);
		EXPECT_EQ(0, ip_sum(self->frame.at + ETH_HLEN, 20));
		EXPECT_EQ(0, memcmp(sent[count].at + ETH_HLEN, self->frame.at + ETH_HLEN, 8));
		EXPECT_EQ(0, memcmp(sent[count].at + ETH_HLEN + 12, self->frame.at + ETH_HLEN + 12,
				    sent[count].length - ETH_HLEN - 12));
		count++;
	}
	EXPECT_EQ(PACKETS, count);
	EXPECT_EQ(0, counter("InPackets"));
}

/* A VLAN's header must be put in front of packets that have no room for it. */
TEST_F(gate, joined_packets_leave_through_a_vlan)
{
	static struct frame sent[PACKETS];

	ASSERT_EQ(0, hosts_run("ethtool -K g1 tx-vlan-hw-insert off >/dev/null && ip link add link g1 name tagged type vlan id 5"
			       " && ip addr flush dev g1 && ip addr add 10.82.0.1/24 dev tagged && ip link set tagged up"
			       " && ip neigh add 10.82.0.2 lladdr 02:00:00:00:00:04 dev tagged nud permanent"));
	for (int i = 0; i < PACKETS; i++) {
		struct octets octets;

		piece(self, 0, i, 0, &octets);
		frame_make(&sent[i], 2, 1, PEER, FAR, &octets, &ip_usual);
		ASSERT_EQ((ssize_t)sent[i].length, send(self->out, sent[i].at, sent[i].length, 0));
	}
	EXPECT_EQ(1, seen(self, PACKETS * PIECE));
	for (int i = 0; i < PACKETS; i++) {
		ASSERT_TRUE(frame_receive(self->behind, &self->frame, LONG_MS)) { TH_LOG("packet %d", i); }
		/* The kernel has taken the tag off before a socket sees it. */
		EXPECT_EQ(sent[i].length, self->frame.length);
		EXPECT_EQ(0, memcmp(sent[i].at + ETH_HLEN + 20, self->frame.at + ETH_HLEN + 20, sent[i].length - ETH_HLEN - 20))
			TH_LOG("packet %d", i);
	}
}

/* The packets have an owner then, who is not to make one of them overtake the others. */
TEST_F(gate, what_the_device_of_a_sender_on_this_machine_has_parted_is_joined)
{
	struct vmtp_mcb mcb;
	int client;

	ASSERT_EQ(0, namespace_enter(self->wire));
	ASSERT_EQ(0, hosts_run("ip addr add 10.81.0.2/24 dev w0 && ethtool -K w0 tx-gso-list off >/dev/null"
			       " && ip neigh add 10.81.0.1 lladdr 02:00:00:00:00:01 dev w0 nud permanent"));
	client = open_entity(little_endian(500000, PEER));
	ASSERT_GE(client, 0);
	vmtp_request(&mcb, SERVER, 0x800001);
	ASSERT_EQ(0, start(client, &mcb, self->segment, sizeof(self->segment)));
	ASSERT_EQ(0, namespace_enter(self->gate));
	EXPECT_EQ(1, seen(self, PACKETS * PIECE));
	EXPECT_TRUE(arrives(self, LONG_MS));
	close(client);
}

/* Devices may hold a train at that moment; a warning of the kernel ends the test. */
TEST_F(gate, module_goes_while_a_train_is_held)
{
	ASSERT_EQ(0, hosts_run("unshare -m sh -c 'mount -t sysfs sys /sys && echo 400000000 >/sys/class/net/g0/gro_flush_timeout'"));
	for (int i = 0; i < PACKETS - 1; i++)
		ASSERT_TRUE(put_piece(self, 0, i));
	ASSERT_TRUE(go(self));
	close(self->server);
	self->server = -1;
	EXPECT_EQ(0, hosts_run("for i in $(seq 50); do rmmod vmtp 2>/dev/null && exit 0; sleep 0.1; done; exit 1"));
	EXPECT_EQ(0, hosts_run("modprobe vmtp"));
}

TEST_HARNESS_MAIN
