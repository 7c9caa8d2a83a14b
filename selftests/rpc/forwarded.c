// SPDX-License-Identifier: GPL-2.0
/*
 * What a server passes on to the binder is not believed to come from the Client: it could have put anything into it.
 * forwarded BINDER, of this host
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include <vmtp-rpc.h>

#include "kselftest.h"

static int sock;
static uint64_t client;

/* Passes each Request on, as it is. */
static void forward(int server, uint64_t to)
{
	for (;;) {
		struct vmtp_mcb mcb;
		char data[512];
		long octets = vmtp_recvreq(server, &mcb, data, sizeof(data), 0);

		if (octets >= 0)
			vmtp_forward(server, &mcb, to, data, octets);
	}
}

/* Whether SET or UNSET of a program at our entity has that result. */
static void says(uint64_t server, uint32_t procedure, uint32_t wanted, const char *what)
{
	const uint32_t words[] = { 7, 0, 2, PMAPPROG, PMAPVERS, procedure, 0, 0, 0, 0, 0x20000078, 1, IPPROTO_VMTP,
				   (uint32_t)(client >> 32) };
	uint32_t call[sizeof(words) / 4], reply[16];
	struct vmtp_mcb mcb;
	unsigned int i;
	long octets;

	for (i = 0; i < sizeof(words) / 4; i++)
		call[i] = htonl(words[i]);
	vmtp_request(&mcb, server, VMTP_RPC_CALL);
	octets = vmtp_invoke(sock, &mcb, call, sizeof(call), reply, sizeof(reply), 20000);
	ksft_test_result(octets == 28 && vmtp_code(&mcb) == VMTP_OK && ntohl(reply[6]) == wanted, "%s\n", what);
}

int main(int argc, char **argv)
{
	uint64_t binder = 0, server = 0;
	int forwarding = vmtp_socket(0);
	pid_t child;

	ksft_print_header();
	ksft_set_plan(4);
	sock = vmtp_socket(0);
	if (argc != 2 || vmtp_entity_parse(argv[1], &binder))
		ksft_exit_fail_msg("usage: forwarded BINDER\n");
	if (forwarding < 0 || sock < 0 || vmtp_bind(forwarding, 0) || vmtp_getentity(forwarding, &server) ||
	    vmtp_bind(sock, 0) || vmtp_getentity(sock, &client))
		ksft_exit_fail_msg("no entities: %s\n", strerror(errno));
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		forward(forwarding, binder);
	}
	says(server, PMAPPROC_SET, 0, "SET that was passed on registers nothing");
	says(binder, PMAPPROC_SET, 1, "SET registers");
	says(server, PMAPPROC_UNSET, 0, "UNSET that was passed on takes nothing out");
	says(binder, PMAPPROC_UNSET, 1, "UNSET takes out");
	kill(child, SIGKILL);
	ksft_finished();
}
