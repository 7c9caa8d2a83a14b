// SPDX-License-Identifier: GPL-2.0
/*
 * What a transaction costs when the server's host has many entities, or records of many Clients, and what memory one of
 * them takes. The cost is that of 64 octets each way with a server and a Client that are among them (cost.h).
 *
 *	growth entities COUNT	so many sockets of one process are entities
 *	growth records COUNT	so many Clients have made a transaction with the server
 *	growth sockets COUNT	so many UDP sockets, for what of an entity's memory is its socket's
 */
#include <sys/resource.h>

#include "entity.h"

#define MAKERS	64

static const struct load load = { 64, 64 };

static bool transact(int fd, const struct load *what)
{
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, SERVER_ENTITY, CODE);
	if (vmtp_invoke(fd, &mcb, segment, what->out, segment, sizeof(segment), 0) < 0)
		err(1, "vmtp_invoke");
	return vmtp_code(&mcb) == VMTP_OK;
}

static int open_server(const struct load *what)
{
	return open_entity(SERVER_ENTITY, what);
}

static const struct bench vmtp = { "vmtp", open_server, serve_entity, NULL, transact, true };

/* Octets that the kernel's objects take. */
static long long slab(void)
{
	FILE *file = fopen("/proc/sys/vm/stat_refresh", "r");
	long long kib = 0;
	char line[128];

	/* Reading it brings the counters up to date. */
	if (file) {
		while (fgetc(file) != EOF)
			;
		fclose(file);
	}
	file = fopen("/proc/meminfo", "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Slab: %lld kB", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib * 1024;
}

static void make_entities(long count)
{
	while (count--)
		open_entity(ANY_ENTITY, &load);
}

static void make_sockets(long count)
{
	while (count--)
		if (socket(AF_INET, SOCK_DGRAM, 0) < 0)
			err(1, "socket");
}

/*
 * In the namespace "client": each Client is a socket for the time of one transaction. To close one takes a grace period of
 * RCU, so many processes do it at once.
 */
static void make_records(long count)
{
	pid_t makers[MAKERS];

	for (int i = 0; i < MAKERS; i++) {
		long own = count / MAKERS + (i < count % MAKERS);

		makers[i] = child();
		if (makers[i])
			continue;
		while (own--) {
			int fd = open_entity(ANY_ENTITY, &load);

			if (!transact(fd, &load))
				errx(1, "a transaction failed");
			close(fd);
		}
		_exit(0);
	}
	for (int i = 0; i < MAKERS; i++) {
		int status;

		if (waitpid(makers[i], &status, 0) != makers[i] || status)
			errx(1, "a Client has failed");
	}
}

static void set(const char *path, const char *value)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs(value, file) < 0 || fclose(file))
		err(1, "%s", path);
}

/*
 * None is to go before the last is made: they stay for four packet lifetimes (TS4), and one source may have a part of
 * the table only. That many are allowed in the initial namespace alone, which the harness has called "server".
 */
static void keep_records(void)
{
	set("/proc/sys/net/vmtp/packet_lifetime_ms", "3600000");
	set("/proc/sys/net/vmtp/records_max", "16777216");
}

int main(int argc, char **argv)
{
	struct rlimit files = { 1 << 20, 1 << 20 };
	long long before, after;
	pid_t server;
	long count;
	int client;
	bool records;

	if (argc != 3 || setrlimit(RLIMIT_NOFILE, &files))
		errx(2, "usage: growth entities|records|sockets COUNT");
	count = number(argv[2], 1000000);
	records = !strcmp(argv[1], "records");
	enter_namespace("server");
	server = start_server(&vmtp, &load, "server");
	if (records) {
		keep_records();
		enter_namespace("client");
		make_records(10);
	} else {
		make_entities(1);
	}
	before = slab();
	if (records)
		make_records(count);
	else if (!strcmp(argv[1], "sockets"))
		make_sockets(count);
	else
		make_entities(count);
	after = slab();
	enter_namespace("client");
	client = open_entity(ANY_ENTITY, &load);
	for (int i = 0; i < WARM_UP; i++)
		transact(client, &load);
	printf("{\"what\":\"%s\",\"count\":%ld,\"instructions\":%lld,\"memory\":%lld}\n", argv[1], count,
	       median_cost(&vmtp, &load, client, ROUNDS), after - before);
	end(server);
	return 0;
}
