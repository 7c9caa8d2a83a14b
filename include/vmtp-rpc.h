/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * vmtp-rpc.h - ONC RPC (RFC 1057) over VMTP (RFC 1045), for programs that use
 * libtirpc: a CLIENT and a SVCXPRT as those of UDP and TCP. What rpcgen makes
 * (stubs, dispatchers, XDR) is used as it is; only main() names the transport.
 *
 * On the wire an RPC call is a VMTP Request of code VMTP_RPC_CALL whose segment
 * is the call message as it would be in a UDP datagram; the reply message is
 * the segment of the Response, whose code is VMTP_OK. A message has up to
 * 4 MiB. A call is executed at most once.
 *
 * A call without a timeout ({ 0, 0 }) is a VMTP datagram: it is not answered.
 * Else the first word of the Request's UserData field (user[2]) is how many
 * milliseconds the caller waits, 0 being no limit, for who passes the call on.
 *
 * Programs are found by the binder of their host (vmtp rpcbind), the entity
 * BE-111-ADDRESS for each address of the host. It is program 100000, version 2
 * (RFC 1057, appendix A): SET, UNSET, GETPORT and DUMP, with protocol 81. For
 * "port" it has the upper half of the service's entity identifier; the
 * Response of GETPORT has the whole in its first two words of user data.
 */
#ifndef _VMTP_RPC_H
#define _VMTP_RPC_H

#include <rpc/rpc.h>
#include <rpc/pmap_prot.h>
#include <vmtp.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The code of a Request with an RPC call. */
#define VMTP_RPC_CALL		(VMTP_CODE_APPLICATION | 111)

/* The code of the Response to a Request that is no RPC call at all. */
#define VMTP_RPC_MALFORMED	(VMTP_CODE_APPLICATION | 112)

/* The discriminator of the binders, which are big endian as RPC is. */
#define VMTP_RPC_BINDER		111

/*
 * A client of a program on a host: its name, its IPv4 address, or an entity
 * identifier as LE-70000-192.0.2.1, which is then not looked up. NULL if there
 * is none; clnt_pcreateerror() says why. clnt_destroy() frees it. Threads may
 * share it, and then wait for each other.
 */
CLIENT *clnt_vmtp_create(const char *host, rpcprog_t prog, rpcvers_t vers);

/* The same of a program whose entity is known. Nothing is sent. */
CLIENT *clnt_vmtp_entity(uint64_t server, rpcprog_t prog, rpcvers_t vers);

/*
 * A transport for services. sock is an AF_VMTP socket, bound or not, which then
 * belongs to the transport, or RPC_ANYSOCK. NULL with errno if there is none.
 * Closed by svc_destroy(), which svc_run() calls when its entity was deleted
 * or has moved. Options of VMTP are set at its xp_fd.
 */
SVCXPRT *svc_vmtp_create(int sock);

/*
 * Serves a version of a program: as svc_reg(), and tells this host's binder.
 * FALSE if that cannot be reached or has a living service for it.
 */
bool_t svc_vmtp_register(SVCXPRT *xprt, rpcprog_t prog, rpcvers_t vers,
			 void (*dispatch)(struct svc_req *, SVCXPRT *));

/* Ends it: as svc_unreg(), and tells the binder. */
void svc_vmtp_unregister(SVCXPRT *xprt, rpcprog_t prog, rpcvers_t vers);

/*
 * Asks a host's binder for the entity of a program. 0 if there is none;
 * rpc_createerr says why.
 */
uint64_t vmtp_rpc_lookup(const char *host, rpcprog_t prog, rpcvers_t vers);

#ifdef __cplusplus
}
#endif

#endif /* _VMTP_RPC_H */
