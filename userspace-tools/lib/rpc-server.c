// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The SVCXPRT of libvmtprpc: Requests for libtirpc's svc_run() and dispatchers.
 * Each is answered at most once here, and executed at most once by the kernel.
 */
#include <errno.h>
#include <netinet/in.h>

#include "rpc.h"
#include <rpc/svc_mt.h>

/* How long the rest of a Request may take whose beginning is there. */
#define REST_MS	5000

/* What services see as the caller's port. Any process may have it. */
#define CALLER_PORT	65535

struct transport {
	SVCXPRT xprt;		/* first: one is the other */
	SVCXPRT_EXT extension;
	XDR xdrs;
	struct vmtp_mcb request;	/* the one that is served */
	bool open;		/* it is to be answered */
	bool died;		/* there will be no Request any more */
	u_int32_t xid;
	struct sockaddr_vmtp local, remote;
	char verifier[MAX_AUTH_BYTES];
	char *buffer;		/* the call, then its reply */
};

static struct transport *transport_of(SVCXPRT *xprt)
{
	return (struct transport *)xprt->xp_p2;
}

/* Answers the Request with octets of the buffer. That the Client has gone is no failure. */
static bool_t answer(struct transport *transport, uint32_t code, u_int octets)
{
	struct vmtp_mcb mcb = transport->request;

	if (!transport->open)
		return (transport->request.code & VMTP_DGM) != 0;
	vmtp_response(&mcb, code);
	transport->open = false;
	return !vmtp_sendreply(transport->xprt.xp_fd, &mcb, transport->buffer, octets) || errno == ENOTCONN;
}

static bool_t reply(SVCXPRT *xprt, struct rpc_msg *message)
{
	struct transport *transport = transport_of(xprt);
	struct accepted_reply *accepted = &message->acpted_rply;
	bool_t successful = message->rm_reply.rp_stat == MSG_ACCEPTED && accepted->ar_stat == SUCCESS;
	bool_t encoded;
	xdrproc_t results = NULL;
	caddr_t result = NULL;

	if (successful) { /* the authentication wraps what it protects */
		results = accepted->ar_results.proc;
		result = accepted->ar_results.where;
		accepted->ar_results.proc = (xdrproc_t)xdr_void;
		accepted->ar_results.where = NULL;
	}
	message->rm_xid = transport->xid;
	message->rm_direction = REPLY;
	xdrmem_create(&transport->xdrs, transport->buffer, MESSAGE_SIZE, XDR_ENCODE);
	encoded = xdr_replymsg(&transport->xdrs, message) &&
		  (!successful || SVCAUTH_WRAP(&SVC_XP_AUTH(xprt), &transport->xdrs, results, result));
	return encoded && answer(transport, VMTP_OK, XDR_GETPOS(&transport->xdrs));
}

/* The next Request, whole; octets, or -1 if there is none. */
static long receive(struct transport *transport)
{
	struct vmtp_msg msg = {
		.segment = (uintptr_t)transport->buffer,
		.length = MESSAGE_SIZE,
		.flags = VMTP_MSG_PIECES | VMTP_MSG_DONTWAIT,
	};
	struct sockaddr_in *address = (struct sockaddr_in *)(void *)&transport->xprt.xp_raddr;
	uint32_t whole, done;

	if (ioctl(transport->xprt.xp_fd, VMTP_RECVREQ, &msg)) {
		/* Shut down, moved, deleted or closed: poll() would say so for ever. */
		transport->died = errno == ESHUTDOWN || errno == EIDRM || errno == EBADF;
		return -1;
	}
	transport->request = msg.mcb;
	transport->open = !(msg.mcb.code & VMTP_DGM);
	transport->remote.svmtp_family = AF_VMTP;
	transport->remote.svmtp_domain = VMTP_DOMAIN_INTERNET;
	transport->remote.svmtp_entity = msg.mcb.client;
	transport->remote.svmtp_host = msg.host;
	/*
	 * For services that look where a caller is, as over UDP. A port below 1024 would tell some of them that it is
	 * root; an entity identifier does not.
	 */
	address->sin_family = AF_INET;
	address->sin_port = htons(CALLER_PORT);
	memcpy(&address->sin_addr, msg.host.address, sizeof(address->sin_addr));

	whole = msg.mcb.code & VMTP_SDA ? msg.mcb.segment_size : 0;
	for (done = msg.received; done < whole; done += msg.received) {
		msg = (struct vmtp_msg){
			.mcb = { .client = transport->request.client, .transaction = transport->request.transaction },
			.segment = (uintptr_t)(transport->buffer + done),
			.length = MESSAGE_SIZE - done,
			.timeout = REST_MS,
			.flags = VMTP_MSG_PIECES,
		};
		if (ioctl(transport->xprt.xp_fd, VMTP_RECVREQ, &msg) || msg.received == 0)
			return -1;
	}
	return done;
}

/*
 * A message that xdr_callmsg() does not take. RFC 1057, 8: one of another
 * version of RPC is told which there are. What is no call is told so by VMTP.
 */
static void refuse(struct transport *transport, u_int octets)
{
	struct rpc_msg denied = { .rm_direction = REPLY };
	uint32_t words[3];
	bool is_call = octets >= sizeof(words);

	if (is_call) {
		memcpy(words, transport->buffer, sizeof(words));
		is_call = ntohl(words[1]) == CALL && ntohl(words[2]) != RPC_MSG_VERSION;
	}
	if (!is_call) {
		answer(transport, VMTP_RPC_MALFORMED, 0);
		return;
	}
	transport->xid = ntohl(words[0]);
	denied.rm_reply.rp_stat = MSG_DENIED;
	denied.rjcted_rply.rj_stat = RPC_MISMATCH;
	denied.rjcted_rply.rj_vers.low = RPC_MSG_VERSION;
	denied.rjcted_rply.rj_vers.high = RPC_MSG_VERSION;
	reply(&transport->xprt, &denied);
}

static bool_t receive_call(SVCXPRT *xprt, struct rpc_msg *message)
{
	struct transport *transport = transport_of(xprt);
	long octets = receive(transport);
	bool is_call;

	if (octets < 0)
		return FALSE;
	/* Of a Request with VMTP_MDM parts may be missing: zeros are there that the caller did not say. */
	is_call = vmtp_code(&transport->request) == VMTP_RPC_CALL && !(transport->request.code & VMTP_MDM);
	xdrmem_create(&transport->xdrs, transport->buffer, (u_int)octets, XDR_DECODE);
	if (is_call && xdr_callmsg(&transport->xdrs, message)) {
		transport->xid = message->rm_xid;
		return TRUE;
	}
	refuse(transport, is_call ? (u_int)octets : 0);
	return FALSE;
}

static enum xprt_stat status(SVCXPRT *xprt)
{
	return transport_of(xprt)->died ? XPRT_DIED : XPRT_IDLE;
}

static bool_t get_arguments(SVCXPRT *xprt, xdrproc_t arguments, void *argument)
{
	return SVCAUTH_UNWRAP(&SVC_XP_AUTH(xprt), &transport_of(xprt)->xdrs, arguments, argument);
}

static bool_t free_arguments(SVCXPRT *xprt, xdrproc_t arguments, void *argument)
{
	XDR xdrs = { .x_op = XDR_FREE };

	(void)xprt;
	return (*arguments)(&xdrs, argument);
}

static void destroy(SVCXPRT *xprt)
{
	struct transport *transport = transport_of(xprt);

	xprt_unregister(xprt);
	close(xprt->xp_fd);
	if (SVC_XP_AUTH(xprt).svc_ah_ops)
		SVCAUTH_DESTROY(&SVC_XP_AUTH(xprt));
	free(transport->buffer);
	free(transport);
}

static bool_t control(SVCXPRT *xprt, const u_int request, void *info)
{
	(void)xprt, (void)request, (void)info;
	return FALSE;
}

SVCXPRT *svc_vmtp_create(int sock)
{
	static const struct xp_ops operations = {
		.xp_recv = receive_call,
		.xp_stat = status,
		.xp_getargs = get_arguments,
		.xp_reply = reply,
		.xp_freeargs = free_arguments,
		.xp_destroy = destroy,
	};
	static const struct xp_ops2 more_operations = { .xp_control = control };
	struct transport *transport = calloc(1, sizeof(*transport));
	int fd = sock == RPC_ANYSOCK ? vmtp_socket(SOCK_CLOEXEC) : sock;
	int requests = VMTP_RECEIVE_REQUESTS, error;
	socklen_t length = sizeof(transport->local);
	SVCXPRT *xprt;

	if (transport)
		transport->buffer = malloc(MESSAGE_SIZE);
	/* Unless it is bound it is given an entity; svc_run() shall see Requests only. */
	if (!transport || !transport->buffer || fd < 0 ||
	    getsockname(fd, (struct sockaddr *)(void *)&transport->local, &length) ||
	    (transport->local.svmtp_entity == 0 && vmtp_bind(fd, 0)) ||
	    getsockname(fd, (struct sockaddr *)(void *)&transport->local, &length) ||
	    setsockopt(fd, SOL_VMTP, VMTP_OPT_RECEIVE, &requests, sizeof(requests)))
		goto failed;
	xprt = &transport->xprt;
	xprt->xp_fd = fd;
	xprt->xp_ops = &operations;
	xprt->xp_ops2 = &more_operations;
	xprt->xp_netid = (char *)"vmtp";
	xprt->xp_ltaddr = (struct netbuf){ .buf = &transport->local, .len = length, .maxlen = length };
	xprt->xp_rtaddr = (struct netbuf){ .buf = &transport->remote, .len = length, .maxlen = length };
	xprt->xp_addrlen = sizeof(struct sockaddr_in);
	xprt->xp_verf.oa_base = transport->verifier;
	xprt->xp_p2 = transport;
	xprt->xp_p3 = &transport->extension;
	xprt_register(xprt);
	return xprt;
failed:
	error = errno;
	if (fd >= 0 && sock == RPC_ANYSOCK)
		close(fd);
	if (transport)
		free(transport->buffer);
	free(transport);
	errno = error;
	return NULL;
}
