// SPDX-License-Identifier: GPL-2.0 OR MIT
/* A VMTP client: has a text turned into capitals by a server. */
#include <stdlib.h>
#include <vmtp.h>

int main(int argc, char **argv)
{
	static char answer[VMTP_GROUP_SIZE];
	struct vmtp_mcb mcb;
	uint64_t server = 0;
	long n;
	int s = vmtp_socket(0);

	if (s < 0 || argc != 3 || vmtp_entity_parse(argv[1], &server))
		return perror("vmtp"), 1;
	vmtp_request(&mcb, server, 0x800001);
	n = vmtp_invoke(s, &mcb, argv[2], strlen(argv[2]), answer, sizeof(answer), 0);
	if (n < 0)
		return perror("vmtp"), 1;
	if (vmtp_code(&mcb) != VMTP_OK)
		return fprintf(stderr, "%s\n", vmtp_code_name(vmtp_code(&mcb))), 1;
	printf("%.*s\n", (int)n, answer);
	return 0;
}
