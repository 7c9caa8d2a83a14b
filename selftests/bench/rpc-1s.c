// SPDX-License-Identifier: GPL-2.0
/* ONC RPC over UDP, with a retry timeout of one second (CLSET_RETRY_TIMEOUT), as careful programs set. See rpc.h. */
#include "rpc.h"

static int open_client(const struct load *load)
{
	return rpc_open_client(load, 1);
}

int main(int argc, char **argv)
{
	static const struct bench rpc = { "rpc-1s", rpc_open_server, rpc_serve, open_client, rpc_transact, true };

	return bench_main(&rpc, argc, argv);
}
