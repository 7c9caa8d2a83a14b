// SPDX-License-Identifier: GPL-2.0
/* One Request to a VMTP group (a multicast) and the Responses of all its members. See members.h. */
#include "members.h"
#include "entity.h"

#define GROUP	vmtp_entity(VMTP_ENTITY_GROUP, 7, 0xE0000105)	/* 224.0.1.5 */

static int open_server(const struct load *load)
{
	struct vmtp_membership membership = { .group = GROUP };
	int fd = open_entity(ANY_ENTITY, load);

	if (setsockopt(fd, SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership)))
		err(1, "VMTP_OPT_JOIN");
	return fd;
}

static int open_client(const struct load *load)
{
	return open_entity(ANY_ENTITY, load);
}

static bool transact(int fd, const struct load *load)
{
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, GROUP, CODE | VMTP_MRD);
	if (vmtp_invoke(fd, &mcb, segment, load->out, segment, sizeof(segment), 0) < 0 || vmtp_code(&mcb) != VMTP_OK)
		return false;
	for (int i = 1; i < members; i++)
		if (vmtp_getreply(fd, &mcb, segment, sizeof(segment), 1000) < 0 || vmtp_code(&mcb) != VMTP_OK)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	static const struct bench group = { "vmtp", open_server, serve_entity, open_client, transact, true };

	return members_main(&group, argc, argv);
}
