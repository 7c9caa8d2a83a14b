/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Several hosts on one network: namespaces with the addresses 10.81.0.1, .2 ...
 * whose veths meet at a bridge. A namespace is entered to open sockets there.
 */
#ifndef HOSTS_H
#define HOSTS_H

#include "host.h"

#include <stdarg.h>

#define HOSTS_MAX	4
#define ADDRESS_OF(host) (0x0A510001U + (host))	/* host 0 is 10.81.0.1 */

struct hosts {
	int count;
	int at[HOSTS_MAX];
	int network;
};

static inline int hosts_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline int hosts_run(const char *format, ...)
{
	char command[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	return system(command);
}

/* Enters a host; the test begins in host 0. */
static inline int hosts_enter(const struct hosts *hosts, int host)
{
	return namespace_enter(hosts->at[host]);
}

/* Makes so many hosts and enters the first. Neighbours are known: nothing waits for ARP. */
static inline int hosts_make(struct hosts *hosts, int count)
{
	hosts->count = count;
	hosts->network = namespace_make();
	if (hosts->network < 0 || hosts_run("ip link add net0 type bridge mcast_snooping 0 && ip link set net0 up"))
		return -1;
	for (int i = 0; i < count; i++) {
		hosts->at[i] = namespace_make();
		if (hosts->at[i] < 0 ||
		    hosts_run("ip link add veth0 address 02:00:00:00:00:0%d type veth peer name port%d netns /proc/%d/fd/%d"
			      " && ip addr add 10.81.0.%d/24 dev veth0 && ip link set veth0 up"
			      " && ip route add 224.0.0.0/4 dev veth0",
			      i + 1, i, getpid(), hosts->network, i + 1))
			return -1;
		for (int j = 0; j < count; j++)
			if (j != i && hosts_run("ip neigh add 10.81.0.%d lladdr 02:00:00:00:00:0%d dev veth0 nud permanent",
						j + 1, j + 1))
				return -1;
		if (namespace_enter(hosts->network) ||
		    hosts_run("ip link set port%d master net0 && ip link set port%d up", i, i))
			return -1;
	}
	return hosts_enter(hosts, 0);
}

static inline void hosts_end(struct hosts *hosts)
{
	for (int i = 0; i < hosts->count; i++)
		close(hosts->at[i]);
	close(hosts->network);
}

/* A socket of a host; the caller stays where it is, in host 0. */
static inline int hosts_open(const struct hosts *hosts, int host, __u64 entity)
{
	int fd = hosts_enter(hosts, host) ? -1 : open_entity(entity);

	return hosts_enter(hosts, 0) ? -1 : fd;
}

static inline long hosts_counter(const struct hosts *hosts, int host, const char *name)
{
	long value = hosts_enter(hosts, host) ? -1 : counter(name);

	return hosts_enter(hosts, 0) ? -1 : value;
}

/* Has the network lose packets on the way to a host, or not ("0%"). */
static inline int hosts_loss(const struct hosts *hosts, int host, const char *loss)
{
	int result = namespace_enter(hosts->network);

	if (!result)
		result = hosts_run("tc qdisc replace dev port%d root netem loss %s limit 100000", host, loss);
	return hosts_enter(hosts, 0) ? -1 : result;
}

#endif /* HOSTS_H */
