// SPDX-License-Identifier: GPL-2.0
/* A round trip on an SCTP association that is there already (one-to-one style), SCTP_NODELAY on both ends. */
#include "stream.h"

#include <linux/sctp.h>

static int open_server(const struct load *load)
{
	(void)load;
	return stream_open(IPPROTO_SCTP, SCTP_NODELAY, true);
}

static int open_client(const struct load *load)
{
	(void)load;
	return stream_open(IPPROTO_SCTP, SCTP_NODELAY, false);
}

int main(int argc, char **argv)
{
	static const struct bench sctp = { "sctp", open_server, stream_serve, open_client, stream_transact, false };

	return bench_main(&sctp, argc, argv);
}
