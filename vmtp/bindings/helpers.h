/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Prototypes of helpers.c, memory.c, packet.c and train.c, for bindgen and for the C compiler, and the structs that both languages know.
 */
#ifndef VMTP_BINDINGS_HELPERS_H
#define VMTP_BINDINGS_HELPERS_H

#include <linux/hrtimer.h>
#include <linux/netdevice.h>
#include <linux/refcount.h>
#include <linux/rhashtable.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <net/inet_sock.h>
#include <net/route.h>
#include <net/sock.h>

/*
 * What a hash table needs of a record; vmtp/kernel/record.rs puts it first in each. The tables that take one word
 * as the key use key[0].
 */
struct vmtp_age {
	struct vmtp_record_head *older;
	struct vmtp_record_head *younger;
};

struct vmtp_record_head {
	u64 key;
	struct rhlist_head node;
	union {
		/* While a list by age has it (vmtp/kernel/ages.rs). */
		struct vmtp_age age;
		/* When it has no references: no list has it. */
		struct rcu_head rcu;
	};
	refcount_t references;
	u8 linked;
	u8 aged;
	u8 used;
};

/* memory.c */
int vmtp_helper_memory_begin(void);
void vmtp_helper_memory_end(void);
void *vmtp_helper_segment_alloc(size_t size, gfp_t flags);
struct page *vmtp_helper_pages_alloc(unsigned int wanted, unsigned int *count, gfp_t flags);
unsigned int vmtp_helper_page_row(const struct page *page);
bool vmtp_helper_page_is_shared(const struct page *page);
void vmtp_helper_put_page(struct page *page);
void *vmtp_helper_page_address(const struct page *page);
struct sk_buff *vmtp_helper_alloc_skb(unsigned int size, gfp_t flags);
void vmtp_helper_consume_skb(struct sk_buff *skb);
bool vmtp_helper_skb_charge(struct sk_buff *skb, struct sock *sk);
#define VMTP_SLOT	16
struct page *vmtp_slot_get(unsigned int *offset);

/* train.c */
/* Parts a long packet, whose data begin at its VMTP header, into packets of at most so many octets: a chain, or an error. */
typedef struct sk_buff *vmtp_part_t(struct sk_buff *whole, unsigned int octets);

int vmtp_helper_trains_begin(u8 protocol, vmtp_part_t *part);
void vmtp_helper_trains_end(u8 protocol);
bool vmtp_helper_rt_takes_long(const struct rtable *rt, bool whole);
void vmtp_helper_skb_set_origin(struct sk_buff *skb);
bool vmtp_helper_skb_is_of_this_kernel(const struct sk_buff *skb);
struct sk_buff *vmtp_helper_part_alloc(struct sk_buff *whole, unsigned int octets, u8 **payload);
void vmtp_helper_skb_set_parts(struct sk_buff *skb, unsigned int octets, unsigned int parts);
unsigned int vmtp_helper_skb_parts(const struct sk_buff *skb);
struct sk_buff *vmtp_helper_train_part(struct sk_buff *skb);
void vmtp_helper_train_couple(struct sk_buff *first, struct sk_buff *last, struct sk_buff *skb);
struct sk_buff *const *vmtp_helper_train_list(const struct sk_buff *skb);

/* packet.c */
/* An IP header; addresses as they go on the wire. A ttl of 0 is the route's. */
struct vmtp_ip {
	u32 source;
	u32 destination;
	u32 priority;
	u32 mark;
	u8 protocol;
	u8 tos;
	u8 ttl;
	bool has_ttl;		/* else it is the route's */
	bool dont_fragment;
};

struct sk_buff *vmtp_helper_packet_alloc(const struct rtable *rt, unsigned int head, unsigned int octets, gfp_t flags);
bool vmtp_helper_packet_share(struct sk_buff *skb, struct page *page, unsigned int offset, unsigned int octets);
bool vmtp_helper_packet_append(struct sk_buff *skb, const void *octets, unsigned int count);
unsigned int vmtp_helper_rt_headroom(const struct rtable *rt);
int vmtp_helper_packet_send(struct net *net, struct sk_buff *skb, struct rtable *rt, const struct vmtp_ip *options,
			    struct sock *sender, struct sock *owner);

/* sk_buff */
void vmtp_helper_kfree_skb_reason(struct sk_buff *skb, enum skb_drop_reason reason);
bool vmtp_helper_pskb_may_pull(struct sk_buff *skb, unsigned int length);
int vmtp_helper_copy_from_sockptr(void *to, sockptr_t from, size_t offset, size_t length);
struct iphdr *vmtp_helper_ip_hdr(const struct sk_buff *skb);
bool vmtp_helper_skb_came_by(struct sk_buff *skb, int interface);
unsigned int vmtp_helper_skb_rt_flags(const struct sk_buff *skb);
struct net *vmtp_helper_skb_dev_net(const struct sk_buff *skb);
void vmtp_helper_skb_dst_drop(struct sk_buff *skb);
void vmtp_helper_nf_reset_ct(struct sk_buff *skb);
void vmtp_helper_skb_orphan(struct sk_buff *skb);
u32 vmtp_helper_skb_mark(const struct sk_buff *skb);
u8 *vmtp_helper_icmp_hdr(const struct sk_buff *skb);
s64 vmtp_helper_skb_tstamp(const struct sk_buff *skb);

/* socket */
struct net *vmtp_helper_sock_net(const struct sock *sk);
void vmtp_helper_sock_hold(struct sock *sk);
void vmtp_helper_sock_put(struct sock *sk);
void vmtp_helper_lock_sock(struct sock *sk);
void vmtp_helper_sock_poll_wait(struct file *file, struct socket *sock, struct poll_table_struct *wait);
bool vmtp_helper_socket_nonblocking(const struct socket *sock);
void vmtp_helper_sock_orphan(struct sock *sk);
int vmtp_helper_sock_error(struct sock *sk);
int vmtp_helper_sk_err(const struct sock *sk);
void vmtp_helper_sk_set_err(struct sock *sk, int error);
void vmtp_helper_sk_data_ready(struct sock *sk);
void vmtp_helper_sk_write_space(struct sock *sk);
void vmtp_helper_sk_state_change(struct sock *sk);
struct vmtp_sk_wishes {
	u32 interface;
	u32 mark;
	u32 priority;
	kuid_t user;
	u8 tos;
	bool broadcast;
};

void vmtp_helper_sk_wishes(const struct sock *sk, struct vmtp_sk_wishes *wishes);
wait_queue_head_t *vmtp_helper_sk_sleep(struct sock *sk);
bool vmtp_helper_sk_is_polled(struct sock *sk, wait_queue_func_t of_calls);
u64 vmtp_helper_sk_rcvtimeo_ns(const struct sock *sk);
u64 vmtp_helper_sk_sndtimeo_ns(const struct sock *sk);
int vmtp_helper_sk_rmem_alloc(const struct sock *sk);
int vmtp_helper_sk_wmem_alloc(const struct sock *sk);
int vmtp_helper_sk_rcvbuf(const struct sock *sk);
int vmtp_helper_sk_sndbuf(const struct sock *sk);
bool vmtp_helper_net_has_rules(const struct net *net);
bool vmtp_helper_msg_takes_control(const struct msghdr *message, size_t octets);
unsigned int vmtp_helper_sk_shutdown(const struct sock *sk);
void vmtp_helper_sk_add_shutdown(struct sock *sk, unsigned int how);
void vmtp_helper_sk_drops_inc(struct sock *sk);
int vmtp_helper_sk_filter(struct sock *sk, struct sk_buff *skb);
void vmtp_helper_sock_recv_cmsgs(struct msghdr *msg, struct sock *sk, struct sk_buff *skb);
void vmtp_helper_inet_sock_init(struct sock *sk);
void vmtp_helper_inet_ctl_sock_destroy(struct sock *sk);
bool vmtp_helper_inet_has_membership(struct sock *sk);
bool vmtp_helper_inet_first_membership(struct sock *sk, struct ip_mreqn *membership);
void vmtp_helper_inet_set_mc_loop(struct sock *sk, bool loop);
unsigned int vmtp_helper_sock_is_compat(void);
struct proto *vmtp_helper_proto_memory(struct proto *proto);

/* namespace */
void *vmtp_helper_net_generic(const struct net *net, unsigned int id);
struct net *vmtp_helper_init_net(void);
bool vmtp_helper_net_eq(const struct net *a, const struct net *b);
bool vmtp_helper_net_capable(const struct net *net, int capability);
struct proc_dir_entry *vmtp_helper_proc_net_mkdir(struct net *net, const char *name);
u64 vmtp_helper_net_cookie(const struct net *net);

/* route */
void vmtp_helper_flowi4_init_output(struct flowi4 *flow, int oif, u32 mark, u8 tos, u8 protocol, u32 daddr, u32 saddr,
				    kuid_t uid);
bool vmtp_helper_rt_check(struct rtable *rt);
u32 vmtp_helper_rt_again(struct rtable *rt);
void vmtp_helper_rt_hold(struct rtable *rt);
void vmtp_helper_rt_put(struct rtable *rt);
u32 vmtp_helper_rt_link_mtu(const struct rtable *rt);
u32 vmtp_helper_rt_mtu(const struct rtable *rt);
unsigned int vmtp_helper_rt_flags(const struct rtable *rt);
int vmtp_helper_rt_ifindex(const struct rtable *rt);

/* devices */
struct net_device *vmtp_helper_netdev_from_rcu(struct net *net, unsigned long *ifindex);
unsigned int vmtp_helper_netdev_flags(const struct net_device *dev);
int vmtp_helper_netdev_ifindex(const struct net_device *dev);
unsigned int vmtp_helper_netdev_mtu(const struct net_device *dev);
bool vmtp_helper_netdev_has_ipv4_rcu(const struct net_device *dev);
struct net *vmtp_helper_netdev_net(const struct net_device *dev);
struct net_device *vmtp_helper_netdev_notifier_info(void *info);
struct in_device *vmtp_helper_in_dev_get_rtnl(const struct net_device *dev);

/* locks */
void vmtp_helper_spin_lock_init(spinlock_t *lock, const char *name, struct lock_class_key *key);
int vmtp_helper_spin_trylock_bh(spinlock_t *lock);
void vmtp_helper_spin_assert_is_held(spinlock_t *lock);

/* records.c: records */
struct kmem_cache *vmtp_helper_record_cache(const char *name, unsigned int size);
void vmtp_helper_record_init(struct vmtp_record_head *head, u64 key);
void vmtp_helper_record_get(struct vmtp_record_head *head);
bool vmtp_helper_record_get_unless_zero(struct vmtp_record_head *head);
bool vmtp_helper_record_put(struct vmtp_record_head *head);
void *vmtp_helper_record_alloc(struct kmem_cache *cache, size_t size, gfp_t flags);
void vmtp_helper_record_free_rcu(struct vmtp_record_head *head);
unsigned int vmtp_helper_record_references(const struct vmtp_record_head *head);

/* records.c: hash tables, with one record a key (table), and with several (list) */
int vmtp_helper_table_init(struct rhashtable *table);
int vmtp_helper_table_insert(struct rhashtable *table, struct vmtp_record_head *head);
int vmtp_helper_table_remove(struct rhashtable *table, struct vmtp_record_head *head);
struct vmtp_record_head *vmtp_helper_table_get(struct rhashtable *table, u64 key);
int vmtp_helper_list_init(struct rhltable *table);
int vmtp_helper_list_insert(struct rhltable *table, struct vmtp_record_head *head);
int vmtp_helper_list_remove(struct rhltable *table, struct vmtp_record_head *head);
struct vmtp_record_head *vmtp_helper_list_lookup(struct rhltable *table, const u64 *key);
struct vmtp_record_head *vmtp_helper_list_next(struct vmtp_record_head *head);
unsigned int vmtp_helper_table_count(const struct rhashtable *table);
bool vmtp_helper_is_err(const void *pointer);

/* records.c: timers */
bool vmtp_helper_hrtimer_is_queued(const struct hrtimer *timer);
void vmtp_helper_timer_lock(const void *timer);
void vmtp_helper_timer_unlock(const void *timer);

/* waiting */
void vmtp_helper_init_waitqueue_head(wait_queue_head_t *queue, const char *name, struct lock_class_key *key);
bool vmtp_helper_wq_has_sleeper(wait_queue_head_t *queue);
bool vmtp_helper_signal_pending(void);

/* per CPU */
u64 __percpu *vmtp_helper_alloc_counters(size_t count);
void vmtp_helper_free_counters(u64 __percpu *counters);
void vmtp_helper_counter_add(u64 __percpu *counters, size_t index, u64 value);
u64 vmtp_helper_counter_read(u64 __percpu *counters, size_t index);

/* credentials, random numbers, hash, time */
u32 vmtp_helper_current_uid(const struct net *net);
u32 vmtp_helper_current_euid(const struct net *net);
int vmtp_helper_current_tgid(void);
u64 vmtp_helper_get_random_u64(void);
u64 vmtp_helper_ktime_get_ns(void);
u64 vmtp_helper_ticks(void);
u64 vmtp_helper_ktime_get_real_ns(void);
u64 vmtp_helper_siphash(u64 a, u64 b, const u64 *key);

/* memory */
u64 vmtp_helper_total_ram(void);
u64 *vmtp_helper_kmalloc_words(size_t count, gfp_t flags);

/* tracepoints: trace.c */
extern int vmtp_traced;
void vmtp_helper_trace_packet(bool in, u32 host, u64 client, u64 server, u32 transaction, u32 control, u32 delivery,
			      u32 code, u32 octets);
void vmtp_helper_trace_state(bool is_client, u64 client, u64 server, u32 transaction, const u8 *state, u32 length);
void vmtp_helper_trace_timeout(bool is_client, u64 client, u64 server, u32 transaction);
void vmtp_helper_trace_drop(const u8 *reason, u32 length);

/* user memory, sleeping */
int vmtp_helper_import_ubuf(bool writable, void *address, size_t length, struct iov_iter *iter);
void vmtp_helper_usleep(u32 microseconds);

/* deferred work of a namespace: work.rs */
struct vmtp_work {
	struct work_struct work;
	struct net *net;
	void (*run)(struct net *net);
};

void vmtp_helper_work_init(struct vmtp_work *work, struct net *net, void (*run)(struct net *net));
void vmtp_helper_work_schedule(struct vmtp_work *work);
void vmtp_helper_work_stop(struct vmtp_work *work);

/* processes, as struct pid, and their rights, as struct cred: process.rs */
void *vmtp_helper_process_current(void);
const void *vmtp_helper_process_rights(void);
int vmtp_helper_process_signal(void *process, u32 signal, const void *rights, const struct net *net);
void vmtp_helper_process_put(void *process, const void *rights);

/* /proc */
void *vmtp_helper_pde_data(const struct inode *inode);
struct seq_file *vmtp_helper_seq_file(struct file *file);

#endif
