/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A Request to many servers, each on a host of its own: the namespaces "server",
 * which is the first, and "member2", "member3" ... at 10.81.0.1, 10.81.0.3,
 * 10.81.0.4 ... (the client is 10.81.0.2). The harness has made them.
 *
 *	PROGRAM MEMBERS OCTETS	the median cost until all have answered (cost.h)
 */
#ifndef MEMBERS_H
#define MEMBERS_H

#include "bench.h"

#define MEMBERS_MOST	64

static int members;	/* how many there are */
static int member;	/* which one this process is, from 0 */

static inline __u32 member_address(int which)
{
	return SERVER_ADDRESS + which + (which > 0);
}

static inline int members_main(const struct bench *bench, int argc, char **argv)
{
	struct load load;
	pid_t servers[MEMBERS_MOST];
	char name[32];
	int socket;

	if (argc != 3)
		errx(2, "usage: %s MEMBERS OCTETS", argv[0]);
	members = number(argv[1], MEMBERS_MOST);
	load.out = load.in = number(argv[2], 1024);
	for (member = 0; member < members; member++) {
		snprintf(name, sizeof(name), "member%d", member + 1);
		servers[member] = start_server(bench, &load, member ? name : "server");
	}
	enter_namespace("client");
	socket = bench->open_client(&load);
	/* Address resolution of all. */
	for (int i = 0; i < 20; i++)
		bench->transact(socket, &load);
	printf("{\"proto\":\"%s\",\"members\":%d,\"octets\":%zu,\"instructions\":%lld}\n", bench->proto, members, load.out,
	       median_cost(bench, &load, socket, 200));
	while (member--)
		end(servers[member]);
	return 0;
}

#endif /* MEMBERS_H */
