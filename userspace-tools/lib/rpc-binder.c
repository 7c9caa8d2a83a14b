// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * How programs are found over VMTP: calls to the binder of a host, which is
 * the portmapper of RFC 1057, appendix A. The binder itself is `vmtp rpcbind`.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>

#include "rpc.h"

static const struct timeval patience = { .tv_sec = 10 };

static uint64_t not_created(enum clnt_stat status, int error)
{
	rpc_createerr.cf_stat = status;
	rpc_createerr.cf_error.re_status = status;
	rpc_createerr.cf_error.re_errno = error;
	return 0;
}

/* The IPv4 address of a host, in host byte order, or 0. */
static uint32_t address_of(const char *host)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_DGRAM }, *found = NULL;
	uint32_t address = 0;

	if (host && !getaddrinfo(host, NULL, &hints, &found)) {
		address = ntohl(((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr.s_addr);
		freeaddrinfo(found);
	}
	return address;
}

uint64_t vmtp_rpc_lookup(const char *host, rpcprog_t prog, rpcvers_t vers)
{
	struct pmap wanted = { .pm_prog = prog, .pm_vers = vers, .pm_prot = IPPROTO_VMTP };
	uint32_t address = address_of(host);
	uint64_t entity = 0;
	u_int port = 0;
	enum clnt_stat status;
	CLIENT *binder;

	if (address == 0)
		return not_created(RPC_UNKNOWNHOST, 0);
	binder = clnt_vmtp_entity(binder_of(address), PMAPPROG, PMAPVERS);
	if (!binder)
		return 0;
	status = CLNT_CALL(binder, PMAPPROC_GETPORT, (xdrproc_t)xdr_pmap, &wanted, (xdrproc_t)xdr_u_int, &port,
			   patience);
	if (status != RPC_SUCCESS) {
		rpc_createerr.cf_stat = RPC_PMAPFAILURE;
		CLNT_GETERR(binder, &rpc_createerr.cf_error);
	} else if (port == 0) {
		not_created(RPC_PROGNOTREGISTERED, 0);
	} else {
		/* The whole identifier: a service may have another address of its host than we know. */
		const uint32_t *words = client_words(binder);

		entity = words[0] == port ? (uint64_t)words[0] << 32 | words[1] : (uint64_t)port << 32 | address;
	}
	CLNT_DESTROY(binder);
	return entity;
}

CLIENT *clnt_vmtp_create(const char *host, rpcprog_t prog, rpcvers_t vers)
{
	uint64_t entity = 0;

	if (!host || vmtp_entity_parse(host, &entity))
		entity = vmtp_rpc_lookup(host, prog, vers);
	return entity ? clnt_vmtp_entity(entity, prog, vers) : NULL;
}

/*
 * A procedure of this host's binder about a version. The call comes from the
 * service's own entity, which the binder takes for what is registered.
 */
static bool ask(SVCXPRT *xprt, rpcproc_t procedure, rpcprog_t prog, rpcvers_t vers, xdrproc_t decode, void *result)
{
	struct pmap mapping = { .pm_prog = prog, .pm_vers = vers, .pm_prot = IPPROTO_VMTP };
	uint64_t entity = ((struct sockaddr_vmtp *)xprt->xp_ltaddr.buf)->svmtp_entity;
	enum clnt_stat status;
	CLIENT *binder;

	mapping.pm_port = (uint32_t)(entity >> 32);
	binder = client_make(xprt->xp_fd, false, binder_of(vmtp_entity_address(entity)), PMAPPROG, PMAPVERS);
	if (!binder)
		return false;
	status = CLNT_CALL(binder, procedure, (xdrproc_t)xdr_pmap, &mapping, decode, result, patience);
	CLNT_DESTROY(binder);
	return status == RPC_SUCCESS;
}

/* SET or UNSET. */
static bool_t tell(SVCXPRT *xprt, rpcproc_t procedure, rpcprog_t prog, rpcvers_t vers)
{
	bool_t done = FALSE;

	return ask(xprt, procedure, prog, vers, (xdrproc_t)xdr_bool, &done) && done;
}

/* Whether the version is this transport's already. */
static bool is_registered(SVCXPRT *xprt, rpcprog_t prog, rpcvers_t vers)
{
	uint64_t entity = ((struct sockaddr_vmtp *)xprt->xp_ltaddr.buf)->svmtp_entity;
	u_int port = 0;

	return ask(xprt, PMAPPROC_GETPORT, prog, vers, (xdrproc_t)xdr_u_int, &port) && port == (uint32_t)(entity >> 32);
}

bool_t svc_vmtp_register(SVCXPRT *xprt, rpcprog_t prog, rpcvers_t vers, void (*dispatch)(struct svc_req *, SVCXPRT *))
{
	bool before = is_registered(xprt, prog, vers);

	/* In this order: svc_unreg() would end the version for all transports. */
	if (!tell(xprt, PMAPPROC_SET, prog, vers))
		return FALSE;
	if (svc_reg(xprt, prog, vers, dispatch, NULL))
		return TRUE;
	if (!before)
		tell(xprt, PMAPPROC_UNSET, prog, vers);
	return FALSE;
}

void svc_vmtp_unregister(SVCXPRT *xprt, rpcprog_t prog, rpcvers_t vers)
{
	tell(xprt, PMAPPROC_UNSET, prog, vers);
	svc_unreg(prog, vers);
}
