/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What the parts of libvmtprpc share. Nothing of it is seen outside. */
#ifndef RPC_H
#define RPC_H

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include <vmtp-rpc.h>

/* Of each message: the most that VMTP carries. Memory that is not used is not touched. */
#define MESSAGE_SIZE	VMTP_MESSAGE_SIZE

/* The binder of the host with this address (host byte order). */
static inline uint64_t binder_of(uint32_t address)
{
	return vmtp_entity(0, VMTP_RPC_BINDER, address);
}

/* A client with a socket of its own, or of somebody else's who closes it. */
CLIENT *client_make(int fd, bool close_fd, uint64_t server, rpcprog_t prog, rpcvers_t vers);

/* The 20 octets of user data of the Response to the last call. */
const uint32_t *client_words(const CLIENT *handle);

#endif
