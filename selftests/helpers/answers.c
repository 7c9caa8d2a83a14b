// SPDX-License-Identifier: GPL-2.0
/*
 * answers ENTITY ACTION...: a server that does one of these for each Request,
 * and the last of them for all that follow:
 *
 *	CODE[:OCTETS]	answers with this code and so much segment; again and
 *			again if the Client does not acknowledge it
 *	hold		keeps the Request
 *	abandon		tells that nobody answers it
 *	exit		ends
 *	ENTITY		passes it on
 *
 * Each is printed before it is done.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmtp.h>

static char segment[VMTP_MESSAGE_SIZE];

static int act(int s, struct vmtp_mcb *mcb, const char *action)
{
	uint64_t to;
	char *end;

	puts(action);
	fflush(stdout);
	if (!strcmp(action, "exit"))
		exit(0);
	if (!strcmp(action, "hold"))
		return 0;
	if (!strcmp(action, "abandon")) {
		vmtp_response(mcb, VMTP_OK);
		mcb->flags |= VMTP_F_ABANDON;
		return vmtp_sendreply(s, mcb, NULL, 0);
	}
	if (!vmtp_entity_parse(action, &to))
		return vmtp_forward(s, mcb, to, NULL, 0);
	vmtp_response(mcb, strtoul(action, &end, 0));
	return vmtp_sendreply(s, mcb, segment, *end == ':' ? strtoul(end + 1, NULL, 0) : 0);
}

int main(int argc, char **argv)
{
	uint64_t entity = 0;
	int s = vmtp_socket(0), action = 2, retries = 255;
	struct vmtp_mcb mcb;

	if (s < 0 || argc < 3 || vmtp_entity_parse(argv[1], &entity) || vmtp_bind(s, entity) ||
	    setsockopt(s, SOL_VMTP, VMTP_OPT_RESPONSE_RETRIES, &retries, sizeof(retries)))
		return perror("answers"), 1;
	while (vmtp_recvreq(s, &mcb, NULL, 0, 0) >= 0) {
		if (act(s, &mcb, argv[action]))
			perror(argv[action]);
		action += action + 1 < argc;
	}
	return perror("answers"), 1;
}
