// SPDX-License-Identifier: GPL-2.0
/* A message transaction: one system call of the client (invoke), one of the server (reply and receive the next). */
#include "entity.h"

static int open_server(const struct load *load)
{
	return open_entity(SERVER_ENTITY, load);
}

static int open_client(const struct load *load)
{
	return open_entity(ANY_ENTITY, load);
}

static bool transact(int fd, const struct load *load)
{
	struct vmtp_mcb mcb;
	long got;

	vmtp_request(&mcb, SERVER_ENTITY, CODE);
	got = vmtp_invoke(fd, &mcb, segment, load->out, segment, sizeof(segment), 0);
	if (got < 0)
		err(1, "vmtp_invoke");
	if (vmtp_code(&mcb) != VMTP_OK)
		return false;
	if (got != (long)load->in)
		errx(1, "vmtp: %ld octets", got);
	return true;
}

int main(int argc, char **argv)
{
	static const struct bench vmtp = { "vmtp", open_server, serve_entity, open_client, transact, true };

	return bench_main(&vmtp, argc, argv);
}
