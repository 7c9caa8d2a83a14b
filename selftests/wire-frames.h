/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Packets on an Ethernet between network namespaces, as frames: held back and sent in a burst, so that the other end's
 * device gets them in one poll, and seen where they arrive. The packets are made by wire.h.
 */
#ifndef WIRE_FRAMES_H
#define WIRE_FRAMES_H

#include "wire.h"
#include "hosts.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#define FRAME_MOST	(ETH_HLEN + 65536)
#define BURST_MOST	60	/* frames: more would be more than one poll */

struct frame {
	size_t length;
	unsigned char at[FRAME_MOST];
};

/* What of an IP header a test may want otherwise. */
struct ip_manner {
	__u8 ttl, tos, options;
	__u16 id, fragment;
};

static const struct ip_manner ip_usual = { .ttl = 64, .fragment = 0x4000 };

/* The frame from hardware address 02:..:from to 02:..:to of an IP packet. */
static inline void frame_make(struct frame *frame, int from, int to, __u32 source, __u32 destination,
			      const struct octets *octets, const struct ip_manner *manner)
{
	unsigned char *ip = frame->at + ETH_HLEN;
	size_t header = 20 + manner->options;
	__u16 sum;

	memset(frame->at, 0, ETH_HLEN + header);
	frame->at[0] = frame->at[6] = 2;
	frame->at[5] = to;
	frame->at[11] = from;
	frame->at[12] = 8;
	ip[0] = 0x40 | header / 4;
	ip[1] = manner->tos;
	ip[2] = (header + octets->length) >> 8;
	ip[3] = header + octets->length;
	ip[4] = manner->id >> 8;
	ip[5] = manner->id;
	ip[6] = manner->fragment >> 8;
	ip[7] = manner->fragment;
	ip[8] = manner->ttl;
	ip[9] = IPPROTO_VMTP;
	put32(ip + 12, source);
	put32(ip + 16, destination);
	memset(ip + 20, 1, manner->options);	/* no-operations */
	sum = ip_sum(ip, header);
	ip[10] = sum >> 8;
	ip[11] = sum;
	memcpy(ip + header, octets->at, octets->length);
	frame->length = ETH_HLEN + header + octets->length;
}

/* A socket that sends and sees the frames of a device of the present namespace; -1 with errno. */
static inline int frames_open(const char *device)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), buffer = 8 << 20;
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex(device),
	};

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -1;
	return fd;
}

/* The next VMTP packet that comes in by the device. */
static inline bool frame_receive(int fd, struct frame *frame, int timeout_ms)
{
	long end = now_ms() + timeout_ms;

	for (;;) {
		struct sockaddr_ll from;
		socklen_t size = sizeof(from);
		long left = end - now_ms();
		ssize_t length;

		if (!comes(fd, POLLIN, left < 0 ? 0 : left))
			return false;
		length = recvfrom(fd, frame->at, sizeof(frame->at), 0, (struct sockaddr *)&from, &size);
		if (length < ETH_HLEN + 20 || from.sll_pkttype == PACKET_OUTGOING ||
		    from.sll_protocol != htons(ETH_P_IP) || frame->at[ETH_HLEN + 9] != IPPROTO_VMTP)
			continue;
		frame->length = length;
		return true;
	}
}

/* From now on what is sent by a device of the present namespace waits. */
static inline int frames_hold(const char *device)
{
	return hosts_run("tc qdisc replace dev %s root netem slot 3600s 3600s limit 10000", device);
}

/* What waits goes out at once, in this call. fd is of the device. */
static inline int frames_release(const char *device, int fd)
{
	/* netem looks at its queue when another frame comes: one of an experimental protocol, which nobody takes. */
	unsigned char kick[ETH_ZLEN] = { [12] = 0x88, [13] = 0xB5 };

	return hosts_run("tc qdisc change dev %s root netem slot 1us 1us limit 10000", device) ||
	       send(fd, kick, sizeof(kick), 0) != sizeof(kick);
}

#endif /* WIRE_FRAMES_H */
