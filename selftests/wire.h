/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A VMTP peer that is not the module: packets made and taken apart as RFC 1045
 * describes them, written from its text alone, over a TUN device.
 *
 * The device hands a packet to the kernel within write() and has the answer
 * that the kernel makes at once before write() returns: what does not come then
 * comes by a timer or not at all.
 */
#ifndef WIRE_H
#define WIRE_H

#include "host.h"

#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <net/route.h>

#define HOST		0x0A510001U	/* 10.81.0.1: the module */
#define PEER		0x0A510002U	/* 10.81.0.2: the test; it may take other addresses of the net too */
#define OTHER		0x0A510003U
#define SOURCE(n)	(0x0A510064U + (n) % 100)	/* 10.81.0.100 and on */
#define MANAGERS	0xE0000100U	/* 224.0.1.0 */

/* ---- The header (3.2) --------------------------------------------------------- */

#define HEADER_SIZE	64
#define OVERHEAD	68
#define PACKET_SIZE	(OVERHEAD + VMTP_GROUP_SIZE)

/* Word at 8 */
#define W_VERSION	29
#define W_DOMAIN	16
#define W_HCO		0x8000U
#define W_EPG		0x4000U
#define W_MPG		0x2000U
#define W_LENGTH	0x1FFFU

/* Control word, at 12 */
#define C_NRS		0x80000000U
#define C_APG		0x40000000U
#define C_NSR		0x20000000U
#define C_NER		0x10000000U
#define C_NRT		0x08000000U
#define C_MDG		0x04000000U
#define C_CMG		0x02000000U
#define C_STI		0x01000000U
#define C_DRT		0x00800000U
#define C_RETRANSMIT	20	/* 3 bits */
#define C_FORWARD	16	/* 4 bits */
#define C_GAP		8	/* 8 bits */
#define C_PRIORITY	4	/* 4 bits */
#define C_RESERVED	0x0000000EU
#define C_RESPONSE	0x00000001U

/* A packet in host byte order. */
struct packet {
	__u32 source, destination;	/* IP */
	__u8 ttl, tos;
	__u16 identification;
	__u64 client;
	__u32 frame;			/* the word at 8 */
	__u32 control, transaction, delivery;
	__u64 server;
	__u32 code;
	__u32 user[5];			/* octets 36 to 55 */
	__u32 msg_delivery, segment_size;
	__u32 sum;
	size_t octets;			/* of data, padding included */
	unsigned char data[VMTP_GROUP_SIZE];
};

/* The octets of an IP payload. */
struct octets {
	size_t length;
	unsigned char at[PACKET_SIZE + 64];
};

static inline void put32(unsigned char *to, __u32 value)
{
	to[0] = value >> 24;
	to[1] = value >> 16;
	to[2] = value >> 8;
	to[3] = value;
}

static inline __u32 get32(const unsigned char *from)
{
	return (__u32)from[0] << 24 | (__u32)from[1] << 16 | (__u32)from[2] << 8 | from[3];
}

static inline void put64(unsigned char *to, __u64 value)
{
	put32(to, value >> 32);
	put32(to + 4, value);
}

static inline __u64 get64(const unsigned char *from)
{
	return (__u64)get32(from) << 32 | get32(from + 4);
}

/*
 * 2.5.2: two ones-complement sums of 16-bit words, one over the odd clusters of
 * 16 words and one over the even ones; 0 is sent as 0xFFFF.
 */
static inline __u32 checksum(const unsigned char *octets, size_t length)
{
	__u32 sums[2] = { 0, 0 };

	for (size_t i = 0; i < length; i += 2) {
		__u32 *sum = &sums[i / 32 % 2];

		*sum += (__u32)octets[i] << 8 | (i + 1 < length ? octets[i + 1] : 0);
		*sum = (*sum & 0xFFFF) + (*sum >> 16);
	}
	for (int i = 0; i < 2; i++)
		if (!sums[i])
			sums[i] = 0xFFFF;
	return sums[0] << 16 | sums[1];
}

/* Computes the checksum of octets that end with one; header_only as HCO says. */
static inline void seal(struct octets *octets)
{
	size_t covered = octets->length - 4;

	if (octets->at[10] & 0x80)
		covered = HEADER_SIZE;
	put32(octets->at + octets->length - 4, checksum(octets->at, covered));
}

/* Length in the frame word is what octets says, unless the packet says otherwise. */
static inline void encode(const struct packet *packet, struct octets *to)
{
	__u32 frame = packet->frame;

	if (!(frame & W_LENGTH))
		frame |= packet->octets / 4;
	put64(to->at, packet->client);
	put32(to->at + 8, frame);
	put32(to->at + 12, packet->control);
	put32(to->at + 16, packet->transaction);
	put32(to->at + 20, packet->delivery);
	put64(to->at + 24, packet->server);
	put32(to->at + 32, packet->code);
	for (int i = 0; i < 5; i++)
		put32(to->at + 36 + 4 * i, packet->user[i]);
	put32(to->at + 56, packet->msg_delivery);
	put32(to->at + 60, packet->segment_size);
	memcpy(to->at + HEADER_SIZE, packet->data, packet->octets);
	to->length = OVERHEAD + packet->octets;
	seal(to);
}

/* False if it is no packet with a correct size and checksum. */
static inline bool decode(const unsigned char *from, size_t length, struct packet *packet)
{
	struct octets again;

	if (length < OVERHEAD || length > PACKET_SIZE)
		return false;
	packet->client = get64(from);
	packet->frame = get32(from + 8);
	packet->control = get32(from + 12);
	packet->transaction = get32(from + 16);
	packet->delivery = get32(from + 20);
	packet->server = get64(from + 24);
	packet->code = get32(from + 32);
	for (int i = 0; i < 5; i++)
		packet->user[i] = get32(from + 36 + 4 * i);
	packet->msg_delivery = get32(from + 56);
	packet->segment_size = get32(from + 60);
	packet->octets = length - OVERHEAD;
	memcpy(packet->data, from + HEADER_SIZE, packet->octets);
	packet->sum = get32(from + length - 4);
	if ((packet->frame & W_LENGTH) * 4 != packet->octets || packet->octets % 8)
		return false;
	memcpy(again.at, from, length);
	again.length = length;
	seal(&again);
	return packet->sum == 0 || packet->sum == get32(again.at + length - 4);
}

/* The mask of the blocks that octets fill. */
static inline __u32 blocks_of(size_t octets)
{
	size_t blocks = (octets + VMTP_BLOCK_SIZE - 1) / VMTP_BLOCK_SIZE;

	return blocks >= 32 ? 0xFFFFFFFFU : (1U << blocks) - 1;
}

/* Puts these blocks of a segment into a packet. */
static inline void carry(struct packet *packet, const unsigned char *segment, size_t size, __u32 blocks)
{
	packet->code |= VMTP_SDA;
	packet->segment_size = size;
	packet->delivery = blocks;
	packet->octets = 0;
	for (unsigned int i = 0; i < 32; i++) {
		size_t start = (size_t)i * VMTP_BLOCK_SIZE;
		size_t octets = start >= size ? 0 : size - start;

		if (!(blocks & 1U << i) || !octets)
			continue;
		if (octets > VMTP_BLOCK_SIZE)
			octets = VMTP_BLOCK_SIZE;
		memcpy(packet->data + packet->octets, segment + start, octets);
		packet->octets += octets;
	}
	while (packet->octets % 8)
		packet->data[packet->octets++] = 0xFF;
}

static inline void request_packet(struct packet *packet, __u64 client, __u64 server, __u32 transaction)
{
	memset(packet, 0, offsetof(struct packet, data));
	packet->source = PEER;
	packet->destination = HOST;
	packet->client = client;
	packet->frame = 1 << W_DOMAIN;
	packet->transaction = transaction;
	packet->server = server;
	packet->code = APPLICATION;
}

/* As the server that got it (or server, if that is not 0) answers a Request. */
static inline void response_packet(struct packet *packet, const struct packet *request, __u64 server)
{
	request_packet(packet, request->client, server ? server : request->server, request->transaction);
	packet->source = request->destination;
	packet->destination = request->source;
	packet->control = C_RESPONSE | (request->control & 7U << C_RETRANSMIT);
	packet->code = VMTP_OK;
}

/* ---- Notify operations (III) ---------------------------------------------------- */

#define PROCEDURE(code)		((code) & VMTP_CODE_MASK)
#define P_PROBE_ENTITY		0x000101
#define P_QUERY_NODE		0x000104
#define P_NOTIFY_CLIENT		0x00010F
#define P_NOTIFY_SERVER		0x000110
#define P_NOTIFY_REMOTE		0x000111

static inline bool is_notify_client(const struct packet *packet)
{
	return !(packet->control & C_RESPONSE) && packet->server == VMTP_MANAGER_GROUP &&
	       PROCEDURE(packet->code) == P_NOTIFY_CLIENT;
}

static inline bool is_notify_server(const struct packet *packet)
{
	return !(packet->control & C_RESPONSE) && packet->server == VMTP_MANAGER_GROUP &&
	       PROCEDURE(packet->code) == P_NOTIFY_SERVER;
}

static inline bool is_probe(const struct packet *packet)
{
	return !(packet->control & C_RESPONSE) && packet->server == VMTP_MANAGER_GROUP &&
	       PROCEDURE(packet->code) == P_PROBE_ENTITY;
}

/* client | ctrl, recSeq, transact | delivery | code */
struct notify_client {
	__u64 client;
	__u32 control, receive_sequence, transaction, delivery, code;
};

static inline struct notify_client notify_client_of(const struct packet *packet)
{
	return (struct notify_client){
		.client = (__u64)packet->user[0] << 32 | packet->user[1],
		.control = packet->user[2],
		.receive_sequence = packet->user[3],
		.transaction = packet->user[4],
		.delivery = packet->msg_delivery,
		.code = packet->segment_size,
	};
}

/* server | client, transact | delivery | code */
struct notify_server {
	__u64 server, client;
	__u32 transaction, delivery, code;
};

static inline struct notify_server notify_server_of(const struct packet *packet)
{
	return (struct notify_server){
		.server = (__u64)packet->user[0] << 32 | packet->user[1],
		.client = (__u64)packet->user[2] << 32 | packet->user[3],
		.transaction = packet->user[4],
		.delivery = packet->msg_delivery,
		.code = packet->segment_size,
	};
}

#define PEER_MANAGER	little_endian(0xA0A0A0, PEER)

static inline void notify_client_packet(struct packet *packet, __u64 client, __u32 control, __u32 transaction,
					__u32 delivery, __u32 code)
{
	static __u32 own_transaction = 0x1000;

	request_packet(packet, PEER_MANAGER, VMTP_MANAGER_GROUP, own_transaction++);
	packet->code = VMTP_PROC_NOTIFY_CLIENT;
	packet->user[0] = client >> 32;
	packet->user[1] = client;
	packet->user[2] = control;
	packet->user[4] = transaction;
	packet->msg_delivery = delivery;
	packet->segment_size = code;
}

static inline void notify_server_packet(struct packet *packet, __u64 server, __u64 client, __u32 transaction,
					__u32 delivery, __u32 code)
{
	static __u32 own_transaction = 0x2000;

	request_packet(packet, PEER_MANAGER, VMTP_MANAGER_GROUP, own_transaction++);
	packet->code = VMTP_PROC_NOTIFY_SERVER;
	packet->user[0] = server >> 32;
	packet->user[1] = server;
	packet->user[2] = client >> 32;
	packet->user[3] = client;
	packet->user[4] = transaction;
	packet->msg_delivery = delivery;
	packet->segment_size = code;
}

static inline void probe_packet(struct packet *packet, __u64 prober, __u64 coresident, __u64 entity, __u32 domain,
				__u32 transaction)
{
	request_packet(packet, prober, VMTP_MANAGER_GROUP, transaction);
	packet->code = VMTP_PROC_PROBE_ENTITY;
	packet->user[0] = coresident >> 32;
	packet->user[1] = coresident;
	packet->user[2] = entity >> 32;
	packet->user[3] = entity;
	packet->user[4] = domain;
}

/* ---- The link -------------------------------------------------------------------- */

static inline __u16 ip_sum(const unsigned char *octets, size_t length)
{
	__u32 sum = 0;

	for (size_t i = 0; i < length; i += 2)
		sum += (__u32)octets[i] << 8 | octets[i + 1];
	while (sum >> 16)
		sum = (sum & 0xFFFF) + (sum >> 16);
	return ~sum;
}

/*
 * Makes tun0 in the present namespace: this host is HOST/24 there, all else is the test. Returns its descriptor. The
 * link says that it has so many Mb/s, if that is not 0.
 */
static inline int link_make_speed(int mtu, int mbps)
{
	struct ethtool_cmd speed = { .cmd = ETHTOOL_SSET };
	struct ifreq ifr = { .ifr_name = "tun0", .ifr_flags = IFF_TUN | IFF_NO_PI };
	struct sockaddr_in address = { .sin_family = AF_INET };
	struct rtentry route = { .rt_flags = RTF_UP, .rt_dev = "tun0" };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), tun;

	if (access("/dev/net/tun", F_OK) && system("modprobe tun"))
		return -1;
	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &ifr))
		return -1;
	address.sin_addr.s_addr = htonl(HOST);
	memcpy(&ifr.ifr_addr, &address, sizeof(address));
	if (ioctl(fd, SIOCSIFADDR, &ifr))
		return -1;
	ifr.ifr_mtu = mtu;
	if (ioctl(fd, SIOCSIFMTU, &ifr))
		return -1;
	ethtool_cmd_speed_set(&speed, mbps);
	ifr.ifr_data = (void *)&speed;
	if (mbps && ioctl(fd, SIOCETHTOOL, &ifr))
		return -1;
	ifr.ifr_flags = IFF_UP | IFF_RUNNING | IFF_MULTICAST | IFF_POINTOPOINT | IFF_NOARP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr))
		return -1;
	address.sin_addr.s_addr = htonl(HOST & 0xFFFFFF00);
	memcpy(&route.rt_dst, &address, sizeof(address));
	address.sin_addr.s_addr = htonl(0xFFFFFF00);
	memcpy(&route.rt_genmask, &address, sizeof(address));
	if (ioctl(fd, SIOCADDRT, &route) && errno != EEXIST)
		return -1;
	address.sin_addr.s_addr = htonl(0xE0000000);
	memcpy(&route.rt_dst, &address, sizeof(address));
	address.sin_addr.s_addr = htonl(0xF0000000);
	memcpy(&route.rt_genmask, &address, sizeof(address));
	if (ioctl(fd, SIOCADDRT, &route))
		return -1;
	close(fd);
	return tun;
}

static inline int link_make(int mtu)
{
	return link_make_speed(mtu, 0);
}

/* The octets as the payload of one IP packet of this protocol. */
static inline bool send_ip(int tun, __u32 source, __u32 destination, __u8 protocol, const void *payload, size_t length)
{
	unsigned char ip[20 + sizeof(struct octets)] = { 0x45 };
	__u16 sum;

	ip[2] = (20 + length) >> 8;
	ip[3] = 20 + length;
	ip[8] = 64;
	ip[9] = protocol;
	put32(ip + 12, source);
	put32(ip + 16, destination);
	sum = ip_sum(ip, 20);
	ip[10] = sum >> 8;
	ip[11] = sum;
	memcpy(ip + 20, payload, length);
	return write(tun, ip, 20 + length) == (ssize_t)(20 + length);
}

static inline bool send_octets(int tun, const struct octets *octets)
{
	return send_ip(tun, PEER, HOST, IPPROTO_VMTP, octets->at, octets->length);
}

static inline bool send_packet(int tun, const struct packet *packet)
{
	struct octets octets;

	encode(packet, &octets);
	return send_ip(tun, packet->source, packet->destination, IPPROTO_VMTP, octets.at, octets.length);
}

/* The manager of the Client answers a Probe: this is its Transaction now. */
static inline bool answer_probe(int tun, const struct packet *probe, __u32 code, __u32 transaction)
{
	struct packet packet;

	response_packet(&packet, probe, PEER_MANAGER);
	packet.code = code;
	packet.user[0] = transaction;
	return send_packet(tun, &packet);
}

/*
 * The next VMTP packet that the kernel sends, in this time; other packets are
 * left out. One that is not well formed is shown and makes the test stop.
 */
static inline bool receive_packet(int tun, struct packet *packet, int timeout_ms)
{
	static unsigned char ip[65536];
	long end = now_ms() + timeout_ms;

	for (;;) {
		ssize_t length = read(tun, ip, sizeof(ip));
		long left = end - now_ms();

		if (length < 0) {
			if (left < 0)
				left = 0;
			if (!comes(tun, POLLIN, left))
				return false;
			continue;
		}
		if (length < 20 || ip[0] != 0x45 || ip[9] != IPPROTO_VMTP)
			continue;
		packet->source = get32(ip + 12);
		packet->destination = get32(ip + 16);
		packet->ttl = ip[8];
		packet->tos = ip[1];
		packet->identification = ip[4] << 8 | ip[5];
		if (!decode(ip + 20, length - 20, packet)) {
			printf("# the host sent a malformed packet of %zd octets\n", length);
			abort();
		}
		return true;
	}
}

static inline bool is_response(const struct packet *packet)
{
	return packet->control & C_RESPONSE;
}

/* The next packet of which this is true; others are left out. */
static inline bool next_of(int tun, bool (*wanted)(const struct packet *), struct packet *packet, int timeout_ms)
{
	long end = now_ms() + timeout_ms;

	do {
		long left = end - now_ms();

		if (!receive_packet(tun, packet, left > 0 ? left : 0))
			return false;
	} while (!wanted(packet));
	return true;
}

/* How many VMTP packets the kernel has sent already; they are thrown away. */
static inline int drain(int tun)
{
	struct packet packet;
	int count = 0;

	while (receive_packet(tun, &packet, 0))
		count++;
	return count;
}

#endif /* WIRE_H */
