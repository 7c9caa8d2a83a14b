/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the programs of `make bench` share: server processes in the network
 * namespace "server", clients in "client", and what is measured of them. The
 * harness (vm/bench.py) has made the namespaces and the link between them.
 *
 * A program defines how its protocol makes a round trip and calls
 * bench_main(). Then it is
 *
 *	PROGRAM OCTETS				the cost of a round trip (cost.h)
 *	PROGRAM rate CLIENTS MS OUT IN		closed loop (load.h)
 *	PROGRAM latency PER_SECOND COUNT CLIENTS OUT IN	open loop (load.h)
 *
 * and prints one line of JSON. Status 4: the protocol has no such message.
 */
#ifndef BENCH_H
#define BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
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
#define OCTETS_MOST	(4 << 20)
#define STATUS_SKIP	4

static char segment[OCTETS_MOST];

/* What a round trip carries. Both ends know it. */
struct load {
	size_t out, in;		/* octets of segment: Request, Response */
};

/*
 * open_server	makes the server's socket, which must be ready for the first
 *		Request when it returns
 * serve	answers for ever
 * open_client	makes a client's socket
 * transact	one round trip; false if the protocol gave up
 * empty	whether messages without data exist
 */
struct bench {
	const char *proto;
	int (*open_server)(const struct load *load);
	void (*serve)(int socket, const struct load *load);
	int (*open_client)(const struct load *load);
	bool (*transact)(int socket, const struct load *load);
	bool empty;
};

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

/* ns; under icount instructions. */
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

/* A child that ends with its parent. */
static inline pid_t child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

/* Runs open and serve in a process of its own, in this namespace; returns when it is open. */
static inline pid_t start_server(const struct bench *bench, const struct load *load, const char *namespace)
{
	int ready[2], socket;
	pid_t server;
	char octet;

	if (pipe(ready))
		err(1, "pipe");
	server = child();
	if (server == 0) {
		close(ready[0]);
		enter_namespace(namespace);
		socket = bench->open_server(load);
		if (write(ready[1], "", 1) != 1)
			err(1, "pipe");
		close(ready[1]);
		bench->serve(socket, load);
		exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &octet, 1) != 1)
		errx(1, "the server did not start");
	close(ready[0]);
	return server;
}

static inline void end(pid_t process)
{
	kill(process, SIGKILL);
	waitpid(process, NULL, 0);
}

/* A number of the command line. */
static inline long number(const char *text, long most)
{
	char *after;
	long value = strtol(text, &after, 0);

	if (*after || after == text || value < 0 || value > most)
		errx(2, "%s: not a number from 0 to %ld", text, most);
	return value;
}

#include "cost.h"
#include "load.h"

static inline int bench_main(const struct bench *bench, int argc, char **argv)
{
	struct load load;

	if (argc == 2) {
		load.out = load.in = number(argv[1], OCTETS_MOST);
		if (!load.out && !bench->empty)
			return STATUS_SKIP;
		return cost(bench, &load);
	}
	if (argc != 6 && argc != 7)
		errx(2, "usage: see bench.h");
	load.out = number(argv[argc - 2], OCTETS_MOST);
	load.in = number(argv[argc - 1], OCTETS_MOST);
	if (!strcmp(argv[1], "rate"))
		return rate(bench, &load, number(argv[2], CLIENTS_MOST), number(argv[3], 1000000));
	return latency(bench, &load, number(argv[2], 1000000), number(argv[3], COUNT_MOST), number(argv[4], CLIENTS_MOST));
}

#endif /* BENCH_H */
