/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The cost of a round trip: the median time of many by CLOCK_MONOTONIC, which
 * under QEMU's icount counts instructions of the guest, 1 ns each. One client,
 * one server, one after the other. See bench.h.
 */
#ifndef COST_H
#define COST_H

#define WARM_UP		100
#define ROUNDS		500
/* The last rounds are what `make profile` shows. */
#define PROFILED	50

/* No-ops between which selftests/vm/profile/plugin.c writes down what runs. */
#define MARK_BEGIN()	asm volatile("nopl 0x01544d56(%%rax)" ::: "memory")
#define MARK_END()	asm volatile("nopl 0x00544d56(%%rax)" ::: "memory")

/* The median of so many round trips; the program ends if one fails. */
static inline long long median_cost(const struct bench *bench, const struct load *load, int socket, int rounds)
{
	static long long times[ROUNDS];
	long long begin;

	for (int i = 0; i < rounds; i++) {
		if (i >= rounds - PROFILED)
			MARK_BEGIN();
		begin = now();
		if (!bench->transact(socket, load))
			errx(1, "%s: a round trip failed", bench->proto);
		times[i] = now() - begin;
	}
	MARK_END();
	qsort(times, rounds, sizeof(*times), compare);
	return times[rounds / 2];
}

static inline int cost(const struct bench *bench, const struct load *load)
{
	pid_t server = start_server(bench, load, "server");
	int socket;

	enter_namespace("client");
	socket = bench->open_client(load);
	for (int i = 0; i < WARM_UP; i++)
		if (!bench->transact(socket, load))
			errx(1, "%s: a round trip failed", bench->proto);
	printf("{\"proto\":\"%s\",\"octets\":%zu,\"instructions\":%lld}\n", bench->proto, load->out,
	       median_cost(bench, load, socket, ROUNDS));
	end(server);
	return 0;
}

#endif /* COST_H */
