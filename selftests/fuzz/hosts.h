/* SPDX-License-Identifier: GPL-2.0 */
/* The sockets that a fuzzer's packets are for: servers of several kinds, and callers of a server that is the fuzzer. */
#ifndef HOSTS_H
#define HOSTS_H

#include "fuzz.h"

#include <linux/filter.h>

#define SERVERS		6
#define SERVER(i)	little_endian(100000 + (i), HOST)
#define CALLERS		4
#define GROUP		vmtp_entity(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP, 7000, 0xE8000042)
#define REMOTE		little_endian(300000, PEER)

/* What the servers are; the rest of them just answer. */
enum { ECHO, STALLED, FILTERED, CHECKED, RESTARTED, FORWARDING };

static volatile bool hosts_over;
static long hosts_served, hosts_answered, hosts_failed;
static pthread_t hosts_threads[SERVERS + CALLERS];

static int server_open(int i)
{
	/* One message in four is refused. */
	static struct sock_filter lines[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (__u32)(SKF_AD_OFF + SKF_AD_RANDOM)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 3),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xFFFFFFFF),
	};
	static const struct sock_fprog filter = { .len = 5, .filter = lines };
	struct vmtp_membership membership = { .group = GROUP };
	int fd = open_entity(SERVER(i));

	if (fd < 0) {
		perror("bind");
		exit(1);
	}
	set_option(fd, VMTP_OPT_PROBE_CLIENTS, i % 2 ? VMTP_PROBE_AUTO : VMTP_PROBE_NEVER);
	if (i == STALLED)
		set_option(fd, VMTP_OPT_REQUEST_QUEUE, 4);
	if (i == FILTERED && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)))
		perror("SO_ATTACH_FILTER");
	if (i == CHECKED)
		set_option(fd, VMTP_OPT_CHECKSUM_REQUIRED, 1);
	if (i == RESTARTED || i == CHECKED)
		setsockopt(fd, SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership));
	return fd;
}

static void *server_thread(void *argument)
{
	unsigned char *area = malloc(1 << 20);
	int i = (long)argument, fd = server_open(i);
	struct vmtp_mcb mcb;

	fuzz_seed(1000 + i);
	while (!hosts_over) {
		long octets = vmtp_recvreq(fd, &mcb, area, 1 << 20, i == STALLED ? 1000 : 200);

		if (i == STALLED)
			usleep(300000);
		if (octets >= 0) {
			__sync_fetch_and_add(&hosts_served, 1);
			if (i == FORWARDING && once_in(2)) {
				vmtp_forward(fd, &mcb, once_in(2) ? SERVER(ECHO) : REMOTE, area, octets);
			} else {
				vmtp_response(&mcb, VMTP_OK | (once_in(8) ? VMTP_DGM : 0));
				mcb.flags = once_in(16) ? VMTP_F_ABANDON : once_in(4) ? VMTP_F_APG : 0;
				if (octets > VMTP_GROUP_SIZE)
					octets = VMTP_GROUP_SIZE;
				if (i != ECHO && once_in(8))
					octets = below(100000);
				vmtp_sendreply(fd, &mcb, area, octets);
			}
		}
		if (i == RESTARTED && once_in(16)) {
			close(fd);
			usleep(below(20000));
			fd = server_open(i);
		}
	}
	close(fd);
	free(area);
	return NULL;
}

static void *caller_thread(void *argument)
{
	unsigned char *area = malloc(1 << 20);
	long number = (long)argument;

	fuzz_seed(2000 + number);
	while (!hosts_over) {
		int fd = open_entity(0);

		set_option(fd, VMTP_OPT_RETRIES, 2);
		set_option(fd, VMTP_OPT_STREAM, number % 2);
		for (int calls = below(64); calls && !hosts_over; calls--) {
			struct vmtp_exchange exchange = {
				.out = {
					.mcb = { .server = once_in(8) ? GROUP : REMOTE, .code = APPLICATION },
					.segment = (uintptr_t)area,
					.length = once_in(2) ? 0 : below(100000),
					.timeout = 1 + below(3000),
					.flags = once_in(4) ? VMTP_MSG_MORE : 0,
				},
				.in = { .segment = (uintptr_t)area, .length = 1 << 20 },
			};

			if (once_in(4))
				exchange.out.flags |= VMTP_MSG_START | VMTP_MSG_DONTWAIT;
			if (ioctl(fd, VMTP_INVOKE, &exchange) || exchange.out.flags & VMTP_MSG_START)
				continue;
			if (exchange.in.mcb.function == VMTP_RESPONSE)
				__sync_fetch_and_add(&hosts_answered, 1);
			else
				__sync_fetch_and_add(&hosts_failed, 1);
		}
		close(fd);
	}
	free(area);
	return NULL;
}

static void hosts_start(void)
{
	for (long i = 0; i < SERVERS; i++)
		pthread_create(&hosts_threads[i], NULL, server_thread, (void *)i);
	for (long i = 0; i < CALLERS; i++)
		pthread_create(&hosts_threads[SERVERS + i], NULL, caller_thread, (void *)i);
}

static void hosts_stop(void)
{
	hosts_over = true;
	for (int i = 0; i < SERVERS + CALLERS; i++)
		pthread_join(hosts_threads[i], NULL);
}

#endif /* HOSTS_H */
