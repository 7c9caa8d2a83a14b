// SPDX-License-Identifier: GPL-2.0
/*
 * Packet groups cross the stack as one sk_buff (GSO). There are two kinds:
 *
 * A long packet is sent: one header, all blocks, and a checksum over them, as on a way with a large MTU. It is parted at
 * the device, by who knows the protocol, or not at all if it stays on this machine. Then it goes only to a VMTP of this
 * kernel, which is known by a number in what it sent.
 *
 * A train is what gro.c joins of single packets of a wire: the first with the others in its list. Each packet is complete,
 * header and checksum included, so that parting them is taking the list apart.
 *
 * A socket of another kind that listens on the way sees either as one, as it does with TCP.
 */
#include <net/gso.h>

#include "bindings.h"
#include "train.h"

static u32 vmtp_origin __read_mostly;
static vmtp_part_t *vmtp_part __read_mostly;

/* Whether the first packet is as it was: what was pulled out of the others, or cut, would leave with it. */
static bool first_is_whole(struct sk_buff *skb)
{
	return pskb_may_pull(skb, VMTP_HEADER) && skb_pagelen(skb) == vmtp_octets(skb->data);
}

/*
 * Everything on the way makes room for its headers in front of the first packet only: the others get it here, where the
 * headers of the first are to be copied to each. Their data begin behind their IP header.
 */
static int make_room(struct sk_buff *skb)
{
	unsigned int headers = skb_tnl_header_len(skb) + skb_mac_header_len(skb);
	struct sk_buff **place, *packet;

	/* The list must be nobody else's. */
	if (skb_unclone(skb, GFP_ATOMIC))
		return -ENOMEM;
	for (place = &skb_shinfo(skb)->frag_list; (packet = *place); place = &packet->next) {
		int lacks = (int)headers - skb_network_offset(packet) - (int)skb_headroom(packet);

		if (lacks <= 0)
			continue;
		if (skb_shared(packet)) {
			struct sk_buff *clone = skb_clone(packet, GFP_ATOMIC);

			if (!clone)
				return -ENOMEM;
			clone->next = packet->next;
			*place = clone;
			consume_skb(packet);
			packet = clone;
		}
		if (pskb_expand_head(packet, SKB_DATA_ALIGN(lacks), 0, GFP_ATOMIC))
			return -ENOMEM;
	}
	return 0;
}

/*
 * A packet of so many octets, not yet written, with all the headers that the long packet has in front, of which it is a
 * part; *payload is where they go. NULL without memory.
 */
struct sk_buff *vmtp_helper_part_alloc(struct sk_buff *whole, unsigned int octets, u8 **payload)
{
	unsigned int headers = whole->data - skb_mac_header(whole), tunnel = skb_tnl_header_len(whole);
	unsigned int before = skb_headroom(whole) - headers;
	struct sk_buff *part = alloc_skb(before + headers + octets, GFP_ATOMIC);

	if (!part)
		return NULL;
	/* As far from the head as in the other, so that where its headers are need not be corrected. */
	skb_reserve(part, before);
	__skb_put(part, headers + octets);
	skb_copy_header(part, whole);
	skb_gso_reset(part);
	part->ip_summed = CHECKSUM_NONE;
	vmtp_helper_skb_set_origin(part);
	memcpy(part->data - tunnel, skb_mac_header(whole) - tunnel, tunnel + headers);
	*payload = part->data + headers;
	return part;
}

/* Each packet is charged to who owned the whole, as by __udp_gso_segment(). */
static void share_owner(struct sk_buff *whole, struct sk_buff *packets)
{
	struct sock *sk = whole->sk;
	int more = -(int)whole->truesize;
	struct sk_buff *packet;

	if (whole->destructor != sock_wfree)
		return;
	for (packet = packets; packet; packet = packet->next) {
		packet->sk = sk;
		packet->destructor = sock_wfree;
		more += packet->truesize;
	}
	whole->sk = NULL;
	whole->destructor = NULL;
	if (more >= 0)
		refcount_add(more, &sk->sk_wmem_alloc);
	else
		WARN_ON_ONCE(refcount_sub_and_test(-more, &sk->sk_wmem_alloc));
}

/* A tunnel in front may need the sum over what is behind the headers, for a checksum of its own. */
static void sum_for_tunnel(struct sk_buff *packets, unsigned int headers)
{
	struct sk_buff *packet;

	for (packet = packets; packet; packet = packet->next) {
		SKB_GSO_CB(packet)->csum_start = skb_headroom(packet) + headers;
		SKB_GSO_CB(packet)->csum = skb_checksum(packet, headers, packet->len - headers, 0);
	}
}

static struct sk_buff *part_long(struct sk_buff *skb)
{
	struct sk_buff *packets, *last;

	if (!pskb_may_pull(skb, VMTP_HEADER))
		return ERR_PTR(-ENOMEM);
	packets = vmtp_part(skb, skb_shinfo(skb)->gso_size);
	if (IS_ERR(packets))
		return packets;
	for (last = packets; last->next; last = last->next)
		;
	packets->prev = last;
	share_owner(skb, packets);
	/* The stack took one off for each tunnel of UDP that it came through, and would miss it. */
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	return packets;
}

static struct sk_buff *part_train(struct sk_buff *skb, netdev_features_t features)
{
	struct sk_buff *packets, *packet;
	const struct iphdr *first;

	if (!first_is_whole(skb))
		return ERR_PTR(-EINVAL);
	if (make_room(skb))
		return ERR_PTR(-ENOMEM);
	packets = skb_segment_list(skb, features, skb_mac_header_len(skb));
	if (IS_ERR(packets))
		return packets;
	/* What routers and firewalls have changed on the way; the rest is done by IP. */
	first = ip_hdr(packets);
	for (packet = packets->next; packet; packet = packet->next) {
		struct iphdr *ip = ip_hdr(packet);

		ip->tos = first->tos;
		ip->ttl = first->ttl;
		ip->saddr = first->saddr;
		ip->daddr = first->daddr;
	}
	return packets;
}

static struct sk_buff *vmtp_gso_segment(struct sk_buff *skb, netdev_features_t features)
{
	unsigned int headers = skb->data - skb_mac_header(skb);
	struct sk_buff *packets;

	if (!(skb_shinfo(skb)->gso_type & SKB_GSO_FRAGLIST))
		return ERR_PTR(-EINVAL);
	packets = skb_has_frag_list(skb) ? part_train(skb, features) : part_long(skb);
	if (!IS_ERR(packets) && skb->encap_hdr_csum)
		sum_for_tunnel(packets, headers);
	return packets;
}

static const struct net_offload vmtp_offload = {
	.callbacks = {
		.gso_segment = vmtp_gso_segment,
		.gro_receive = vmtp_gro_receive,
		.gro_complete = vmtp_gro_complete,
	},
};

int vmtp_helper_trains_begin(u8 protocol, vmtp_part_t *part)
{
	if (!vmtp_origin)
		vmtp_origin = get_random_u32() | 1;
	vmtp_part = part;
	vmtp_gro_begin();
	return inet_add_offload(&vmtp_offload, protocol);
}

void vmtp_helper_trains_end(u8 protocol)
{
	vmtp_gro_end();
	inet_del_offload(&vmtp_offload, protocol);
}

/* Whether a route takes long packets; whole says that they need not be parted. */
bool vmtp_helper_rt_takes_long(const struct rtable *rt, bool whole)
{
	netdev_features_t features;

	rcu_read_lock();
	features = READ_ONCE(dst_dev_rcu(&rt->dst)->features);
	rcu_read_unlock();

	return features & NETIF_F_GSO && (whole || !(features & NETIF_F_GSO_FRAGLIST)) &&
	       !(rt->rt_flags & (RTCF_MULTICAST | RTCF_BROADCAST)) && !rt->dst.header_len && !rt->dst.lwtstate &&
	       !dst_xfrm(&rt->dst);
}

/* A number in what does not survive a wire: nobody else's packets have it. */
void vmtp_helper_skb_set_origin(struct sk_buff *skb)
{
	skb_shinfo(skb)->tskey = vmtp_origin;
}

bool vmtp_helper_skb_is_of_this_kernel(const struct sk_buff *skb)
{
	return skb_shinfo(skb)->tskey == vmtp_origin;
}

/* Makes a packet a long one, of so many parts whose longest has so many octets; IP compares that with the MTU. */
void vmtp_helper_skb_set_parts(struct sk_buff *skb, unsigned int octets, unsigned int parts)
{
	struct skb_shared_info *shared = skb_shinfo(skb);

	/* Each has an IP identification of its own. */
	shared->gso_type = SKB_GSO_FRAGLIST;
	shared->gso_size = octets;
	shared->gso_segs = parts;
	/* Nobody is to look for a checksum of the transport. */
	skb->ip_summed = CHECKSUM_UNNECESSARY;
}

/* Of how many parts a packet is; 1 if it is no long one. */
unsigned int vmtp_helper_skb_parts(const struct sk_buff *skb)
{
	const struct skb_shared_info *shared = skb_shinfo(skb);

	return shared->gso_type & SKB_GSO_FRAGLIST ? max_t(unsigned int, shared->gso_segs, 1) : 1;
}

/*
 * A packet whose data a driver has left in pages of its own cannot be coupled: a copy costs less than what that saves.
 * Without memory it stays as it is and goes on alone.
 */
static void flatten(struct sk_buff *skb)
{
	if (skb_is_nonlinear(skb))
		__skb_linearize(skb);
}

/*
 * Takes the packets behind the first out of a received train: a chain that belongs to the caller. Those for which there
 * is no memory are lost, as on a wire.
 */
struct sk_buff *vmtp_helper_train_part(struct sk_buff *skb)
{
	struct sk_buff *chain, *packet, **place = &chain;
	const struct iphdr *first;

	if (!skb_is_gso(skb) || !(skb_shinfo(skb)->gso_type & SKB_GSO_FRAGLIST) || !skb_has_frag_list(skb))
		return NULL;
	/* Somebody else may look at it: then the list is theirs, too. */
	if (skb_unclone(skb, GFP_ATOMIC)) {
		/* Too long for a packet, so that it is dropped. */
		return NULL;
	}
	chain = skb_shinfo(skb)->frag_list;
	skb_shinfo(skb)->frag_list = NULL;
	skb_gso_reset(skb);
	first = ip_hdr(skb);
	while ((packet = *place)) {
		struct sk_buff *next = packet->next;
		struct iphdr *ip;

		skb->len -= packet->len;
		skb->data_len -= packet->len;
		skb->truesize -= packet->truesize;
		if (skb_shared(packet)) {
			struct sk_buff *copy = skb_clone(packet, GFP_ATOMIC);

			consume_skb(packet);
			packet = copy;
		}
		if (packet && skb_unclone(packet, GFP_ATOMIC)) {
			kfree_skb(packet);
			packet = NULL;
		}
		if (!packet) {
			*place = next;
			continue;
		}
		flatten(packet);
		*place = packet;
		packet->next = next;
		place = &packet->next;
		packet->dev = skb->dev;
		packet->skb_iif = skb->skb_iif;
		packet->tstamp = skb->tstamp;
		packet->mark = skb->mark;
		packet->pkt_type = skb->pkt_type;
		ip = ip_hdr(packet);
		ip->tos = first->tos;
		ip->ttl = first->ttl;
		ip->saddr = first->saddr;
		ip->daddr = first->daddr;
	}
	flatten(skb);
	return chain;
}

/* The reverse, for packets of one message that are kept and freed together. */
void vmtp_helper_train_couple(struct sk_buff *first, struct sk_buff *last, struct sk_buff *skb)
{
	skb->next = NULL;
	if (last == first)
		skb_shinfo(first)->frag_list = skb;
	else
		last->next = skb;
	first->len += skb->len;
	first->data_len += skb->len;
	first->truesize += skb->truesize;
}

struct sk_buff *const *vmtp_helper_train_list(const struct sk_buff *skb)
{
	return &skb_shinfo(skb)->frag_list;
}
