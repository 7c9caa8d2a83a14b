// SPDX-License-Identifier: GPL-2.0
/*
 * GRO: packets of one transmission of a packet group that a device receives one after another become a train (train.c)
 * and go through IP as one. Nothing is believed here but the octets by which packets are compared: each stays complete
 * behind the first, and where the train arrives each is checked by its own checksum.
 *
 * What is held goes on when the group's last packet is there, when a packet of the same entities comes that is not of
 * the group (so that none overtakes another), and at the latest when the device's poll ends.
 */
#include <linux/delay.h>
#include <net/gro.h>

#include "train.h"

/* The header (RFC 1045, 3.2): octets, and bits of the words at them. */
#define CLIENT		0		/* 8 octets */
#define DOMAIN		8		/* 3 bits of version, 13 of domain */
#define LENGTH		10
#define  EPG		0x4000
#define  MPG		0x2000
#define  WORDS		0x1fff
#define CONTROL		12
#define  CMG		0x02000000
#define  RESPONSE	0x00000001
#define DELIVERY	20
#define SERVER		24		/* 8 octets */
#define CODE		32
#define  SDA		0x10000000
#define SEGMENT_SIZE	60

#define INTERNET	1		/* the domain, in version 0 */
#define BLOCK		512
#define GROUP		16384

/* A group is at most 32 packets; they may come twice. */
#define TRAIN_PACKETS	64

/* Trains that have been begun and not yet gone on. */
static atomic_t trains_held;
static bool joining __read_mostly;

/* Whether a packet may become part of a train: a part of a segment, to one host, in clear. */
static bool may_join(const struct iphdr *ip, const u8 *header, unsigned int octets)
{
	u16 length = get_unaligned_be16(header + LENGTH);

	return get_unaligned_be16(header + DOMAIN) == INTERNET && !(length & (EPG | MPG)) &&
	       get_unaligned_be32(header + CODE) & SDA && get_unaligned_be32(header + DELIVERY) &&
	       octets == vmtp_octets(header) && !ipv4_is_multicast(ip->daddr);
}

/* Whether nothing of the group is sent behind this packet: it has the last block. */
static bool is_last(const u8 *header)
{
	u32 octets = get_unaligned_be32(header + SEGMENT_SIZE) % GROUP;

	if (get_unaligned_be32(header + CONTROL) & CMG || !octets)
		octets = GROUP;
	return get_unaligned_be32(header + DELIVERY) >> (octets - 1) / BLOCK;
}

/* Whether packets have the same entities in the same direction: such never overtake each other here. */
static bool same_entities(const u8 *a, const u8 *b)
{
	return !memcmp(a + CLIENT, b + CLIENT, 8) && !memcmp(a + SERVER, b + SERVER, 8) &&
	       !((a[CONTROL + 3] ^ b[CONTROL + 3]) & RESPONSE);
}

/* Whether packets are of one transmission of a group: their headers differ in Length and PacketDelivery only (2.13). */
static bool same_group(const u8 *a, const u8 *b)
{
	return !((get_unaligned_be16(a + LENGTH) ^ get_unaligned_be16(b + LENGTH)) & ~WORDS) &&
	       !memcmp(a + CONTROL, b + CONTROL, DELIVERY - CONTROL) && !memcmp(a + SERVER, b + SERVER, VMTP_HEADER - SERVER);
}

/* Whether IP treats packets alike, so that the header of one can stand for both on the way. */
static bool same_way(const struct iphdr *a, const struct iphdr *b)
{
	return a->tos == b->tos && a->ttl == b->ttl && a->frag_off == b->frag_off;
}

/* Puts a packet at the end of what is held: as the kernel's skb_gro_receive_list, with the transport's header. */
static bool join(struct sk_buff *held, struct sk_buff *skb)
{
	struct skb_shared_info *shared = skb_shinfo(held);
	unsigned int offset = skb_gro_offset(skb), octets = skb_gro_len(skb);

	if (held->len + octets > VMTP_TRAIN_OCTETS || NAPI_GRO_CB(held)->count >= TRAIN_PACKETS ||
	    !pskb_may_pull(skb, offset + VMTP_HEADER))
		return false;
	skb_pull(skb, offset);
	if (NAPI_GRO_CB(held)->count == 1) {
		atomic_inc(&trains_held);
		shared->frag_list = skb;
		shared->gso_size = held->len - offset;
	} else {
		NAPI_GRO_CB(held)->last->next = skb;
	}
	NAPI_GRO_CB(held)->last = skb;
	NAPI_GRO_CB(held)->count++;
	shared->gso_size = max_t(unsigned int, shared->gso_size, octets);
	shared->flags |= skb_shinfo(skb)->flags & SKBFL_SHARED_FRAG;
	/* Both are of one owner, if any (the caller's caller has compared that), who is charged through the first. */
	skb->destructor = NULL;
	skb->sk = NULL;
	held->truesize += skb->truesize;
	held->data_len += octets;
	held->len += octets;
	NAPI_GRO_CB(skb)->same_flow = 1;
	return true;
}

struct sk_buff *vmtp_gro_receive(struct list_head *head, struct sk_buff *skb)
{
	unsigned int offset = skb_gro_offset(skb);
	const u8 *header = skb_gro_header(skb, offset + VMTP_HEADER, offset);
	const struct iphdr *ip;
	struct sk_buff *held;
	bool joins, last;

	if (!header || !READ_ONCE(joining)) {
		NAPI_GRO_CB(skb)->flush = 1;
		return NULL;
	}
	ip = skb_gro_network_header(skb);
	joins = !NAPI_GRO_CB(skb)->flush && !NAPI_GRO_CB(skb)->encap_mark && !skb_is_gso(skb) &&
		skb->pkt_type == PACKET_HOST && may_join(ip, header, skb_gro_len(skb));
	last = joins && is_last(header);

	list_for_each_entry(held, head, list) {
		const u8 *other = held->data + offset;

		if (!NAPI_GRO_CB(held)->same_flow)
			continue;
		if (!same_entities(header, other)) {
			NAPI_GRO_CB(held)->same_flow = 0;
			continue;
		}
		if (joins && same_group(header, other) && same_way(ip, (const struct iphdr *)(other - sizeof(*ip))) &&
		    join(held, skb))
			return last ? held : NULL;
		NAPI_GRO_CB(skb)->flush |= !joins || last;
		if (!NAPI_GRO_CB(skb)->flush)
			skb_gro_pull(skb, VMTP_HEADER);
		return held;
	}
	NAPI_GRO_CB(skb)->flush |= !joins || last;
	/* Of what is held the header must be in reach. */
	if (!NAPI_GRO_CB(skb)->flush)
		skb_gro_pull(skb, VMTP_HEADER);
	return NULL;
}

/* A train goes on; IP has written its length. */
int vmtp_gro_complete(struct sk_buff *skb, int transport_offset)
{
	struct skb_shared_info *shared = skb_shinfo(skb);

	atomic_dec(&trains_held);
	shared->gso_type = VMTP_TRAIN_GSO;
	shared->gso_segs = NAPI_GRO_CB(skb)->count;
	/* Nobody is to look for a checksum of the transport. */
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	skb->csum_level = 0;
	return 0;
}

void vmtp_gro_begin(void)
{
	WRITE_ONCE(joining, true);
}

/*
 * Waits until no device holds a train: IP would miss our functions. Devices hold for one poll, or for their
 * gro_flush_timeout, which is less than a second; one that is removed meanwhile throws away what it holds.
 */
void vmtp_gro_end(void)
{
	WRITE_ONCE(joining, false);
	synchronize_net();
	for (int i = 0; i < 100 && atomic_read(&trains_held); i++)
		msleep(10);
	atomic_set(&trains_held, 0);
}
