// SPDX-License-Identifier: GPL-2.0
/*
 * Trains: packets for one host that cross the stack as one sk_buff (GSO), the first with the others in its list, and
 * are parted at the device, or not at all if they stay on this machine. Each packet is complete, header and checksum
 * included, so that parting them is taking the list apart.
 *
 * gro.c joins single packets of a wire to trains.
 *
 * A socket of another kind that listens on the way sees a train as one long packet, as it does with TCP. So trains that
 * no device parts go only to a VMTP of this kernel, which is known by a number in what it sent.
 */
#include <net/gso.h>

#include "bindings.h"
#include "train.h"

static u32 vmtp_origin __read_mostly;

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

static struct sk_buff *vmtp_gso_segment(struct sk_buff *skb, netdev_features_t features)
{
	struct sk_buff *packets, *packet;
	const struct iphdr *first;

	if (!(skb_shinfo(skb)->gso_type & SKB_GSO_FRAGLIST))
		return ERR_PTR(-EINVAL);
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

static const struct net_offload vmtp_offload = {
	.callbacks = {
		.gso_segment = vmtp_gso_segment,
		.gro_receive = vmtp_gro_receive,
		.gro_complete = vmtp_gro_complete,
	},
};

int vmtp_helper_trains_begin(u8 protocol)
{
	if (!vmtp_origin)
		vmtp_origin = get_random_u32() | 1;
	vmtp_gro_begin();
	return inet_add_offload(&vmtp_offload, protocol);
}

void vmtp_helper_trains_end(u8 protocol)
{
	vmtp_gro_end();
	inet_del_offload(&vmtp_offload, protocol);
}

/* Whether a route takes trains; whole says that they need not be parted. */
bool vmtp_helper_rt_trains(const struct rtable *rt, bool whole)
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

/*
 * Puts a packet at the end of a train, if there is room; both have their IP headers. Its size is that of the longest
 * packet, so that IP compares that with the MTU.
 */
bool vmtp_helper_train_add(struct sk_buff *first, struct sk_buff *last, struct sk_buff *skb)
{
	struct skb_shared_info *shared = skb_shinfo(first);
	unsigned int octets = skb->len - sizeof(struct iphdr);

	if (first->len + octets > VMTP_TRAIN_OCTETS)
		return false;
	skb_pull(skb, sizeof(struct iphdr));
	if (last == first) {
		shared->frag_list = skb;
		shared->gso_type = VMTP_TRAIN_GSO;
		shared->gso_size = first->len - sizeof(struct iphdr);
		shared->gso_segs = 1;
		/* Nobody is to look for a checksum of the transport. */
		first->ip_summed = CHECKSUM_UNNECESSARY;
	} else {
		last->next = skb;
	}
	shared->gso_size = max_t(unsigned int, shared->gso_size, octets);
	shared->gso_segs++;
	first->len += octets;
	first->data_len += octets;
	first->truesize += skb->truesize;
	return true;
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
