// SPDX-License-Identifier: GPL-2.0
/*
 * A packet on its way out, in as few calls as there are decisions in between: made, given its IP header, sent. In Rust
 * each inline function of the headers that these need would be a call of its own.
 */
#include "bindings.h"

/* The room that headers of IP, of what is between, and of the device take. Of what a device needs later IP makes room. */
unsigned int vmtp_helper_rt_headroom(const struct rtable *rt)
{
	unsigned int head = rt->dst.header_len + sizeof(struct iphdr);

	rcu_read_lock();
	head += LL_RESERVED_SPACE(dst_dev_rcu(&rt->dst));
	rcu_read_unlock();
	return head;
}

/* A packet of so many octets of IP payload, not yet written, with so much room in front. */
struct sk_buff *vmtp_helper_packet_alloc(const struct rtable *rt, unsigned int head, unsigned int octets, gfp_t flags)
{
	struct sk_buff *skb = vmtp_helper_alloc_skb(head + octets + rt->dst.trailer_len, flags);

	if (skb) {
		skb_reserve(skb, head);
		skb_reset_transport_header(skb);
		__skb_put(skb, octets);
	}
	return skb;
}

/* Puts a part of a page, which is kept and not copied, behind what a packet has. False if that has too many parts. */
static bool add_part(struct sk_buff *skb, struct page *page, unsigned int offset, unsigned int octets, unsigned int occupied)
{
	int parts = skb_shinfo(skb)->nr_frags;

	if (parts >= MAX_SKB_FRAGS)
		return false;
	get_page(page);
	skb_add_rx_frag(skb, parts, page, offset, octets, occupied);
	return true;
}

/* The same for pages of a segment, which somebody else may read, but nobody write to any more. All that was got with them stays. */
bool vmtp_helper_packet_share(struct sk_buff *skb, struct page *page, unsigned int offset, unsigned int octets)
{
	skb_shinfo(skb)->flags |= SKBFL_SHARED_FRAG;
	return add_part(skb, page, offset, octets, page_size(compound_head(page)));
}

/* Puts a copy of a few octets, 16 at most, behind what a packet has. False without memory. */
bool vmtp_helper_packet_append(struct sk_buff *skb, const void *octets, unsigned int count)
{
	unsigned int offset;
	struct page *page = vmtp_slot_get(&offset);
	bool added;

	if (!page)
		return false;
	memcpy(page_address(page) + offset, octets, count);
	added = add_part(skb, page, offset, count, SMP_CACHE_BYTES);
	put_page(page);
	return added;
}

/* Puts the IP header in front, but for what ip_local_out() writes. False if there is no room for it. */
static bool write_ip(struct net *net, struct sk_buff *skb, const struct rtable *rt, const struct vmtp_ip *options)
{
	bool dont_fragment = options->dont_fragment && !ip_mtu_locked(&rt->dst);
	struct iphdr *ip;

	if (skb_headroom(skb) < sizeof(*ip))
		return false;
	skb_push(skb, sizeof(*ip));
	skb_reset_network_header(skb);
	ip = ip_hdr(skb);
	*(__be16 *)ip = htons(4 << 12 | 5 << 8 | options->tos);
	ip->frag_off = dont_fragment ? htons(IP_DF) : 0;
	ip->ttl = options->has_ttl ? options->ttl : ip4_dst_hoplimit(&rt->dst);
	ip->protocol = options->protocol;
	ip->saddr = (__force __be32)options->source;
	ip->daddr = (__force __be32)options->destination;
	ip->id = 0;
	if (!dont_fragment)
		__ip_select_ident(net, ip, vmtp_helper_skb_parts(skb));
	skb->priority = options->priority;
	skb->mark = options->mark;
	memset(IPCB(skb), 0, sizeof(*IPCB(skb)));
	vmtp_helper_skb_set_origin(skb);
	return true;
}

/*
 * Gives it its IP header and sends it along a route that is held as long as the call; owner, if there is one, is charged.
 * The packet is gone.
 */
int vmtp_helper_packet_send(struct net *net, struct sk_buff *skb, struct rtable *rt, const struct vmtp_ip *options,
			    struct sock *sender, struct sock *owner)
{
	int result;

	if (!write_ip(net, skb, rt, options)) {
		kfree_skb(skb);
		return -ENOBUFS;
	}
	if (owner)
		skb_set_owner_w(skb, owner);
	rcu_read_lock();
	skb_dst_set_noref(skb, &rt->dst);
	result = ip_local_out(net, sender, skb);
	rcu_read_unlock();
	return result;
}
