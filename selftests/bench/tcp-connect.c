// SPDX-License-Identifier: GPL-2.0
/* A TCP connection for each round trip: connect, Request, Response, close. */
#include "stream.h"

#include <netinet/tcp.h>

static int open_server(const struct load *load)
{
	(void)load;
	return stream_open(IPPROTO_TCP, TCP_NODELAY, true);
}

/* One process for all: one for each would be most of the cost. */
static void serve(int listening, const struct load *load)
{
	for (;;) {
		int fd = accept(listening, NULL, NULL);

		if (fd < 0 || !stream_take(fd, load->out) || !stream_put(fd, load->in) || close(fd))
			err(1, "tcp-connect server");
	}
}

static int open_client(const struct load *load)
{
	(void)load;
	return -1;
}

static bool transact(int nothing, const struct load *load)
{
	int fd = stream_open(IPPROTO_TCP, TCP_NODELAY, false);

	(void)nothing;
	stream_transact(fd, load);
	close(fd);
	return true;
}

int main(int argc, char **argv)
{
	static const struct bench tcp = { "tcp-connect", open_server, serve, open_client, transact, false };

	return bench_main(&tcp, argc, argv);
}
