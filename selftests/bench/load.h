/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Load by several clients, each a process with a socket of its own. See bench.h.
 *
 * rate: closed loop. Each client begins the next round trip when the last one
 * has ended; what counts is how many there are in a time.
 *
 * latency: open loop. Round trips are due at times that are drawn beforehand
 * (a Poisson process, always the same) and not when a client happens to be
 * free; one that begins late because all clients wait has waited since it was
 * due. Thus a stall counts for everything that it delays.
 */
#ifndef LOAD_H
#define LOAD_H

#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define CLIENTS_MOST	512
#define COUNT_MOST	100000
#define LOAD_WARM_UP	3
#define FAILED		LLONG_MAX

/* What the processes share. */
struct common {
	atomic_int ready;
	atomic_long next, failed;
	_Atomic long long finished;		/* when the last round trip ended */
	atomic_long done[CLIENTS_MOST];
	long long begin;
	long long due[COUNT_MOST], took[COUNT_MOST];
};

static inline struct common *common_make(void)
{
	struct common *common = mmap(NULL, sizeof(*common), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (common == MAP_FAILED)
		err(1, "mmap");
	return common;
}

/* Starts so many clients, each of which runs body when all are ready. Returns then. */
static inline void start_clients(const struct bench *bench, const struct load *load, struct common *common, int clients,
				 void (*body)(const struct bench *, const struct load *, struct common *, int, int))
{
	int go[2], socket;
	char nothing;

	if (pipe(go))
		err(1, "pipe");
	for (int i = 0; i < clients; i++) {
		if (child())
			continue;
		close(go[1]);
		prctl(PR_SET_TIMERSLACK, 1);
		enter_namespace("client");
		socket = bench->open_client(load);
		for (int j = 0; j < LOAD_WARM_UP; j++)
			bench->transact(socket, load);
		atomic_fetch_add(&common->ready, 1);
		/* The end of the pipe is the sign. */
		if (read(go[0], &nothing, 1))
			err(1, "pipe");
		body(bench, load, common, i, socket);
		_exit(0);
	}
	while (atomic_load(&common->ready) < clients)
		usleep(1000);
	common->begin = now() + 10000000;
	close(go[0]);
	close(go[1]);
}

static inline void sleep_until(long long time)
{
	struct timespec at = { .tv_sec = time / 1000000000, .tv_nsec = time % 1000000000 };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* Waits until all clients have ended, and ends the server. */
static inline void wait_for_clients(pid_t server, int clients)
{
	int status;

	while (clients--)
		if (wait(&status) == server || status)
			errx(1, "a process has failed");
	end(server);
}

/* ---- Closed loop ----------------------------------------------------------- */

static long long rate_duration;

static inline void rate_body(const struct bench *bench, const struct load *load, struct common *common, int client, int socket)
{
	long long end = common->begin + rate_duration;

	sleep_until(common->begin);
	while (now() < end) {
		if (bench->transact(socket, load))
			atomic_fetch_add(&common->done[client], 1);
		else
			atomic_fetch_add(&common->failed, 1);
	}
}

static inline int rate(const struct bench *bench, const struct load *load, int clients, int ms)
{
	struct common *common = common_make();
	pid_t server = start_server(bench, load, "server");
	long long begin, took;
	long done = 0;

	rate_duration = ms * 1000000LL;
	start_clients(bench, load, common, clients, rate_body);
	begin = common->begin;
	wait_for_clients(server, clients);
	took = now() - begin;
	for (int i = 0; i < clients; i++)
		done += common->done[i];
	printf("{\"proto\":\"%s\",\"clients\":%d,\"out\":%zu,\"in\":%zu,\"per_second\":%.2f,\"failed\":%ld}\n", bench->proto,
	       clients, load->out, load->in, done * 1e9 / took, common->failed);
	return 0;
}

/* ---- Open loop ------------------------------------------------------------- */

static long latency_count;

static inline void latency_body(const struct bench *bench, const struct load *load, struct common *common, int client, int socket)
{
	long i;

	(void)client;
	while ((i = atomic_fetch_add(&common->next, 1)) < latency_count) {
		long long due = common->begin + common->due[i], ended, last;
		bool done;

		sleep_until(due);
		done = bench->transact(socket, load);
		ended = now();
		common->took[i] = done ? ended - due : FAILED;
		if (!done)
			atomic_fetch_add(&common->failed, 1);
		last = atomic_load(&common->finished);
		while (last < ended && !atomic_compare_exchange_weak(&common->finished, &last, ended))
			;
	}
}

/* Gaps with an exponential distribution and this mean in ns, the same in every run. */
static inline void draw_times(long long *due, long count, double mean)
{
	unsigned long long state = 0x9E3779B97F4A7C15ULL;
	double time = 0;

	for (long i = 0; i < count; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		time -= mean * log(((state >> 11) + 1) / 9007199254740993.0);
		due[i] = time;
	}
}

/* A quantile, or null if the round trip there never ended. */
static inline void print_quantile(const char *name, const long long *took, long count, double part)
{
	long long value = took[(long)(part * (count - 1) + 0.5)];

	if (value == FAILED)
		printf(",\"%s\":null", name);
	else
		printf(",\"%s\":%lld", name, value);
}

static inline int latency(const struct bench *bench, const struct load *load, long per_second, long count, int clients)
{
	struct common *common = common_make();
	pid_t server;

	if (!per_second || !count || !clients)
		errx(2, "usage: see bench.h");
	draw_times(common->due, count, 1e9 / per_second);
	latency_count = count;
	server = start_server(bench, load, "server");
	start_clients(bench, load, common, clients, latency_body);
	wait_for_clients(server, clients);
	qsort(common->took, count, sizeof(*common->took), compare);
	printf("{\"proto\":\"%s\",\"clients\":%d,\"out\":%zu,\"in\":%zu,\"offered\":%ld,\"count\":%ld,\"failed\":%ld", bench->proto,
	       clients, load->out, load->in, per_second, count, common->failed);
	printf(",\"per_second\":%.2f", (count - common->failed) * 1e9 / (common->finished - common->begin));
	print_quantile("p50", common->took, count, 0.5);
	print_quantile("p99", common->took, count, 0.99);
	print_quantile("p99.9", common->took, count, 0.999);
	printf("}\n");
	return 0;
}

#endif /* LOAD_H */
