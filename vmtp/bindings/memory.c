// SPDX-License-Identifier: GPL-2.0
/*
 * Memory for packets and segments. Debian's allocator fills all it gives with zeros (init_on_alloc), which for a small
 * packet costs more than everything else about it, and nobody reads these before they are written. So short segments
 * come from a cache with a constructor, which is not filled, and packets that were received, and are nobody else's, are
 * sent again.
 */
#include <linux/skbuff_ref.h>
#include <linux/slab.h>

#include "bindings.h"

/* ---- segments ---- */

/* A word is added to each object, which makes a multiple of a cache line. */
#define VMTP_SEGMENT_SIZE	248

static struct kmem_cache *vmtp_segments;

static void vmtp_segment_constructor(void *object)
{
}

/* Freed by kfree(). */
void *vmtp_helper_segment_alloc(size_t size, gfp_t flags)
{
	return size <= VMTP_SEGMENT_SIZE ? kmem_cache_alloc(vmtp_segments, flags) : kmalloc(size, flags);
}

/* log2 of the pages of a packet group: one piece of memory for each costs less to get, to share and to copy. */
#define VMTP_ROW_ORDER	2

/*
 * So many pages, or fewer, one behind another: *count is how many, each of which is to be put. NULL if there is none. The
 * system makes no effort for more than one.
 */
struct page *vmtp_helper_pages_alloc(unsigned int wanted, unsigned int *count, gfp_t flags)
{
	struct page *page = NULL;

	*count = 1;
	if (wanted >= 1 << VMTP_ROW_ORDER)
		page = alloc_pages((flags & ~__GFP_DIRECT_RECLAIM) | __GFP_COMP | __GFP_NOWARN | __GFP_NORETRY,
				   VMTP_ROW_ORDER);
	if (!page)
		return alloc_page(flags);
	*count = 1 << VMTP_ROW_ORDER;
	page_ref_add(page, *count - 1);
	return page;
}

/* Whether others than the owner of all that was got with this page have a part of it. */
bool vmtp_helper_page_is_shared(const struct page *page)
{
	const struct folio *folio = page_folio(page);

	return folio_ref_count(folio) != folio_nr_pages(folio);
}

/* How many pages were given in one piece from this one on. */
unsigned int vmtp_helper_page_row(const struct page *page)
{
	const struct folio *folio = page_folio(page);

	return folio_nr_pages(folio) - folio_page_idx(folio, page);
}

void vmtp_helper_put_page(struct page *page)
{
	put_page(page);
}

void *vmtp_helper_page_address(const struct page *page)
{
	return page_address(page);
}

/* ---- packets ---- */

/* Two kinds: of small packets, and of those that fill an Ethernet frame. Both are sizes of the kernel's own caches. */
static const unsigned int vmtp_pool_room[] = { 320, 1600 };
#define VMTP_POOL_ROOM_MOST	4096
#define VMTP_POOL_PACKETS	32

struct vmtp_pool {
	struct sk_buff *first;
	unsigned int packets;
};

static DEFINE_PER_CPU(struct vmtp_pool[ARRAY_SIZE(vmtp_pool_room)], vmtp_pools);

static bool vmtp_may_recycle(struct sk_buff *skb)
{
	/* What lies in a pool is not seen by KASAN when it is used after its end. */
	return !IS_ENABLED(CONFIG_KASAN) && refcount_read(&skb->users) == 1 && !skb->cloned &&
	       skb->fclone == SKB_FCLONE_UNAVAILABLE && !skb->head_frag && !skb->pp_recycle && !skb->pfmemalloc &&
	       !skb_has_frag_list(skb) && !skb_zcopy(skb);
}

/* Lets go of the pages behind the header; the packet is charged to nobody. */
static void vmtp_drop_pages(struct sk_buff *skb)
{
	for (int i = 0; i < skb_shinfo(skb)->nr_frags; i++)
		skb_frag_unref(skb, i);
	skb_shinfo(skb)->nr_frags = 0;
}

static bool vmtp_recycle(struct sk_buff *skb)
{
	unsigned int room = skb_end_offset(skb);
	struct vmtp_pool *pool;
	bool kept;

	if (!vmtp_may_recycle(skb) || room < vmtp_pool_room[0] || room > VMTP_POOL_ROOM_MOST)
		return false;
	/* Nobody else has it: this is all that consume_skb() would look at. */
	skb_dst_drop(skb);
	skb_orphan(skb);
	nf_reset_ct(skb);
	skb_ext_reset(skb);
	vmtp_drop_pages(skb);
	/* What is left if the pool is full. */
	skb->len = 0;
	skb->data_len = 0;
	local_bh_disable();
	pool = &(*this_cpu_ptr(&vmtp_pools))[room >= vmtp_pool_room[1]];
	kept = pool->packets < VMTP_POOL_PACKETS;
	if (kept) {
		skb->next = pool->first;
		pool->first = skb;
		pool->packets++;
	}
	local_bh_enable();
	return kept;
}

/* As consume_skb(). */
void vmtp_helper_consume_skb(struct sk_buff *skb)
{
	/* Of those that were coupled here each packet; in the list of a train as it came others may have a part. */
	if (unlikely(skb_has_frag_list(skb)) && !skb_is_gso(skb) && refcount_read(&skb->users) == 1 && !skb->cloned) {
		struct sk_buff *packet, *next;

		skb_orphan(skb);
		packet = skb_shinfo(skb)->frag_list;
		skb_shinfo(skb)->frag_list = NULL;
		for (; packet; packet = next) {
			next = packet->next;
			packet->next = NULL;
			skb->len -= packet->len;
			skb->data_len -= packet->len;
			skb->truesize -= packet->truesize;
			if (!vmtp_recycle(packet))
				consume_skb(packet);
		}
	}
	if (!vmtp_recycle(skb))
		consume_skb(skb);
}

/* As alloc_skb(). */
struct sk_buff *vmtp_helper_alloc_skb(unsigned int size, gfp_t flags)
{
	int kind = size > vmtp_pool_room[0];
	struct vmtp_pool *pool;
	struct sk_buff *skb;
	unsigned int whole;
	void *head;

	if (size > vmtp_pool_room[1])
		return alloc_skb(size, flags);
	local_bh_disable();
	pool = &(*this_cpu_ptr(&vmtp_pools))[kind];
	skb = pool->first;
	if (skb) {
		pool->first = skb->next;
		pool->packets--;
	}
	local_bh_enable();
	if (!skb)
		return alloc_skb(vmtp_pool_room[kind], flags);
	head = skb->head;
	whole = skb_end_offset(skb) + SKB_DATA_ALIGN(sizeof(struct skb_shared_info));
	/* In two parts, as in net/core/skbuff.c, so that neither is a call. */
	memset(skb, 0, 128);
	barrier();
	memset((void *)skb + 128, 0, offsetof(struct sk_buff, tail) - 128);
	build_skb_around(skb, head, whole);
	/* It took the head for a piece of a page. */
	skb->head_frag = 0;
	skb->pfmemalloc = 0;
	return skb;
}

/* ---- slots ---- */

/*
 * A few octets behind the pages that a packet shares must lie in a page, too. Pages of our own are small enough that a
 * packet which somebody keeps does not hold much more than it is charged for.
 */
struct vmtp_slots {
	struct page *page;
	unsigned int used;
};

static DEFINE_PER_CPU(struct vmtp_slots, vmtp_slots);

/* 16 octets at *offset of a page, with a reference to it; NULL without memory. */
struct page *vmtp_slot_get(unsigned int *offset)
{
	struct vmtp_slots *slots;
	struct page *page;

	local_bh_disable();
	slots = this_cpu_ptr(&vmtp_slots);
	/* Nobody else has it any more: from the beginning. */
	if (slots->page && slots->used && page_ref_count(slots->page) == 1)
		slots->used = 0;
	if (slots->page && slots->used + VMTP_SLOT > PAGE_SIZE) {
		put_page(slots->page);
		slots->page = NULL;
	}
	if (!slots->page) {
		slots->page = alloc_page(GFP_ATOMIC | __GFP_NOWARN);
		slots->used = 0;
	}
	page = slots->page;
	if (page) {
		get_page(page);
		*offset = slots->used;
		slots->used += VMTP_SLOT;
	}
	local_bh_enable();
	return page;
}

/* ---- what received packets are charged to ---- */

/*
 * What a socket has reserved of the protocol's memory is no atomic number, so it changes only under the lock of the
 * socket's (otherwise unused) receive queue.
 */
static void vmtp_uncharge(struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	spin_lock_bh(&sk->sk_receive_queue.lock);
	sock_rfree(skb);
	spin_unlock_bh(&sk->sk_receive_queue.lock);
}

/* To the receive memory of sk until the packet is freed, instead of what it was charged to. False if there is none. */
bool vmtp_helper_skb_charge(struct sk_buff *skb, struct sock *sk)
{
	bool scheduled;

	skb_orphan(skb);
	spin_lock_bh(&sk->sk_receive_queue.lock);
	scheduled = sk_rmem_schedule(sk, skb, skb->truesize);
	if (scheduled) {
		skb_set_owner_r(skb, sk);
		skb->destructor = vmtp_uncharge;
		sock_skb_set_dropcount(sk, skb);
	}
	spin_unlock_bh(&sk->sk_receive_queue.lock);
	return scheduled;
}

/* ---- the module's begin and end ---- */

int vmtp_helper_memory_begin(void)
{
	vmtp_segments = kmem_cache_create("vmtp_segment", VMTP_SEGMENT_SIZE, 0, SLAB_HWCACHE_ALIGN,
					  vmtp_segment_constructor);
	return vmtp_segments ? 0 : -ENOMEM;
}

void vmtp_helper_memory_end(void)
{
	int cpu, kind;

	for_each_possible_cpu(cpu) {
		struct vmtp_slots *slots = per_cpu_ptr(&vmtp_slots, cpu);

		if (slots->page)
			put_page(slots->page);
		slots->page = NULL;
		for (kind = 0; kind < ARRAY_SIZE(vmtp_pool_room); kind++) {
			struct vmtp_pool *pool = &(*per_cpu_ptr(&vmtp_pools, cpu))[kind];

			while (pool->first) {
				struct sk_buff *skb = pool->first;

				pool->first = skb->next;
				skb->next = NULL;
				consume_skb(skb);
			}
		}
	}
	/* What held segments is freed by RCU, but the segments are freed before. */
	kmem_cache_destroy(vmtp_segments);
}
