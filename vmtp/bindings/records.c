// SPDX-License-Identifier: GPL-2.0
/*
 * Records: counted, in a hash table, with a timer each. In Rust each inline function of the headers that these need
 * would be a call of its own.
 */
#include "bindings.h"

/* ---- records ---- */

/* kmalloc() would give 1,024 octets for 513. NULL if there is no memory. */
struct kmem_cache *vmtp_helper_record_cache(const char *name, unsigned int size)
{
	return kmem_cache_create(name, size, __alignof__(struct vmtp_record_head), 0, NULL);
}

/* Freed by vmtp_helper_record_free_rcu(), whatever it is of. */
void *vmtp_helper_record_alloc(struct kmem_cache *cache, size_t size, gfp_t flags)
{
	return cache ? kmem_cache_alloc(cache, flags) : kmalloc(size, flags);
}

void vmtp_helper_record_init(struct vmtp_record_head *head, u64 key)
{
	head->key = key;
	refcount_set(&head->references, 1);
	head->linked = 0;
	head->age = (struct vmtp_age){};
	head->aged = 0;
	head->used = 0;
}

void vmtp_helper_record_get(struct vmtp_record_head *head)
{
	refcount_inc(&head->references);
}

bool vmtp_helper_record_get_unless_zero(struct vmtp_record_head *head)
{
	return refcount_inc_not_zero(&head->references);
}

bool vmtp_helper_record_put(struct vmtp_record_head *head)
{
	return refcount_dec_and_test(&head->references);
}

void vmtp_helper_record_free_rcu(struct vmtp_record_head *head)
{
	kfree_rcu(head, rcu);
}

unsigned int vmtp_helper_record_references(const struct vmtp_record_head *head)
{
	return refcount_read(&head->references);
}

/* ---- hash tables ---- */

/* rhashtable gives each table a random seed of 32 bits; it is hashed with a secret of 128 bits (64-bit processors). */
static hsiphash_key_t vmtp_hash_secret __read_mostly;

/*
 * The first tables are made, one after the other, while the module is being initialized. Not get_random_once(): it
 * holds a reference to the module for a moment longer, and rmmod right after insmod would be refused.
 */
static void vmtp_hash_make_secret(void)
{
	if (!vmtp_hash_secret.key[0] && !vmtp_hash_secret.key[1])
		get_random_bytes(&vmtp_hash_secret, sizeof(vmtp_hash_secret));
}

static u32 vmtp_hash(const void *data, u32 length, u32 seed)
{
	const u32 *key = data;

	return hsiphash_3u32(key[0], key[1], seed, &vmtp_hash_secret);
}

/* One comparison, where the default is a call of memcmp(). */
static int vmtp_compare(struct rhashtable_compare_arg *wanted, const void *object)
{
	const struct vmtp_record_head *head = object;

	return *(const u64 *)wanted->key != head->key;
}

static const struct rhashtable_params vmtp_params = {
	.key_len = sizeof(u64),
	.key_offset = offsetof(struct vmtp_record_head, key),
	.head_offset = offsetof(struct vmtp_record_head, node),
	.hashfn = vmtp_hash,
	.obj_cmpfn = vmtp_compare,
	.automatic_shrinking = true,
};

int vmtp_helper_table_init(struct rhashtable *table)
{
	vmtp_hash_make_secret();
	return rhashtable_init(table, &vmtp_params);
}

int vmtp_helper_table_insert(struct rhashtable *table, struct vmtp_record_head *head)
{
	return rhashtable_lookup_insert_fast(table, &head->node.rhead, vmtp_params);
}

int vmtp_helper_table_remove(struct rhashtable *table, struct vmtp_record_head *head)
{
	return rhashtable_remove_fast(table, &head->node.rhead, vmtp_params);
}

/* With a reference, unless it is on its way out. */
struct vmtp_record_head *vmtp_helper_table_get(struct rhashtable *table, u64 key)
{
	struct vmtp_record_head *head;

	rcu_read_lock();
	head = rhashtable_lookup(table, &key, vmtp_params);
	if (head && !refcount_inc_not_zero(&head->references))
		head = NULL;
	rcu_read_unlock();
	return head;
}

int vmtp_helper_list_init(struct rhltable *table)
{
	vmtp_hash_make_secret();
	return rhltable_init(table, &vmtp_params);
}

int vmtp_helper_list_insert(struct rhltable *table, struct vmtp_record_head *head)
{
	return rhltable_insert(table, &head->node, vmtp_params);
}

int vmtp_helper_list_remove(struct rhltable *table, struct vmtp_record_head *head)
{
	return rhltable_remove(table, &head->node, vmtp_params);
}

struct vmtp_record_head *vmtp_helper_list_lookup(struct rhltable *table, const u64 *key)
{
	struct rhlist_head *node = rhltable_lookup(table, key, vmtp_params);

	return node ? container_of(node, struct vmtp_record_head, node) : NULL;
}

struct vmtp_record_head *vmtp_helper_list_next(struct vmtp_record_head *head)
{
	struct rhlist_head *node = rcu_dereference(head->node.next);

	return node ? container_of(node, struct vmtp_record_head, node) : NULL;
}

unsigned int vmtp_helper_table_count(const struct rhashtable *table)
{
	return atomic_read(&table->nelems);
}

bool vmtp_helper_is_err(const void *pointer)
{
	return IS_ERR(pointer);
}

/* ---- timer ---- */

/* Each is of some of the timers: held for moments, and seldom. One in each timer would make every record larger. */
#define VMTP_TIMER_LOCK_BITS	6

static spinlock_t vmtp_timer_locks[1 << VMTP_TIMER_LOCK_BITS] = {
	[0 ... (1 << VMTP_TIMER_LOCK_BITS) - 1] = __SPIN_LOCK_UNLOCKED(vmtp_timer_locks)
};

static spinlock_t *vmtp_timer_lock_of(const void *timer)
{
	return &vmtp_timer_locks[hash_ptr(timer, VMTP_TIMER_LOCK_BITS)];
}

void vmtp_helper_timer_lock(const void *timer)
{
	spin_lock_bh(vmtp_timer_lock_of(timer));
}

void vmtp_helper_timer_unlock(const void *timer)
{
	spin_unlock_bh(vmtp_timer_lock_of(timer));
}

bool vmtp_helper_hrtimer_is_queued(const struct hrtimer *timer)
{
	return hrtimer_is_queued((struct hrtimer *)timer);
}
