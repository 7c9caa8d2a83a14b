// SPDX-License-Identifier: GPL-2.0
/*
 * Packets for the module from a peer that knows the protocol and breaks it: it
 * answers what the host sends, rightly or nearly so, takes up transactions in
 * every state, and damages some packets on the way. Behind them stand sockets
 * that serve, stall, filter and call (see hosts.h). At the end an honest Client
 * must be served, and every reason to drop a packet must have been met.
 */
#include "fuzz.h"
#include "hosts.h"

#define CLIENTS		48
#define CLIENT(i)	little_endian(200000 + (i), PEER + (i) % 3)
#define KEPT		64

static int tun;

/* What is going on: the last packets of either side, to be answered, repeated or changed. */
static struct packet heard[KEPT], said[KEPT];
static int heard_count, said_count;
static __u32 transactions[CLIENTS];

static long sent, correct, replies, requests, notifies, damaged;

/* ---- Packets ------------------------------------------------------------------------- */

static unsigned char segment[VMTP_GROUP_SIZE];

static __u32 some_flags(void)
{
	static const __u32 flags[] = {
		C_NRS, C_APG, C_NSR, C_NER, C_NRT, C_MDG, C_CMG, C_STI, C_DRT, C_APG, C_APG, 0, 0, 0,
	};

	return once_in(2) ? 0 : ONE_OF(flags) | (once_in(4) ? ONE_OF(flags) : 0);
}

static __u32 some_code(void)
{
	static const __u32 flags[] = { VMTP_CMD, VMTP_DGM, VMTP_MDM, VMTP_CRE, 0x08000000 /* RES */ };

	return (once_in(8) ? odd_word() & VMTP_CODE_MASK : APPLICATION) | (once_in(4) ? ONE_OF(flags) : 0);
}

/* A part of a segment of this size, or all of it, or none, which asks for the rest. */
static void some_part(struct packet *packet, size_t size)
{
	__u32 all = blocks_of(size), blocks = all;

	if (once_in(3))
		blocks = all & fuzz();
	else if (once_in(6))
		blocks = 0;
	/* Larger packets than the link has are made of fragments there: enough of them. */
	while (__builtin_popcount(blocks) > (once_in(16) ? 32 : 2))
		blocks &= blocks - 1;
	carry(packet, segment, size, blocks);
}

static __u64 some_server(void)
{
	return once_in(24) ? GROUP : once_in(24) ? SERVER(77) : SERVER(below(SERVERS));
}

/* A Request, new, of a run, or of a transaction that is under way. */
static void make_request(struct packet *packet)
{
	static const __u32 sizes[] = { 1, 8, 511, 512, 513, 1024, 4000, 16383, 16384 };
	__u32 client = below(CLIENTS);

	if (!once_in(3))
		transactions[client]++;
	else if (once_in(8))
		transactions[client] += below(520);
	request_packet(packet, CLIENT(client), some_server(), transactions[client] - (once_in(8) ? below(4) : 0));
	packet->source = PEER + client % 3;
	packet->code = some_code();
	packet->control = some_flags() | below(8) << C_RETRANSMIT;
	if (once_in(16))
		packet->control |= below(16) << C_FORWARD;
	if (once_in(16))
		packet->control |= below(256) << C_GAP | below(16) << C_PRIORITY;
	if (once_in(2))
		some_part(packet, once_in(8) ? odd_word() % (4 << 20) + 1 : ONE_OF(sizes));
	if (packet->segment_size > VMTP_GROUP_SIZE && once_in(2))
		packet->control |= C_CMG | C_NER;
	if (packet->code & VMTP_MDM)
		packet->msg_delivery = once_in(2) ? packet->delivery : fuzz();
	if (packet->server == GROUP || once_in(64)) {
		packet->frame |= W_MPG;
		packet->destination = 0xE8000042;
	}
}

/* A Response to a Request that the host sent: to a call, or to a Probe. */
static bool make_response(struct packet *packet)
{
	const struct packet *request;

	if (!heard_count)
		return false;
	request = &heard[below(heard_count)];
	if (request->control & C_RESPONSE)
		return false;
	response_packet(packet, request, is_probe(request) ? PEER_MANAGER : 0);
	packet->code = once_in(8) ? odd_word() & VMTP_CODE_MASK : once_in(8) ? VMTP_DGM : VMTP_OK;
	if (is_probe(request)) {
		packet->user[0] = once_in(4) ? fuzz() : transactions[below(CLIENTS)];
	} else {
		packet->control |= some_flags() & ~C_NRS;
		packet->transaction += once_in(8) ? below(260) : 0;
		if (once_in(2))
			some_part(packet, once_in(4) ? odd_word() % 100000 + 1 : 1 + below(VMTP_GROUP_SIZE));
		if (once_in(16))
			packet->control |= below(256) << C_GAP;
		if (once_in(16))
			packet->server = little_endian(below(1000000), PEER);
	}
	return true;
}

/* What one manager tells the other of a transaction that is under way, or of none. */
static void make_notify(struct packet *packet)
{
	__u32 code = once_in(16) ? odd_word() : below(25), mask = once_in(2) ? fuzz() : ~0U;
	const struct packet *about = heard_count ? &heard[below(heard_count)] : NULL;

	if (about && !is_probe(about) && about->server != VMTP_MANAGER_GROUP && !once_in(8)) {
		__u32 transaction = about->transaction + (once_in(8) ? below(6) - 3 : 0);

		if (about->control & C_RESPONSE)
			notify_server_packet(packet, about->server, about->client, transaction, mask, code);
		else
			notify_client_packet(packet, about->client, about->control & ~C_APG, transaction, mask, code);
	} else {
		__u32 client = below(CLIENTS);

		notify_server_packet(packet, SERVER(below(SERVERS)), CLIENT(client), transactions[client] - below(3),
				     mask, code);
	}
	if (once_in(8))
		packet->code = VMTP_PROC_NOTIFY_REMOTE_CLIENT;
}

/* A management operation with any parameters. */
static void make_procedure(struct packet *packet)
{
	request_packet(packet, CLIENT(below(CLIENTS)), VMTP_MANAGER_GROUP, fuzz());
	packet->code = VMTP_PROC_PROBE_ENTITY + below(24) - 2;
	for (int i = 0; i < 5; i++)
		packet->user[i] = odd_word();
	if (once_in(2)) {
		__u64 entity = once_in(2) ? some_server() : CLIENT(below(CLIENTS));

		packet->user[2] = entity >> 32;
		packet->user[3] = entity;
		packet->user[4] = 1;
	}
	packet->msg_delivery = odd_word();
	packet->segment_size = odd_word();
	if (once_in(4))
		some_part(packet, 1 + below(1024));
}

/* ---- The link --------------------------------------------------------------------------- */

/* Takes what the host has sent. */
static void hear(void)
{
	struct packet packet;

	while (receive_packet(tun, &packet, 0)) {
		int at = heard_count < KEPT ? heard_count++ : (int)below(KEPT);

		replies++;
		heard[at] = packet;
	}
}

static void put(const struct packet *packet, const struct octets *octets)
{
	struct packet again;

	if (decode(octets->at, octets->length, &again))
		correct++;
	else
		damaged++;
	send_ip(tun, packet->source, packet->destination, IPPROTO_VMTP, octets->at, octets->length);
	sent++;
}

/* Some of its bits are others; three times in four the checksum is that of the result. */
static void damage(struct octets *octets)
{
	switch (below(6)) {
	case 0:
		octets->length = below(octets->length + 1);
		break;
	case 1:
		octets->length += 1 + below(60);
		break;
	case 2:
		memset(octets->at + octets->length - 4, 0, 4);
		return;
	default:
		for (int i = 1 + below(4); i; i--)
			octets->at[below(octets->length)] ^= 1 << below(8);
	}
	if (octets->length >= OVERHEAD && octets->length % 2 == 0 && !once_in(4))
		seal(octets);
}

static void say(void)
{
	struct packet packet;
	struct octets octets;

	switch (below(16)) {
	case 0 ... 6:
		make_request(&packet);
		requests++;
		break;
	case 7 ... 10:
		if (!make_response(&packet))
			return;
		break;
	case 11 ... 12:
		make_notify(&packet);
		notifies++;
		break;
	case 13:
		make_procedure(&packet);
		break;
	default:
		if (!said_count)
			return;
		packet = said[below(said_count)];
		if (once_in(2))
			packet.control ^= 1U << below(32);
	}
	said[said_count < KEPT ? said_count++ : (int)below(KEPT)] = packet;
	encode(&packet, &octets);
	if (once_in(8))
		damage(&octets);
	put(&packet, &octets);
}

/* ---- The end ------------------------------------------------------------------------------ */

/* A Client that nobody has heard of, which answers its Probe, gets its Response. */
static bool honest_client_is_served(void)
{
	static __u32 number;
	struct packet packet, request, answer;
	long end = now_ms() + LONG_MS;

	request_packet(&request, little_endian(500000 + number++, OTHER + 5), SERVER(ECHO), 1);
	request.source = OTHER + 5;
	carry(&request, segment, 512, 1);
	while (now_ms() < end) {
		long again = now_ms() + 500;

		request.control = C_APG;
		send_packet(tun, &request);
		/* Others go on meanwhile. */
		while (now_ms() < again && receive_packet(tun, &packet, 500)) {
			if (is_probe(&packet) && packet.user[1] == OTHER + 5) {
				response_packet(&answer, &packet, little_endian(1, OTHER + 5));
				answer.user[0] = 1;
				send_packet(tun, &answer);
			}
			if (packet.client == request.client && packet.control & C_RESPONSE)
				return packet.octets == 512 && !memcmp(packet.data, segment, 512);
		}
	}
	return false;
}

/* All reasons but those that the host's memory, its probes and its own damage would have to give. */
static bool every_reason_was_met(void)
{
	static const char *const reasons[] = {
		"DropShort", "DropChecksum", "DropNoChecksum", "DropForeign", "DropProtocol", "DropNoEntity",
		"DropDuplicate", "DropHeaderOnly", "DropOld", "DropSequence", "DropUnwanted", "DropNoRoom", "DropFiltered",
	};
	bool all = true;

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		long count = counter(reasons[i]);

		printf("  %-16s %10ld\n", reasons[i], count);
		if (count <= 0) {
			printf("✗ %s was never met\n", reasons[i]);
			all = false;
		}
	}
	return all;
}

int main(int argc, char **argv)
{
	struct budget budget;
	__u64 seed = fuzz_arguments(argc, argv, &budget);
	long shown = now_ms();
	bool served, met;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (namespace_make() < 0 || (tun = link_make(1500)) < 0) {
		perror("namespace and link");
		return 1;
	}
	fuzz_seed(seed);
	fill(segment, sizeof(segment), 1);
	setting("packet_lifetime_ms", 500);
	setting("records_max", 256);
	hosts_start();
	for (int i = 0; i < CLIENTS; i++)
		transactions[i] = fuzz();
	while (!is_over(&budget, sent)) {
		say();
		if (once_in(4))
			hear();
		if (sent % 256 == 0 && now_ms() - shown > 5000) {
			shown = now_ms();
			printf("%9ld packets, %ld with the right checksum, %ld from the host, %ld Requests served, "
			       "%ld calls answered\n", sent, correct, replies, hosts_served, hosts_answered);
		}
	}
	served = honest_client_is_served();
	printf("seed %llu: %ld packets, of which %ld have the right checksum and %ld do not; %ld from the host\n",
	       (unsigned long long)seed, sent, correct, damaged, replies);
	printf("  %-16s %10ld\n  %-16s %10ld\n  %-16s %10ld\n  %-16s %10ld\n", "Requests served", hosts_served,
	       "calls answered", hosts_answered, "calls failed", hosts_failed, "records evicted",
	       counter("RecordsEvicted"));
	met = every_reason_was_met();
	hosts_stop();
	if (!served)
		printf("✗ an honest Client is not served any more\n");
	if (correct * 2 < sent)
		printf("✗ less than half of the packets were correct\n");
	return served && met && correct * 2 >= sent && hosts_served && hosts_answered ? 0 : 1;
}
