// SPDX-License-Identifier: GPL-2.0
/*
 * The floor under a transaction: the server's host turns the Request around where it arrives (net.vmtp.reflect), without
 * a record, a server or a process to wake. What is left is IP and the link, twice, and the client.
 */
#include "entity.h"

/* Octets of segment data in a packet of 1,500, less than which two blocks are. */
#define ONE_PACKET	1024

static int open_server(const struct load *load)
{
	static const char setting[] = "/proc/sys/net/vmtp/reflect";
	int fd = open(setting, O_WRONLY | O_CLOEXEC);

	(void)load;
	if (fd < 0 || write(fd, "1", 1) != 1)
		err(1, "%s", setting);
	close(fd);
	return -1;
}

static void serve(int fd, const struct load *load)
{
	(void)fd;
	(void)load;
	for (;;)
		pause();
}

static int open_client(const struct load *load)
{
	/* It is there for messages of one packet. */
	if (load->out > ONE_PACKET)
		exit(4);
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
	return vmtp_code(&mcb) == VMTP_OK && got == (long)load->out;
}

int main(int argc, char **argv)
{
	static const struct bench floor = { "floor", open_server, serve, open_client, transact, true };

	return bench_main(&floor, argc, argv);
}
