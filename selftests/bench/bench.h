/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the programs of `make bench` share: a server process in the network
 * namespace "server", a client in "client", and the median time of a round
 * trip by CLOCK_MONOTONIC, which under QEMU's icount counts instructions,
 * 1 ns each. The harness has made the namespaces and the link between them.
 *
 * A program defines serve() and transact() and calls bench_main().
 */
#ifndef BENCH_H
#define BENCH_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SERVER_ADDRESS	0x0A510001	/* 10.81.0.1 */
#define CLIENT_ADDRESS	0x0A510002
#define SERVER_PORT	8181
#define OCTETS_MOST	65536
#define WARM_UP		200
#define ROUNDS		2000
/* The last rounds are what `make profile` shows. */
#define PROFILED	50

/* No-ops between which selftests/vm/profile/plugin.c writes down what runs. */
#define MARK_BEGIN()	asm volatile("nopl 0x01544d56(%%rax)" ::: "memory")
#define MARK_END()	asm volatile("nopl 0x00544d56(%%rax)" ::: "memory")

static char segment[OCTETS_MOST];

static inline void enter_namespace(const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		err(1, "%s", path);
	close(fd);
}

static inline struct sockaddr_in server_address(void)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(SERVER_PORT),
		.sin_addr.s_addr = htonl(SERVER_ADDRESS),
	};
}

static inline long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static inline int compare(const void *a, const void *b)
{
	long long x = *(const long long *)a, y = *(const long long *)b;

	return x < y ? -1 : x > y;
}

/*
 * open_server	makes the server's socket, which must be ready for the first
 *		Request when it returns
 * serve	answers for ever
 * open_client	makes the client's socket
 * transact	one round trip of octets each way, or exits
 */
struct bench {
	const char *proto;
	int (*open_server)(void);
	void (*serve)(int socket, size_t octets);
	int (*open_client)(void);
	void (*transact)(int socket, size_t octets);
};

static inline int bench_main(const struct bench *bench, int argc, char **argv)
{
	static long long times[ROUNDS];
	size_t octets = argc > 1 ? strtoul(argv[1], NULL, 0) : 64;
	int ready[2], socket;
	long long begin;
	pid_t server;
	char octet;

	if (octets > OCTETS_MOST || pipe(ready))
		errx(1, "usage: %s OCTETS (at most %d)", argv[0], OCTETS_MOST);
	server = fork();
	if (server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		enter_namespace("server");
		socket = bench->open_server();
		if (write(ready[1], "", 1) != 1)
			err(1, "pipe");
		bench->serve(socket, octets);
		exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &octet, 1) != 1)
		errx(1, "the server did not start");

	enter_namespace("client");
	socket = bench->open_client();
	for (int i = 0; i < WARM_UP; i++)
		bench->transact(socket, octets);
	for (int i = 0; i < ROUNDS; i++) {
		if (i >= ROUNDS - PROFILED)
			MARK_BEGIN();
		begin = now();
		bench->transact(socket, octets);
		times[i] = now() - begin;
	}
	MARK_END();
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	qsort(times, ROUNDS, sizeof(*times), compare);
	printf("{\"proto\":\"%s\",\"octets\":%zu,\"instructions\":%lld}\n",
	       bench->proto, octets, times[ROUNDS / 2]);
	return 0;
}

#endif /* BENCH_H */
