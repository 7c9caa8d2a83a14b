// SPDX-License-Identifier: GPL-2.0 OR MIT
/* A VMTP server: answers every Request with its text in capitals. */
#include <ctype.h>
#include <stdlib.h>
#include <vmtp.h>

int main(int argc, char **argv)
{
	static char text[VMTP_GROUP_SIZE];
	struct vmtp_mcb mcb;
	uint64_t entity = 0;
	long n, i;
	int s = vmtp_socket(0);

	if (s < 0 || argc != 2 || vmtp_entity_parse(argv[1], &entity) || vmtp_bind(s, entity))
		return perror("vmtp"), 1;
	n = vmtp_recvreq(s, &mcb, text, sizeof(text), 0);
	while (n >= 0) {
		for (i = 0; i < n; i++)
			text[i] = toupper((unsigned char)text[i]);
		vmtp_response(&mcb, VMTP_OK);
		n = vmtp_replyrecv(s, &mcb, text, n, text, sizeof(text), 0); /* one system call */
	}
	return perror("vmtp"), 1;
}
