// SPDX-License-Identifier: GPL-2.0
/*
 * What the packets look like that the module sends as a Client, and what of a
 * Response's packet reaches its program.
 */
#include "wire.h"

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

/* Shows: D-2-a D-7-a 2.4-b D-5-e D-14-a VIII-b 3.2-c 2.14-b */
TEST_F(peer, every_field_of_a_request_is_where_the_rfc_has_it)
{
	struct packet request;
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, SERVER, 0x123456 | VMTP_MRD | VMTP_PIC);
	for (int i = 0; i < 5; i++)
		mcb.user[i] = 0x01020304 * (i + 1);
	mcb.msg_delivery = 0xA1B2C3D4;
	mcb.segment_size = 0x5E6F7081;	/* no segment: user data */
	mcb.flags = VMTP_F_PRIORITY;
	mcb.priority = 12;
	ASSERT_EQ(0, start(self->client, &mcb, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	EXPECT_EQ(HOST, request.source);
	EXPECT_EQ(PEER, request.destination);
	EXPECT_EQ(CLIENT, request.client);
	EXPECT_EQ(1 << W_DOMAIN, request.frame);
	EXPECT_EQ(12 << C_PRIORITY, request.control & ~(0xFFU << C_GAP));
	EXPECT_EQ(0, request.delivery);
	EXPECT_EQ(SERVER, request.server);
	EXPECT_EQ(0x123456 | VMTP_MRD | VMTP_PIC, request.code);
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(mcb.user[i], request.user[i]) { TH_LOG("word %d", i); }
	}
	EXPECT_EQ(mcb.msg_delivery, request.msg_delivery);
	EXPECT_EQ(mcb.segment_size, request.segment_size);
	EXPECT_NE(0, request.sum);
	EXPECT_EQ(0, request.octets);
	EXPECT_EQ(0, drain(self->tun));
}

/* Shows: D-4-a */
TEST_F(peer, every_flag_of_code_has_its_bit)
{
	static const __u32 flags[] = { VMTP_CMD, VMTP_DGM, VMTP_CRE, VMTP_MRD, VMTP_PIC };
	struct packet request;
	struct vmtp_mcb mcb;

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		vmtp_request(&mcb, SERVER, APPLICATION | flags[i]);
		ASSERT_EQ(0, start(self->client, &mcb, NULL, 0));
		ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
		EXPECT_EQ(APPLICATION | flags[i], request.code);
		vmtp_abort(self->client);
		drain(self->tun);
	}
}

/* Shows: D-2-b D-7-a 2.4-b I-b */
TEST_F(peer, every_field_of_a_response_reaches_the_client)
{
	static const __u32 codes[] = { 0, 64, 0x123456, VMTP_CODE_APPLICATION, 0xFFFFFF };
	struct packet request, response;
	struct vmtp_mcb mcb;

	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		ASSERT_TRUE(asked(self->tun, self->client, &request));
		response_packet(&response, &request, 0);
		response.code = codes[i];
		for (int j = 0; j < 5; j++)
			response.user[j] = 0x10203040 + j;
		response.msg_delivery = 0xCAFE0001;
		response.segment_size = 0xCAFE0002;
		ASSERT_TRUE(send_packet(self->tun, &response));
		ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(VMTP_RESPONSE, mcb.function);
		EXPECT_EQ(codes[i], mcb.code);
		EXPECT_EQ(SERVER, mcb.server);
		EXPECT_EQ(CLIENT, mcb.client);
		for (int j = 0; j < 5; j++) {
			EXPECT_EQ(0x10203040 + j, mcb.user[j]) { TH_LOG("word %d", j); }
		}
		EXPECT_EQ(0xCAFE0001, mcb.msg_delivery);
		EXPECT_EQ(0xCAFE0002, mcb.segment_size);
	}
}

/* Shows: 2.3-a */
TEST_F(peer, transactions_follow_one_another)
{
	struct packet first, next;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked(self->tun, self->client, &first));
	for (__u32 i = 1; i < 4; i++) {
		ASSERT_TRUE(answer(self->tun, i == 1 ? &first : &next, VMTP_OK));
		ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
		ASSERT_TRUE(asked(self->tun, self->client, &next));
		EXPECT_EQ(first.transaction + i, next.transaction);
	}
}

/* Shows: 2.5.1-a */
TEST_F(peer, the_first_transaction_of_an_entity_cannot_be_foreseen)
{
	struct packet request;
	__u32 before = 0;
	int near = 0;

	for (int i = 0; i < 20; i++) {
		int fd = open_entity(0);

		ASSERT_TRUE(asked(self->tun, fd, &request));
		near += request.transaction - before + 0x100000 < 0x200000;
		before = request.transaction;
		close(fd);
		drain(self->tun);
	}
	/* One in 2048 is near the one before by chance. */
	EXPECT_LE(near, 1);
}

/* Shows: 4.6.1-a */
TEST_F(peer, sda_says_whether_there_is_a_segment_whatever_the_user_says)
{
	struct packet request;
	struct vmtp_mcb mcb;

	for (int with = 0; with < 2; with++) {
		for (__u32 said = 0; said <= VMTP_SDA; said += VMTP_SDA) {
			vmtp_request(&mcb, SERVER, APPLICATION | said);
			ASSERT_EQ(0, start(self->client, &mcb, self->segment, with ? 100 : 0));
			ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
			EXPECT_EQ(with ? VMTP_SDA : 0, request.code & VMTP_SDA);
			vmtp_abort(self->client);
			drain(self->tun);
		}
	}
}

/* Shows: 4.6.1-g 2.13-a 2.13-b D-1-c D-5-a */
TEST_F(peer, a_group_goes_out_whole_and_without_apg)
{
	unsigned char whole[VMTP_GROUP_SIZE];
	struct packet packet, first = { };
	struct vmtp_mcb mcb;
	__u32 blocks = 0;

	vmtp_request(&mcb, SERVER, APPLICATION);
	ASSERT_EQ(0, start(self->client, &mcb, self->segment, VMTP_GROUP_SIZE));
	while (blocks != 0xFFFFFFFF) {
		size_t octets = 0;

		ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
		EXPECT_EQ(0, packet.control & C_APG);
		EXPECT_EQ(VMTP_GROUP_SIZE, packet.segment_size);
		EXPECT_EQ(0, blocks & packet.delivery);
		EXPECT_LE(packet.octets, 1500 - 20 - OVERHEAD);
		if (blocks) {
			EXPECT_EQ(first.control, packet.control);
			EXPECT_EQ(first.transaction, packet.transaction);
			EXPECT_EQ(first.code, packet.code);
			EXPECT_EQ(0, memcmp(first.user, packet.user, sizeof(first.user)));
		} else {
			first = packet;
		}
		blocks |= packet.delivery;
		for (int i = 0; i < 32; i++) {
			if (packet.delivery & 1U << i) {
				memcpy(whole + i * 512, packet.data + octets, 512);
				octets += 512;
			}
		}
		EXPECT_EQ(octets, packet.octets);
	}
	EXPECT_EQ(0, memcmp(self->segment, whole, sizeof(whole)));
}

/* Shows: 2.13-b 3.2-h D-6-a */
TEST_F(peer, with_mdm_the_blocks_of_msgdelivery_go_out_as_the_rfc_shows)
{
	static const __u32 masks[] = { 0x3, 0xC, 0x30, 0xC0, 0x1400, 0x6000 };
	struct packet packet;
	struct vmtp_mcb mcb;

	/* 2.13: 0x1D00 octets with MsgDelivery 0x000074FF. */
	vmtp_request(&mcb, SERVER, APPLICATION | VMTP_MDM);
	mcb.msg_delivery = 0x000074FF;
	ASSERT_EQ(0, start(self->client, &mcb, self->segment, 0x1D00));
	for (int i = 0; i < 6; i++) {
		ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
		EXPECT_EQ(masks[i], packet.delivery);
		EXPECT_EQ(0x74FF, packet.msg_delivery);
		EXPECT_EQ(0x1D00, packet.segment_size);
	}
}

/* Shows: D-5-c D-2-c */
TEST_F(peer, hco_covers_the_header_and_says_so)
{
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, set_option(self->client, VMTP_OPT_CHECKSUM, VMTP_CHECKSUM_HEADER));
	vmtp_request(&mcb, SERVER, APPLICATION);
	ASSERT_EQ(0, start(self->client, &mcb, self->segment, 1024));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	/* Its checksum was compared when it was received. */
	EXPECT_EQ(0x00018100, request.frame);
	vmtp_abort(self->client);
	drain(self->tun);
	ASSERT_EQ(0, set_option(self->client, VMTP_OPT_CHECKSUM, VMTP_CHECKSUM_NONE));
	ASSERT_EQ(0, start_null(self->client, SERVER));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	EXPECT_EQ(0, request.sum);
}

/* How many packets longer than the link allows the stack has seen on their way out. */
static long long_packets(void)
{
	FILE *from = popen("nft list counter ip t long | sed -n 's/.*packets \\([0-9]*\\).*/\\1/p'", "r");
	long count = -1;

	if (from) {
		if (fscanf(from, "%ld", &count) != 1)
			count = -1;
		pclose(from);
	}
	return count;
}

/* Shows: 2.13-a 2.13-b 3.2-n */
TEST_F(peer, a_group_leaves_in_the_same_packets_whether_or_not_it_crosses_the_stack_as_one)
{
	static const unsigned int sizes[] = { 2100, 2350, 2500, 5001, 16383, 16384 };
	static const __u32 sums[] = { VMTP_CHECKSUM_FULL, VMTP_CHECKSUM_HEADER, VMTP_CHECKSUM_NONE };
	static const unsigned char zeros[8];
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, system("nft 'table ip t { counter long { }; chain c { type filter hook output priority 0;"
			    " ip protocol 81 ip length > 1500 counter name long; }; }'"));
	for (int whole = 1; whole >= 0; whole--) {
		ASSERT_EQ(0, system(whole ? "ethtool -K tun0 gso on >/dev/null" : "ethtool -K tun0 gso off >/dev/null"));
		for (int i = 0; i < 18; i++) {
			unsigned int size = sizes[i % 6], block = 0;
			__u32 sum = sums[i / 6];

			ASSERT_EQ(0, set_option(self->client, VMTP_OPT_CHECKSUM, sum));
			drain(self->tun);
			vmtp_request(&mcb, SERVER, APPLICATION);
			ASSERT_EQ(0, start(self->client, &mcb, self->segment, size));
			while (512 * block < size) {
				unsigned int at = block * 512, octets = size - at, blocks;

				/* The last takes what fits between headers of IP and VMTP, and the checksum. */
				if (octets > 1500 - 20 - OVERHEAD)
					octets = 1024;
				blocks = (octets + 511) / 512;
				/* Its length and its checksum were compared when it was received. */
				ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
				EXPECT_EQ(((1U << blocks) - 1) << block, packet.delivery);
				EXPECT_EQ((octets + 7) & ~7U, packet.octets);
				EXPECT_EQ(size, packet.segment_size);
				EXPECT_EQ(0, memcmp(self->segment + at, packet.data, octets));
				EXPECT_EQ(0, memcmp(zeros, packet.data + octets, packet.octets - octets));
				EXPECT_EQ(sum == VMTP_CHECKSUM_HEADER, !!(packet.frame & W_HCO));
				EXPECT_EQ(sum == VMTP_CHECKSUM_NONE, !packet.sum);
				block += blocks;
			}
			vmtp_abort(self->client);
		}
		EXPECT_EQ(18, long_packets());
	}
	/* 2, 2, 3, 5, 16 and 16 packets each time, counted as they are on the wire. */
	EXPECT_LE(2 * 3 * 44, counter("OutPackets"));
}

/* Routers may cut them, and put together again what has the same identification. */
TEST_F(peer, packets_that_may_be_fragmented_have_identifications_of_their_own)
{
	__u16 before = 0;
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, system("ip route add 10.81.0.2/32 dev tun0 mtu lock 1400"));
	vmtp_request(&mcb, SERVER, APPLICATION);
	ASSERT_EQ(0, start(self->client, &mcb, self->segment, VMTP_GROUP_SIZE));
	for (int i = 0; i < 16; i++) {
		ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
		EXPECT_EQ(3U << 2 * i, packet.delivery);
		if (i)
			EXPECT_EQ((__u16)(before + 1), packet.identification);
		before = packet.identification;
	}
}

/* Shows: D-13-b D-13-c */
TEST_F(peer, a_request_to_a_group_is_one_multicast_with_mpg)
{
	__u64 group = vmtp_entity(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP, 565338, 0x24080049);
	struct packet request;

	/* 0 is one like another: IP keeps it on the host if there are members here. */
	for (int ttl = 0; ttl <= 5; ttl++) {
		ASSERT_EQ(0, set_option(self->client, VMTP_OPT_MULTICAST_TTL, ttl));
		ASSERT_EQ(0, start_null(self->client, group));
		ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
		/* D-13: 232 and the low 24 bits of the discriminator. */
		EXPECT_EQ(0xE8000000 | (565338 & 0xFFFFFF), request.destination);
		EXPECT_EQ(1 << W_DOMAIN | W_MPG, request.frame);
		EXPECT_EQ(ttl, request.ttl);
		EXPECT_EQ(group, request.server);
		vmtp_abort(self->client);
		drain(self->tun);
	}
}

TEST_F(peer, a_request_to_a_broadcast_address_wants_so_broadcast)
{
	__u32 everybody = 0x0AFFFFFF;
	struct packet request;

	ASSERT_EQ(0, system("ip route add broadcast 10.255.255.255 dev tun0 table local"));
	EXPECT_ERRNO(EACCES, start_null(self->client, little_endian(300000, everybody)));
	EXPECT_EQ(0, drain(self->tun));
	ASSERT_EQ(0, setsockopt(self->client, SOL_SOCKET, SO_BROADCAST, &(int){ 1 }, sizeof(int)));
	ASSERT_EQ(0, start_null(self->client, little_endian(300000, everybody)));
	ASSERT_TRUE(receive_packet(self->tun, &request, 0));
	EXPECT_EQ(everybody, request.destination);
}

/* Shows: 2.8-a */
TEST_F(peer, a_datagram_is_sent_once_and_not_waited_for)
{
	struct packet request;
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, SERVER, APPLICATION | VMTP_DGM);
	ASSERT_EQ(0, vmtp_invoke(self->client, &mcb, NULL, 0, NULL, 0, 0));
	ASSERT_TRUE(receive_packet(self->tun, &request, 0));
	EXPECT_EQ(APPLICATION | VMTP_DGM, request.code);
	/* Longer than TC1 before anything was measured. */
	EXPECT_FALSE(receive_packet(self->tun, &request, 900));
	EXPECT_EQ(POLLOUT, ready(self->client));
}

TEST_HARNESS_MAIN
