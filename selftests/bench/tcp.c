// SPDX-License-Identifier: GPL-2.0
/* A round trip on a connection that is there already, TCP_NODELAY on both ends. */
#include "stream.h"

#include <netinet/tcp.h>

static int open_server(const struct load *load)
{
	(void)load;
	return stream_open(IPPROTO_TCP, TCP_NODELAY, true);
}

static int open_client(const struct load *load)
{
	(void)load;
	return stream_open(IPPROTO_TCP, TCP_NODELAY, false);
}

int main(int argc, char **argv)
{
	static const struct bench tcp = { "tcp", open_server, stream_serve, open_client, stream_transact, false };

	return bench_main(&tcp, argc, argv);
}
