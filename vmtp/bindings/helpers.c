// SPDX-License-Identifier: GPL-2.0
/*
 * Callable forms of what the kernel's headers have only as inline functions, macros or per-CPU data. No logic: each
 * one says the same thing as the header's name that it carries.
 */
#include "bindings.h"

/* ---- sk_buff ---- */

void vmtp_helper_kfree_skb_reason(struct sk_buff *skb, enum skb_drop_reason reason)
{
	kfree_skb_reason(skb, reason);
}

bool vmtp_helper_pskb_may_pull(struct sk_buff *skb, unsigned int length)
{
	return pskb_may_pull(skb, length);
}

/* Whether a control message of so many octets fits whole, the first of all. */
bool vmtp_helper_msg_takes_control(const struct msghdr *message, size_t octets)
{
#ifdef CONFIG_COMPAT
	if (message->msg_flags & MSG_CMSG_COMPAT)
		return message->msg_controllen >= sizeof(struct compat_cmsghdr) + octets;
#endif
	return message->msg_controllen >= CMSG_LEN(octets);
}

int vmtp_helper_copy_from_sockptr(void *to, sockptr_t from, size_t offset, size_t length)
{
	return copy_from_sockptr_offset(to, from, offset, length);
}

struct iphdr *vmtp_helper_ip_hdr(const struct sk_buff *skb)
{
	return ip_hdr(skb);
}

bool vmtp_helper_skb_came_by(struct sk_buff *skb, int interface)
{
	return inet_iif(skb) == interface || inet_sdif(skb) == interface;
}

unsigned int vmtp_helper_skb_rt_flags(const struct sk_buff *skb)
{
	return skb_dst(skb) ? skb_rtable(skb)->rt_flags : 0;
}

struct net *vmtp_helper_skb_dev_net(const struct sk_buff *skb)
{
	return dev_net(skb->dev);
}

void vmtp_helper_skb_dst_drop(struct sk_buff *skb)
{
	skb_dst_drop(skb);
}

void vmtp_helper_nf_reset_ct(struct sk_buff *skb)
{
	nf_reset_ct(skb);
}

void vmtp_helper_skb_orphan(struct sk_buff *skb)
{
	skb_orphan(skb);
}

u32 vmtp_helper_skb_mark(const struct sk_buff *skb)
{
	return skb->mark;
}

u8 *vmtp_helper_icmp_hdr(const struct sk_buff *skb)
{
	return (u8 *)icmp_hdr(skb);
}

s64 vmtp_helper_skb_tstamp(const struct sk_buff *skb)
{
	return ktime_to_ns(skb_get_ktime(skb));
}

/* ---- socket ---- */

/* Memory accounting of our proto, as UDP's. */
static atomic_long_t vmtp_memory_allocated;
static DEFINE_PER_CPU(int, vmtp_memory_per_cpu_fw_alloc);
static long vmtp_sysctl_mem[3];
static int vmtp_sysctl_mem_min = PAGE_SIZE;

struct proto *vmtp_helper_proto_memory(struct proto *proto)
{
	unsigned long limit = max(nr_free_buffer_pages() / 8, 128UL);

	vmtp_sysctl_mem[0] = limit / 4 * 3;
	vmtp_sysctl_mem[1] = limit;
	vmtp_sysctl_mem[2] = vmtp_sysctl_mem[0] * 2;
	proto->memory_allocated = &vmtp_memory_allocated;
	proto->per_cpu_fw_alloc = &vmtp_memory_per_cpu_fw_alloc;
	proto->sysctl_mem = vmtp_sysctl_mem;
	proto->sysctl_wmem = &vmtp_sysctl_mem_min;
	proto->sysctl_rmem = &vmtp_sysctl_mem_min;
	return proto;
}

struct net *vmtp_helper_sock_net(const struct sock *sk)
{
	return sock_net(sk);
}

void vmtp_helper_sock_hold(struct sock *sk)
{
	sock_hold(sk);
}

void vmtp_helper_sock_put(struct sock *sk)
{
	sock_put(sk);
}

void vmtp_helper_lock_sock(struct sock *sk)
{
	lock_sock(sk);
}

void vmtp_helper_sock_poll_wait(struct file *file, struct socket *sock, struct poll_table_struct *wait)
{
	sock_poll_wait(file, sock, wait);
}

bool vmtp_helper_socket_nonblocking(const struct socket *sock)
{
	return sock->file && sock->file->f_flags & O_NONBLOCK;
}

void vmtp_helper_sock_orphan(struct sock *sk)
{
	sock_orphan(sk);
}

int vmtp_helper_sock_error(struct sock *sk)
{
	return sock_error(sk);
}

int vmtp_helper_sk_err(const struct sock *sk)
{
	return READ_ONCE(sk->sk_err);
}

void vmtp_helper_sk_set_err(struct sock *sk, int error)
{
	WRITE_ONCE(sk->sk_err, error);
}

void vmtp_helper_sk_data_ready(struct sock *sk)
{
	READ_ONCE(sk->sk_data_ready)(sk);
}

void vmtp_helper_sk_write_space(struct sock *sk)
{
	READ_ONCE(sk->sk_write_space)(sk);
}

void vmtp_helper_sk_state_change(struct sock *sk)
{
	READ_ONCE(sk->sk_state_change)(sk);
}

wait_queue_head_t *vmtp_helper_sk_sleep(struct sock *sk)
{
	return sk_sleep(sk);
}

/* Whether poll(), epoll or io_uring waits for the socket: who waits in a call of ours is woken by `of_calls`. */
bool vmtp_helper_sk_is_polled(struct sock *sk, wait_queue_func_t of_calls)
{
	struct wait_queue_entry *entry;
	struct socket_wq *queue;
	unsigned long flags;
	bool found = false;

	rcu_read_lock();
	queue = rcu_dereference(sk->sk_wq);
	if (skwq_has_sleeper(queue)) {
		spin_lock_irqsave(&queue->wait.lock, flags);
		list_for_each_entry(entry, &queue->wait.head, entry) {
			found = entry->func != of_calls;
			if (found)
				break;
		}
		spin_unlock_irqrestore(&queue->wait.lock, flags);
	}
	rcu_read_unlock();
	return found;
}

/* U64_MAX: no limit. */
u64 vmtp_helper_sk_rcvtimeo_ns(const struct sock *sk)
{
	long timeout = READ_ONCE(sk->sk_rcvtimeo);

	return timeout == MAX_SCHEDULE_TIMEOUT ? U64_MAX : jiffies_to_nsecs(timeout);
}

u64 vmtp_helper_sk_sndtimeo_ns(const struct sock *sk)
{
	long timeout = READ_ONCE(sk->sk_sndtimeo);

	return timeout == MAX_SCHEDULE_TIMEOUT ? U64_MAX : jiffies_to_nsecs(timeout);
}

int vmtp_helper_sk_rmem_alloc(const struct sock *sk)
{
	return sk_rmem_alloc_get(sk);
}

int vmtp_helper_sk_wmem_alloc(const struct sock *sk)
{
	return sk_wmem_alloc_get(sk);
}

int vmtp_helper_sk_rcvbuf(const struct sock *sk)
{
	return READ_ONCE(sk->sk_rcvbuf);
}

int vmtp_helper_sk_sndbuf(const struct sock *sk)
{
	return READ_ONCE(sk->sk_sndbuf);
}

/* All that a socket's options say of its packets, in one call. */
void vmtp_helper_sk_wishes(const struct sock *sk, struct vmtp_sk_wishes *wishes)
{
	wishes->interface = READ_ONCE(sk->sk_bound_dev_if);
	wishes->mark = READ_ONCE(sk->sk_mark);
	wishes->priority = READ_ONCE(sk->sk_priority);
	wishes->user = sk_uid(sk);
	wishes->tos = READ_ONCE(inet_sk(sk)->tos);
	wishes->broadcast = sock_flag(sk, SOCK_BROADCAST);
}

unsigned int vmtp_helper_sk_shutdown(const struct sock *sk)
{
	return READ_ONCE(sk->sk_shutdown);
}

void vmtp_helper_sk_add_shutdown(struct sock *sk, unsigned int how)
{
	u8 old = READ_ONCE(sk->sk_shutdown);

	while (!try_cmpxchg(&sk->sk_shutdown, &old, old | how))
		;
}

void vmtp_helper_sk_drops_inc(struct sock *sk)
{
	sk_drops_inc(sk);
}

int vmtp_helper_sk_filter(struct sock *sk, struct sk_buff *skb)
{
	return sk_filter_trim_cap(sk, skb, skb->len) ? -EPERM : 0;
}

void vmtp_helper_sock_recv_cmsgs(struct msghdr *msg, struct sock *sk, struct sk_buff *skb)
{
	sock_recv_cmsgs(msg, sk, skb);
}

void vmtp_helper_inet_sock_init(struct sock *sk)
{
	struct inet_sock *inet = inet_sk(sk);

	inet->uc_ttl = -1;
	inet->mc_ttl = 1;
	inet->pmtudisc = IP_PMTUDISC_WANT;
	inet_set_bit(MC_LOOP, sk);
	inet_set_bit(MC_ALL, sk);
}

void vmtp_helper_inet_ctl_sock_destroy(struct sock *sk)
{
	inet_ctl_sock_destroy(sk);
}

bool vmtp_helper_inet_has_membership(struct sock *sk)
{
	return rcu_access_pointer(inet_sk(sk)->mc_list);
}

bool vmtp_helper_inet_first_membership(struct sock *sk, struct ip_mreqn *membership)
{
	struct ip_mc_socklist *first = rtnl_dereference(inet_sk(sk)->mc_list);

	if (first)
		*membership = first->multi;
	return first;
}

void vmtp_helper_inet_set_mc_loop(struct sock *sk, bool loop)
{
	inet_assign_bit(MC_LOOP, sk, loop);
}

unsigned int vmtp_helper_sock_is_compat(void)
{
	return in_compat_syscall();
}

/* ---- namespace ---- */

void *vmtp_helper_net_generic(const struct net *net, unsigned int id)
{
	return net_generic(net, id);
}

struct net *vmtp_helper_init_net(void)
{
	return &init_net;
}

bool vmtp_helper_net_eq(const struct net *a, const struct net *b)
{
	return net_eq(a, b);
}

bool vmtp_helper_net_capable(const struct net *net, int capability)
{
	return ns_capable(net->user_ns, capability);
}

struct proc_dir_entry *vmtp_helper_proc_net_mkdir(struct net *net, const char *name)
{
	return proc_net_mkdir(net, name, net->proc_net);
}

u64 vmtp_helper_net_cookie(const struct net *net)
{
	return net->net_cookie;
}

bool vmtp_helper_net_has_rules(const struct net *net)
{
#ifdef CONFIG_IP_MULTIPLE_TABLES
	return READ_ONCE(net->ipv4.fib_has_custom_rules);
#else
	return false;
#endif
}

/* ---- route ---- */

void vmtp_helper_flowi4_init_output(struct flowi4 *flow, int oif, u32 mark, u8 tos, u8 protocol, u32 daddr, u32 saddr,
				    kuid_t uid)
{
	flowi4_init_output(flow, oif, mark, tos, RT_SCOPE_UNIVERSE, protocol, 0, (__force __be32)daddr,
			   (__force __be32)saddr, 0, 0, uid);
}

bool vmtp_helper_rt_check(struct rtable *rt)
{
	return dst_check(&rt->dst, 0);
}

/* The MTU, and a reference, if the route still holds; else 0. */
u32 vmtp_helper_rt_again(struct rtable *rt)
{
	if (!dst_check(&rt->dst, 0))
		return 0;
	dst_hold(&rt->dst);
	return dst4_mtu(&rt->dst);
}

void vmtp_helper_rt_hold(struct rtable *rt)
{
	dst_hold(&rt->dst);
}

void vmtp_helper_rt_put(struct rtable *rt)
{
	ip_rt_put(rt);
}

u32 vmtp_helper_rt_mtu(const struct rtable *rt)
{
	return dst4_mtu(&rt->dst);
}

u32 vmtp_helper_rt_link_mtu(const struct rtable *rt)
{
	return READ_ONCE(dst_dev(&rt->dst)->mtu);
}

unsigned int vmtp_helper_rt_flags(const struct rtable *rt)
{
	return rt->rt_flags;
}

int vmtp_helper_rt_ifindex(const struct rtable *rt)
{
	return dst_dev(&rt->dst)->ifindex;
}

/* ---- devices ---- */

struct net_device *vmtp_helper_netdev_from_rcu(struct net *net, unsigned long *ifindex)
{
	return xa_find(&net->dev_by_index, ifindex, ULONG_MAX, XA_PRESENT);
}

unsigned int vmtp_helper_netdev_flags(const struct net_device *dev)
{
	return netif_get_flags(dev);
}

int vmtp_helper_netdev_ifindex(const struct net_device *dev)
{
	return dev->ifindex;
}

unsigned int vmtp_helper_netdev_mtu(const struct net_device *dev)
{
	return READ_ONCE(dev->mtu);
}

bool vmtp_helper_netdev_has_ipv4_rcu(const struct net_device *dev)
{
	struct in_device *in_dev = __in_dev_get_rcu(dev);

	return in_dev && rcu_access_pointer(in_dev->ifa_list);
}

struct net *vmtp_helper_netdev_net(const struct net_device *dev)
{
	return dev_net(dev);
}

struct net_device *vmtp_helper_netdev_notifier_info(void *info)
{
	return netdev_notifier_info_to_dev(info);
}

struct in_device *vmtp_helper_in_dev_get_rtnl(const struct net_device *dev)
{
	return __in_dev_get_rtnl(dev);
}

/* ---- locks ---- */

void vmtp_helper_spin_lock_init(spinlock_t *lock, const char *name, struct lock_class_key *key)
{
#ifdef CONFIG_DEBUG_SPINLOCK
	__raw_spin_lock_init(spinlock_check(lock), name, key, LD_WAIT_CONFIG);
#else
	spin_lock_init(lock);
#endif
}

int vmtp_helper_spin_trylock_bh(spinlock_t *lock)
{
	return spin_trylock_bh(lock);
}

void vmtp_helper_spin_assert_is_held(spinlock_t *lock)
{
	lockdep_assert_held(lock);
}

/* ---- waiting ---- */

void vmtp_helper_init_waitqueue_head(wait_queue_head_t *queue, const char *name, struct lock_class_key *key)
{
	__init_waitqueue_head(queue, name, key);
}

bool vmtp_helper_wq_has_sleeper(wait_queue_head_t *queue)
{
	return wq_has_sleeper(queue);
}

bool vmtp_helper_signal_pending(void)
{
	return signal_pending(current);
}

/* ---- per CPU ---- */

u64 __percpu *vmtp_helper_alloc_counters(size_t count)
{
	return (u64 __percpu *)__alloc_percpu(count * sizeof(u64), sizeof(u64));
}

void vmtp_helper_free_counters(u64 __percpu *counters)
{
	free_percpu(counters);
}

void vmtp_helper_counter_add(u64 __percpu *counters, size_t index, u64 value)
{
	this_cpu_add(counters[index], value);
}

u64 vmtp_helper_counter_read(u64 __percpu *counters, size_t index)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(&counters[index], cpu));
	return sum;
}

/* ---- credentials, random numbers, hash, time ---- */

u32 vmtp_helper_current_uid(const struct net *net)
{
	return from_kuid_munged(net->user_ns, current_uid());
}

u32 vmtp_helper_current_euid(const struct net *net)
{
	return from_kuid_munged(net->user_ns, current_euid());
}

int vmtp_helper_current_tgid(void)
{
	return task_tgid_nr(current);
}

u64 vmtp_helper_get_random_u64(void)
{
	return get_random_u64();
}

u64 vmtp_helper_ticks(void)
{
	return get_jiffies_64();
}

u64 vmtp_helper_ktime_get_ns(void)
{
	return ktime_get_ns();
}

u64 vmtp_helper_ktime_get_real_ns(void)
{
	return ktime_get_real_ns();
}

u64 vmtp_helper_siphash(u64 a, u64 b, const u64 *key)
{
	siphash_key_t secret = { .key = { key[0], key[1] } };

	return siphash_2u64(a, b, &secret);
}

/* ---- memory ---- */

u64 vmtp_helper_total_ram(void)
{
	return (u64)totalram_pages() << PAGE_SHIFT;
}

u64 *vmtp_helper_kmalloc_words(size_t count, gfp_t flags)
{
	return kmalloc_array(count, sizeof(u64), flags);
}

/* ---- user memory, sleeping ---- */

int vmtp_helper_import_ubuf(bool writable, void *address, size_t length, struct iov_iter *iter)
{
	return import_ubuf(writable ? ITER_DEST : ITER_SOURCE, (void __user *)address, length, iter);
}

void vmtp_helper_usleep(u32 microseconds)
{
	usleep_range(microseconds, 2 * microseconds);
}

/* ---- /proc ---- */

void *vmtp_helper_pde_data(const struct inode *inode)
{
	return pde_data(inode);
}

struct seq_file *vmtp_helper_seq_file(struct file *file)
{
	return file->private_data;
}
