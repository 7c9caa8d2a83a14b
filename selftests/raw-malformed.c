// SPDX-License-Identifier: GPL-2.0
/*
 * Packets that are none, from a peer that is not the module: each is counted
 * and dropped, told its sender or not as it should be, and the host serves on.
 */
#include "wire.h"

#include "kselftest_harness.h"

#define SERVER	little_endian(100000, HOST)
/* Its address is another than the one it sends from: what is told goes where the packet came from. */
#define CLIENT	little_endian(200000, OTHER)

FIXTURE(peer)
{
	int tun, server;
	unsigned char segment[1024];
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

/* A good Request of two blocks: what the others differ from in one thing. */
static void good(struct packet *packet, const unsigned char *segment, __u32 transaction)
{
	request_packet(packet, CLIENT, SERVER, transaction);
	carry(packet, segment, 1024, 3);
}

static bool nothing_arrives(int fd)
{
	struct vmtp_mcb mcb;

	return vmtp_recvreq(fd, &mcb, NULL, 0, 0) < 0 && errno == EAGAIN;
}

/* The host does what it is for. */
static bool serves(int tun, int server, const unsigned char *segment, __u32 transaction)
{
	unsigned char octets[1024];
	struct packet packet;
	struct vmtp_mcb mcb;

	good(&packet, segment, transaction);
	packet.client += 1ULL << 32;
	drain(tun);
	if (!send_packet(tun, &packet) || vmtp_recvreq(server, &mcb, octets, sizeof(octets), 0) != sizeof(octets) ||
	    memcmp(octets, segment, sizeof(octets)))
		return false;
	vmtp_response(&mcb, VMTP_OK);
	if (vmtp_sendreply(server, &mcb, NULL, 0))
		return false;
	/* What is missing of other Requests is asked for meanwhile. */
	while (receive_packet(tun, &packet, LONG_MS))
		if (packet.control & C_RESPONSE)
			return packet.code == VMTP_OK && packet.destination == PEER && packet.client == mcb.client;
	return false;
}

/* ---- One thing wrong ---------------------------------------------------------------- */

struct wrong {
	const char *what;
	const char *counted;	/* the counter that moves by 1 */
	unsigned int told;	/* the code that the sender of a unicast packet is told; 0 for none */
	void (*harm)(struct packet *packet);		/* before the packet is encoded, */
	void (*damage)(struct octets *octets);		/* after it was and has its checksum, */
	void (*disguise)(struct octets *octets);	/* and here it gets the checksum anew */
};

static void longer(struct octets *octets)
{
	memset(octets->at + octets->length, 0, 8);
	octets->length += 8;
}

static void longer_unsummed(struct octets *octets)
{
	memset(octets->at + octets->length, 0xA5, 8);
	octets->length += 8;
}

static void shorter(struct octets *octets)
{
	octets->length -= 8;
}

static void odd_payload(struct octets *octets)
{
	octets->at[octets->length++] = 0;
}

static void odd_length(struct packet *packet)
{
	packet->octets = 12;
	packet->frame |= 3;
}

static void great_length(struct octets *octets)
{
	octets->at[10] = 4098 >> 8;
	octets->at[11] = 4098 & 0xFF;
	memset(octets->at + octets->length, 0, 68 + 4 * 4098 - octets->length);
	octets->length = 68 + 4 * 4098;
}

static void version_1(struct packet *packet) { packet->frame |= 1 << W_VERSION; }
static void domain_0(struct packet *packet) { packet->frame = 0; }
static void domain_2(struct packet *packet) { packet->frame = 2 << W_DOMAIN; }
static void domain_8191(struct packet *packet) { packet->frame = 8191 << W_DOMAIN; }
static void flip_client(struct octets *octets) { octets->at[5] ^= 0x10; }
static void flip_control(struct octets *octets) { octets->at[12] ^= 0x40; }
static void flip_transaction(struct octets *octets) { octets->at[19] ^= 1; }
static void flip_code(struct octets *octets) { octets->at[35] ^= 1; }
static void flip_user(struct octets *octets) { octets->at[55] ^= 0x80; }
static void flip_data(struct octets *octets) { octets->at[64 + 700] ^= 0x04; }
static void flip_sum(struct octets *octets) { octets->at[octets->length - 1] ^= 1; }
static void flip_epg(struct octets *octets) { octets->at[10] ^= 0x40; }
static void client_zero(struct packet *packet) { packet->client = 0; }
static void client_group(struct packet *packet) { packet->client |= VMTP_ENTITY_GROUP; }
static void client_reserved(struct packet *packet) { packet->client |= VMTP_ENTITY_RES; }
static void server_zero(struct packet *packet) { packet->server = 0; }
static void server_reserved(struct packet *packet) { packet->server |= VMTP_ENTITY_RES; }
static void no_segment(struct packet *packet) { packet->code &= ~VMTP_SDA; }
static void mask_beyond(struct packet *packet) { packet->delivery = 1U << 5 | 1; }
static void mask_short(struct packet *packet) { packet->delivery = 1; }
static void mask_long(struct packet *packet) { packet->delivery = 3; packet->octets = 512; }
static void cut(struct packet *packet) { packet->control |= C_CMG; }
static void encrypted(struct packet *packet) { packet->frame |= W_EPG; }

static void mask_without_segment(struct packet *packet)
{
	packet->code &= ~VMTP_SDA;
	packet->octets = 0;
}

static void great_group(struct packet *packet)
{
	packet->segment_size = VMTP_GROUP_SIZE + 1;
}

static void great_message(struct packet *packet)
{
	packet->segment_size = VMTP_MESSAGE_SIZE + 1;
	packet->control |= C_NER | C_CMG;
}

static void continued_without_segment(struct packet *packet)
{
	packet->control |= C_NER | C_CMG;
	packet->code &= ~VMTP_SDA;
	packet->octets = 0;
	packet->delivery = 0;
}

static void outside_message_mask(struct packet *packet)
{
	packet->code |= VMTP_MDM;
	packet->msg_delivery = 1;
}

static void message_mask_beyond(struct packet *packet)
{
	packet->code |= VMTP_MDM;
	packet->msg_delivery = 0x10003;
}

static const struct wrong wrongs[] = {
	{ "8 octets too many", "DropProtocol", VMTP_VMTP_ERROR, .disguise = longer },
	{ "8 octets too few", "DropProtocol", VMTP_VMTP_ERROR, .disguise = shorter },
	{ "8 octets too many and a wrong checksum", "DropChecksum", 0, .damage = longer_unsummed },
	{ "8 octets too many and no checksum", "DropProtocol", 0, .damage = longer },
	{ "8 octets too few and a wrong checksum", "DropChecksum", 0, .damage = shorter },
	{ "an odd number of octets", "DropChecksum", 0, .damage = odd_payload },
	{ "odd Length", "DropProtocol", VMTP_VMTP_ERROR, .harm = odd_length },
	{ "Length above 4096", "DropProtocol", VMTP_VMTP_ERROR, .disguise = great_length },
	{ "Version 1", "DropForeign", 0, .harm = version_1 },
	{ "Domain 0", "DropForeign", 0, .harm = domain_0 },
	{ "Domain 2", "DropForeign", 0, .harm = domain_2 },
	{ "Domain 8191", "DropForeign", 0, .harm = domain_8191 },
	{ "a damaged Client", "DropChecksum", 0, .damage = flip_client },
	{ "a damaged control word", "DropChecksum", 0, .damage = flip_control },
	{ "a damaged Transaction", "DropChecksum", 0, .damage = flip_transaction },
	{ "a damaged Code", "DropChecksum", 0, .damage = flip_code },
	{ "damaged user data", "DropChecksum", 0, .damage = flip_user },
	{ "damaged segment data", "DropChecksum", 0, .damage = flip_data },
	{ "a damaged checksum", "DropChecksum", 0, .damage = flip_sum },
	{ "a damaged EPG", "DropChecksum", 0, .damage = flip_epg },
	{ "Client 0", "DropProtocol", VMTP_VMTP_ERROR, .harm = client_zero },
	{ "a group as Client", "DropProtocol", VMTP_VMTP_ERROR, .harm = client_group },
	{ "RES in Client", "DropProtocol", VMTP_VMTP_ERROR, .harm = client_reserved },
	{ "Server 0", "DropProtocol", VMTP_VMTP_ERROR, .harm = server_zero },
	{ "RES in Server", "DropProtocol", VMTP_VMTP_ERROR, .harm = server_reserved },
	{ "data without SDA", "DropProtocol", VMTP_VMTP_ERROR, .harm = no_segment },
	{ "PacketDelivery without SDA", "DropProtocol", VMTP_VMTP_ERROR, .harm = mask_without_segment },
	{ "a block beyond SegmentSize", "DropProtocol", VMTP_VMTP_ERROR, .harm = mask_beyond },
	{ "more data than blocks", "DropProtocol", VMTP_VMTP_ERROR, .harm = mask_short },
	{ "more blocks than data", "DropProtocol", VMTP_VMTP_ERROR, .harm = mask_long },
	{ "SegmentSize above 16384 in one group", "DropProtocol", VMTP_VMTP_ERROR, .harm = great_group },
	{ "SegmentSize above 4 MiB", "DropProtocol", VMTP_VMTP_ERROR, .harm = great_message },
	{ "CMG without NER", "DropProtocol", VMTP_VMTP_ERROR, .harm = cut },
	{ "CMG without a segment", "DropProtocol", VMTP_VMTP_ERROR, .harm = continued_without_segment },
	{ "a block that is not in MsgDelivery", "DropProtocol", VMTP_VMTP_ERROR, .harm = outside_message_mask },
	{ "MsgDelivery beyond SegmentSize", "DropProtocol", VMTP_VMTP_ERROR, .harm = message_mask_beyond },
	{ "EPG", "DropForeign", VMTP_SECURITY_NOT_SUPPORTED, .harm = encrypted },
};

static void make_wrong(const struct wrong *wrong, const unsigned char *segment, __u32 transaction,
		       struct packet *packet, struct octets *octets)
{
	good(packet, segment, transaction);
	if (wrong->harm)
		wrong->harm(packet);
	encode(packet, octets);
	if (wrong->damage)
		wrong->damage(octets);
	if (wrong->disguise) {
		wrong->disguise(octets);
		seal(octets);
	}
}

/*
 * Shows: 3.1-b 3.2-a 3.2-i 3.2-m 3.2-r 4.7-a D-1-a D-6-b D-10-b D-15-a III-010F-a III-b D-16-b D-18-a
 *        VII.4-b
 */
TEST_F(peer, what_is_wrong_in_a_unicast_request_is_counted_and_told)
{
	struct packet packet, answer;
	struct octets octets;

	for (size_t i = 0; i < sizeof(wrongs) / sizeof(*wrongs); i++) {
		const struct wrong *wrong = &wrongs[i];
		__u32 transaction = 1000 + 10 * i;
		long before = counter(wrong->counted);
		struct notify_client notify;
		bool told;

		make_wrong(wrong, self->segment, transaction, &packet, &octets);
		ASSERT_TRUE(send_octets(self->tun, &octets));
		told = receive_packet(self->tun, &answer, 0);
		EXPECT_EQ(before + 1, counter(wrong->counted)) { TH_LOG("%s: %s", wrong->what, wrong->counted); }
		EXPECT_TRUE(nothing_arrives(self->server)) { TH_LOG("%s is delivered", wrong->what); }
		EXPECT_EQ(wrong->told != 0, told) { TH_LOG("%s: told or not", wrong->what); }
		if (!wrong->told || !told)
			continue;
		notify = notify_client_of(&answer);
		EXPECT_TRUE(is_notify_client(&answer)) { TH_LOG("%s", wrong->what); }
		EXPECT_EQ(VMTP_PROC_NOTIFY_CLIENT, answer.code);
		EXPECT_EQ(PEER, answer.destination);
		EXPECT_EQ(HOST, answer.source);
		EXPECT_EQ(wrong->told, notify.code) { TH_LOG("%s", wrong->what); }
		EXPECT_EQ(packet.client, notify.client) { TH_LOG("%s", wrong->what); }
		EXPECT_EQ(transaction, notify.transaction);
		EXPECT_EQ(0, drain(self->tun)) { TH_LOG("%s: more was sent", wrong->what); }
	}
	EXPECT_TRUE(serves(self->tun, self->server, self->segment, 5000));
}

/* Shows: D-18-b D-1-a 4.7-b */
TEST_F(peer, what_is_wrong_in_a_multicast_request_is_counted_only)
{
	struct packet packet;
	struct octets octets;

	for (size_t i = 0; i < sizeof(wrongs) / sizeof(*wrongs); i++) {
		const struct wrong *wrong = &wrongs[i];
		long before = counter(wrong->counted);

		make_wrong(wrong, self->segment, 1000 + 10 * i, &packet, &octets);
		ASSERT_TRUE(send_ip(self->tun, PEER, MANAGERS, IPPROTO_VMTP, octets.at, octets.length));
		EXPECT_EQ(before + 1, counter(wrong->counted)) { TH_LOG("%s: %s", wrong->what, wrong->counted); }
		EXPECT_EQ(0, drain(self->tun)) { TH_LOG("%s is told", wrong->what); }
		EXPECT_TRUE(nothing_arrives(self->server)) { TH_LOG("%s is delivered", wrong->what); }
	}
	EXPECT_TRUE(serves(self->tun, self->server, self->segment, 5000));
}

/* Shows: D-1-b */
TEST_F(peer, short_packets_are_dropped_in_silence)
{
	static const size_t lengths[] = { 0, 1, 12, 63, 64, 66, 67 };
	struct packet packet;
	struct octets octets;

	good(&packet, self->segment, 1000);
	encode(&packet, &octets);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		ASSERT_TRUE(send_ip(self->tun, PEER, HOST, IPPROTO_VMTP, octets.at, lengths[i]));
		EXPECT_EQ(i + 1, counter("DropShort")) { TH_LOG("%zu octets", lengths[i]); }
	}
	EXPECT_EQ(0, drain(self->tun));
	EXPECT_TRUE(serves(self->tun, self->server, self->segment, 5000));
}

/* Shows: 4.7-a */
TEST_F(peer, a_damaged_response_or_notify_changes_nothing)
{
	int client = open_entity(little_endian(200000, HOST));
	__u64 asked = little_endian(300000, PEER);
	struct packet request, packet;
	struct octets octets;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_null(client, asked));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	response_packet(&packet, &request, 0);
	encode(&packet, &octets);
	octets.at[35] ^= 2;
	ASSERT_TRUE(send_octets(self->tun, &octets));
	notify_client_packet(&packet, request.client, C_RESPONSE, request.transaction, 0, VMTP_NO_PERMISSION);
	encode(&packet, &octets);
	octets.at[36] ^= 2;
	ASSERT_TRUE(send_octets(self->tun, &octets));
	EXPECT_EQ(2, counter("DropChecksum"));
	EXPECT_EQ(0, ready(client));
	EXPECT_EQ(0, drain(self->tun));
	response_packet(&packet, &request, 0);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_getreply(client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_OK, mcb.code);
	close(client);
}

/* Shows: 4.5-b D-16-c III-0110-a */
TEST_F(peer, what_is_wrong_in_a_response_is_told_its_server)
{
	__u64 asked = little_endian(300000, PEER);
	struct packet packet, answer;
	struct notify_server notify;

	request_packet(&packet, SERVER, asked, 77);
	packet.control = C_RESPONSE;
	packet.delivery = 1;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(1, counter("DropProtocol"));
	ASSERT_TRUE(receive_packet(self->tun, &answer, 0));
	ASSERT_TRUE(is_notify_server(&answer));
	EXPECT_EQ(VMTP_PROC_NOTIFY_SERVER, answer.code);
	notify = notify_server_of(&answer);
	EXPECT_EQ(VMTP_VMTP_ERROR, notify.code);
	EXPECT_EQ(asked, notify.server);
	EXPECT_EQ(SERVER, notify.client);
	EXPECT_EQ(77, notify.transaction);
	EXPECT_EQ(0, notify.delivery);
}

/* ---- Checksums ------------------------------------------------------------------------ */

/* Shows: D-5-d */
TEST_F(peer, no_checksum_is_accepted_unless_the_entity_or_the_host_demands_one)
{
	struct packet packet;
	struct octets octets;
	struct vmtp_mcb mcb;

	for (int i = 0; i < 4; i++) {
		good(&packet, self->segment, 1000 + i);
		encode(&packet, &octets);
		put32(octets.at + octets.length - 4, 0);
		set_option(self->server, VMTP_OPT_CHECKSUM_REQUIRED, i == 1);
		ASSERT_EQ(0, setting("checksum_required", i == 2));
		ASSERT_TRUE(send_octets(self->tun, &octets));
		if (i == 1 || i == 2) {
			EXPECT_TRUE(nothing_arrives(self->server));
		} else {
			EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
		}
	}
	EXPECT_EQ(2, counter("DropNoChecksum"));
	EXPECT_EQ(0, drain(self->tun));
}

/* Shows: 2.5.2-a */
TEST_F(peer, hco_protects_the_header_alone)
{
	unsigned char got[1024];
	struct packet packet;
	struct octets octets;
	struct vmtp_mcb mcb;

	good(&packet, self->segment, 1000);
	packet.frame |= W_HCO;
	encode(&packet, &octets);
	octets.at[64] ^= 1;
	ASSERT_TRUE(send_octets(self->tun, &octets));
	ASSERT_EQ(1024, vmtp_recvreq(self->server, &mcb, got, sizeof(got), 0));
	EXPECT_EQ(self->segment[0] ^ 1, got[0]);
	EXPECT_TRUE(mcb.flags & VMTP_F_HCO);
	packet.transaction++;
	encode(&packet, &octets);
	octets.at[63] ^= 1;
	ASSERT_TRUE(send_octets(self->tun, &octets));
	EXPECT_TRUE(nothing_arrives(self->server));
	EXPECT_EQ(1, counter("DropChecksum"));
}

/* ---- Notify operations ------------------------------------------------------------------ */

/* Shows: D-17-b */
TEST_F(peer, a_notify_is_never_answered_whatever_is_wrong_with_it)
{
	struct packet packet;
	struct octets octets;

	for (int i = 0; i < 10; i++) {
		if (i % 2)
			notify_client_packet(&packet, SERVER, C_RESPONSE, 5, 0, VMTP_RETRY);
		else
			notify_server_packet(&packet, SERVER, CLIENT, 5, 0, VMTP_RETRY);
		if (i / 2 == 1)
			packet.control |= C_APG;
		if (i / 2 == 2)	/* an unknown entity */
			packet.user[0] ^= 0x123;
		if (i / 2 == 3)
			packet.delivery = 1;
		encode(&packet, &octets);
		if (i / 2 == 4) {
			longer(&octets);
			seal(&octets);
		}
		ASSERT_TRUE(send_octets(self->tun, &octets));
		EXPECT_EQ(0, drain(self->tun)) { TH_LOG("case %d", i); }
	}
	EXPECT_TRUE(nothing_arrives(self->server));
	EXPECT_TRUE(serves(self->tun, self->server, self->segment, 5000));
}

/* Shows: D-18-c */
TEST_F(peer, errors_are_told_each_source_at_a_limited_rate)
{
	struct packet packet;
	long begin = now_ms(), told = 0, seconds;
	int sent = 2000;

	request_packet(&packet, CLIENT, SERVER + (1ULL << 32), 1);
	for (int i = 0; i < sent; i++) {
		packet.transaction++;
		ASSERT_TRUE(send_packet(self->tun, &packet));
		told += drain(self->tun);
	}
	seconds = (now_ms() - begin) / 1000 + 1;
	EXPECT_GE(told, 1);
	EXPECT_LE(told, 64 * (seconds + 1));
	EXPECT_EQ(sent, told + counter("NotifiesLimited"));
	EXPECT_EQ(told, counter("OutNotifies"));
	packet.source = OTHER;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_TRUE(receive_packet(self->tun, &packet, 0));
	EXPECT_EQ(OTHER, packet.destination);
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, notify_client_of(&packet).code);
}

/* ---- Garbage ------------------------------------------------------------------------------ */

static __u32 random32(void)
{
	static __u64 state = 0x853C49E6748FEA9BULL;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return state >> 33 ^ state >> 9;
}

TEST_F(peer, garbage_with_a_correct_checksum_harms_nobody)
{
	static struct octets octets;
	struct vmtp_mcb mcb;
	int sent = 6000;

	ASSERT_EQ(0, setting("packet_lifetime_ms", 50));	/* records go soon */
	for (int i = 0; i < sent; i++) {
		octets.length = OVERHEAD + 8 * (random32() % 8 ? 0 : random32() % 100);
		for (size_t j = 0; j < octets.length; j += 4)
			put32(octets.at + j, random32());
		/* As much sense as it takes to come further in. */
		if (random32() % 8)
			put32(octets.at + 8, 1 << W_DOMAIN | (octets.length - OVERHEAD) / 4);
		if (random32() % 4)
			octets.at[0] = 0x20;
		if (random32() % 4)
			octets.at[24] = 0x20;
		if (random32() % 2)
			put64(octets.at, random32() % 2 ? CLIENT : SERVER);
		if (random32() % 2)
			put64(octets.at + 24, random32() % 2 ? SERVER : VMTP_MANAGER_GROUP);
		if (random32() % 2)
			put32(octets.at + 16, random32() % 8);
		if (random32() % 2)
			put32(octets.at + 32, 0x05000100 + random32() % 32);
		if (random32() % 4) {
			put32(octets.at + 60, (octets.length - OVERHEAD) - random32() % 8);
			put32(octets.at + 20, blocks_of(octets.length - OVERHEAD));
		}
		seal(&octets);
		ASSERT_TRUE(send_ip(self->tun, random32() % 2 ? PEER : OTHER, random32() % 8 ? HOST : MANAGERS,
				    IPPROTO_VMTP, octets.at, octets.length));
		drain(self->tun);
		while (vmtp_recvreq(self->server, &mcb, NULL, 0, 0) >= 0) {
			vmtp_response(&mcb, VMTP_OK);
			vmtp_sendreply(self->server, &mcb, octets.at, random32() % 600);
		}
	}
	EXPECT_GE(counter("InPackets"), sent);
	EXPECT_GE(counter("RequestsDelivered"), 1);
	EXPECT_GE(counter("InNotifies"), 1);
	EXPECT_TRUE(serves(self->tun, self->server, self->segment, 5000));
}

TEST_HARNESS_MAIN
