/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel C API that the module uses and that the kernel crate's bindings do not have.
 * Read by bindgen (which items are taken: bindgen_parameters). No logic, no declarations of our own except
 * those of helpers.h.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/hash.h>
#include <linux/hrtimer.h>
#include <linux/igmp.h>
#include <linux/in.h>
#include <linux/inetdevice.h>
#include <linux/ip.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/percpu.h>
#include <linux/poll.h>
#include <linux/proc_fs.h>
#include <linux/random.h>
#include <linux/rhashtable.h>
#include <linux/rtnetlink.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/siphash.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/socket.h>
#include <linux/swap.h>
#include <linux/sysctl.h>
#include <linux/uio.h>
#include <linux/vmtp.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <net/icmp.h>
#include <net/inet_common.h>
#include <net/inet_sock.h>
#include <net/ip.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>
#include <net/protocol.h>
#include <net/route.h>
#include <net/sock.h>

#include "helpers.h"
