// SPDX-License-Identifier: GPL-2.0
/*
 * A UDP caller behind a gateway that sends its call again and again: the call is executed once and each time answered
 * alike. duplicates HOST
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <rpc/pmap_clnt.h>
#include <vmtp-rpc.h>

#include "kselftest.h"

#define TIMES	5

int main(int argc, char **argv)
{
	const uint32_t xid = 0x12345678, number = 3000, program = 0x20000076;
	uint32_t call[] = { htonl(xid), 0, htonl(2), htonl(program), htonl(3), htonl(2), 0, 0, 0, 0, htonl(number) };
	const uint32_t wanted[] = { htonl(xid), htonl(1), 0, 0, 0, 0, htonl(1) };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PMAPPORT) };
	int sock = socket(AF_INET, SOCK_DGRAM, 0), i, equal = 0, answers = 0;
	struct pollfd ready = { .fd = sock, .events = POLLIN };
	uint32_t reply[16];

	ksft_print_header();
	ksft_set_plan(2);
	if (argc != 2 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		ksft_exit_fail_msg("usage: duplicates ADDRESS\n");
	to.sin_port = htons(pmap_getport(&to, program, 3, IPPROTO_UDP));
	ksft_test_result(to.sin_port != 0, "the program has a port\n");
	/* Some while it is executed, the others when it has been answered, however long that takes. */
	for (i = 0; i < TIMES; i++) {
		sendto(sock, call, sizeof(call), 0, (struct sockaddr *)&to, sizeof(to));
		if (i == TIMES / 2)
			poll(&ready, 1, 30000);
	}
	while (poll(&ready, 1, answers > 1 ? 3000 : 10000) == 1) {
		ssize_t octets = recv(sock, reply, sizeof(reply), 0);

		answers++;
		equal += octets == sizeof(wanted) && !memcmp(reply, wanted, sizeof(wanted));
	}
	ksft_test_result(answers > 1 && equal == answers, "%d duplicates have %d answers, %d of the only execution\n",
			 TIMES, answers, equal);
	ksft_finished();
}
