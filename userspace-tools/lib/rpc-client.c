// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The CLIENT of libvmtprpc: an RPC call is one message transaction, whose
 * retransmissions are the kernel's. Not here: how a program is found.
 */
#include <errno.h>
#include <pthread.h>

#include "rpc.h"

/* As libtirpc: a call is tried again with new credentials so often. */
#define AUTH_REFRESHES	2

struct client {
	CLIENT handle;		/* first: one is the other */
	struct sockaddr_vmtp server;
	int fd;
	bool close_fd;
	bool fixed_time;	/* CLSET_TIMEOUT was used: calls' own times do not count */
	struct timeval time;
	struct rpc_err error;	/* of the last call */
	struct rpc_msg call;	/* the fields that stay from call to call */
	uint32_t words[5];
	char *buffer;		/* the call, then its reply */
	pthread_mutex_t lock;	/* a socket has one transaction at a time */
};

static struct client *client_of(const CLIENT *handle)
{
	return (struct client *)handle->cl_private;
}

const uint32_t *client_words(const CLIENT *handle)
{
	return client_of(handle)->words;
}

static enum clnt_stat failed(struct client *client, enum clnt_stat status, int error)
{
	client->error.re_status = status;
	client->error.re_errno = error;
	return status;
}

/* Octets of the call message in the buffer, or 0 if it cannot be encoded or is too long. */
static u_int encode(struct client *client, rpcproc_t proc, xdrproc_t arguments, void *argument)
{
	AUTH *auth = client->handle.cl_auth;
	u_int octets = 0;
	XDR xdrs;

	xdrmem_create(&xdrs, client->buffer, MESSAGE_SIZE, XDR_ENCODE);
	client->call.rm_xid++;
	if (xdr_callhdr(&xdrs, &client->call) && XDR_PUTINT32(&xdrs, (int32_t *)&proc) &&
	    AUTH_MARSHALL(auth, &xdrs) && AUTH_WRAP(auth, &xdrs, arguments, argument))
		octets = XDR_GETPOS(&xdrs);
	XDR_DESTROY(&xdrs);
	return octets;
}

/* Milliseconds, rounded up; what is more than VMTP can count is no limit, 0. */
static uint32_t milliseconds(const struct timeval *time)
{
	int64_t ms = (int64_t)time->tv_sec * 1000 + (time->tv_usec + 999) / 1000;

	return ms < 0 || ms >= UINT32_MAX ? 0 : (uint32_t)ms;
}

/* What a transaction that brought no reply means to an RPC program. */
static enum clnt_stat transaction_failed(struct client *client, uint32_t code)
{
	switch (code) {
	case VMTP_USER_TIMEOUT:
	case VMTP_RETRANS_TIMEOUT:
		return failed(client, RPC_TIMEDOUT, ETIMEDOUT);
	case VMTP_NONEXISTENT_ENTITY:
		return failed(client, RPC_CANTRECV, ECONNREFUSED);
	case VMTP_NO_PERMISSION:
		return failed(client, RPC_CANTRECV, EACCES);
	case VMTP_BUSY:
		return failed(client, RPC_CANTRECV, EBUSY);
	default:
		return failed(client, RPC_CANTRECV, EPROTO);
	}
}

/*
 * One transaction: sends the call in the buffer and has the whole reply there.
 * Sets *octets. A signal does not end it; its time does.
 */
static enum clnt_stat transact(struct client *client, u_int *octets, uint32_t limit, bool datagram)
{
	struct vmtp_exchange exchange = {
		.out = {
			.mcb = {
				.server = client->server.svmtp_entity,
				.code = VMTP_RPC_CALL | (datagram ? VMTP_DGM : 0),
				.user = { [2] = limit },
			},
			.segment = (uintptr_t)client->buffer,
			.length = *octets,
			.timeout = limit,
			.flags = VMTP_MSG_ABORT,
		},
		.in = {
			.segment = (uintptr_t)client->buffer,
			.length = MESSAGE_SIZE,
			.flags = VMTP_MSG_PIECES,
		},
	};
	struct vmtp_msg *in = &exchange.in;
	uint32_t whole, done;

	if (ioctl(client->fd, VMTP_INVOKE, &exchange)) {
		if (errno != EINTR || datagram)
			return failed(client, RPC_CANTSEND, errno);
		in->timeout = UINT32_MAX; /* the transaction has its own limit */
		while (ioctl(client->fd, VMTP_GETREPLY, in))
			if (errno != EINTR)
				return failed(client, RPC_CANTRECV, errno);
	}
	if (datagram)
		return RPC_SUCCESS;
	if (vmtp_code(&in->mcb) != VMTP_OK)
		return transaction_failed(client, vmtp_code(&in->mcb));
	/* Parts may be missing, and nobody would know which. */
	if (in->mcb.code & VMTP_MDM)
		return failed(client, RPC_CANTRECV, EPROTO);
	memcpy(client->words, in->mcb.user, sizeof(client->words));

	whole = in->mcb.code & VMTP_SDA ? in->mcb.segment_size : 0;
	for (done = in->received; done < whole; done += in->received) {
		in->segment = (uintptr_t)(client->buffer + done);
		in->length = MESSAGE_SIZE - done;
		in->timeout = UINT32_MAX;
		in->flags = VMTP_MSG_PIECES;
		in->host = (struct vmtp_host){ 0 };
		in->reserved = 0;
		while (ioctl(client->fd, VMTP_GETREPLY, in))
			if (errno != EINTR)
				return failed(client, RPC_CANTRECV, errno);
		if (vmtp_code(&in->mcb) != VMTP_OK)
			return transaction_failed(client, vmtp_code(&in->mcb));
		if (in->received == 0)
			return failed(client, RPC_CANTRECV, EPROTO);
	}
	*octets = done;
	return RPC_SUCCESS;
}

/* Looks at the reply in the buffer; *refused: the credentials were, and others may do. */
static enum clnt_stat decode(struct client *client, u_int octets, xdrproc_t results, void *result, bool *refused)
{
	AUTH *auth = client->handle.cl_auth;
	struct rpc_err *error = &client->error;
	struct rpc_msg reply;
	XDR xdrs;

	*refused = false;
	memset(&reply, 0, sizeof(reply));
	reply.acpted_rply.ar_verf = _null_auth;
	reply.acpted_rply.ar_results.where = NULL;
	reply.acpted_rply.ar_results.proc = (xdrproc_t)xdr_void;
	xdrmem_create(&xdrs, client->buffer, octets, XDR_DECODE);
	if (!xdr_replymsg(&xdrs, &reply) || reply.rm_xid != client->call.rm_xid) {
		failed(client, RPC_CANTDECODERES, EPROTO);
	} else {
		_seterr_reply(&reply, error);
		if (error->re_status == RPC_AUTHERROR) {
			*refused = AUTH_REFRESH(auth, &reply);
		} else if (error->re_status == RPC_SUCCESS) {
			if (!AUTH_VALIDATE(auth, &reply.acpted_rply.ar_verf)) {
				error->re_status = RPC_AUTHERROR;
				error->re_why = AUTH_INVALIDRESP;
			} else if (!AUTH_UNWRAP(auth, &xdrs, results, result)) {
				failed(client, RPC_CANTDECODERES, 0);
			}
		}
	}
	if (reply.rm_reply.rp_stat == MSG_ACCEPTED && reply.acpted_rply.ar_verf.oa_base) {
		xdrs.x_op = XDR_FREE;
		xdr_opaque_auth(&xdrs, &reply.acpted_rply.ar_verf);
	}
	XDR_DESTROY(&xdrs);
	return error->re_status;
}

static enum clnt_stat call(CLIENT *handle, rpcproc_t proc, xdrproc_t arguments, void *argument, xdrproc_t results,
			   void *result, struct timeval time)
{
	struct client *client = client_of(handle);
	const struct timeval *limit = client->fixed_time ? &client->time : &time;
	bool datagram = limit->tv_sec == 0 && limit->tv_usec == 0;
	enum clnt_stat status;
	bool refused;
	int left;

	pthread_mutex_lock(&client->lock);
	for (left = AUTH_REFRESHES;; left--) {
		u_int octets = encode(client, proc, arguments, argument);

		if (octets == 0) {
			status = failed(client, RPC_CANTENCODEARGS, 0);
			break;
		}
		client->error.re_status = RPC_SUCCESS;
		status = transact(client, &octets, milliseconds(limit), datagram);
		if (status != RPC_SUCCESS)
			break;
		if (datagram) {
			/* As over UDP and TCP: who wants no results has them, who does waits in vain. */
			if (results)
				status = failed(client, RPC_TIMEDOUT, ETIMEDOUT);
			break;
		}
		status = decode(client, octets, results, result, &refused);
		if (!refused || left == 0)
			break;
	}
	pthread_mutex_unlock(&client->lock);
	return status;
}

static void get_error(CLIENT *handle, struct rpc_err *error)
{
	*error = client_of(handle)->error;
}

static bool_t free_results(CLIENT *handle, xdrproc_t results, void *result)
{
	XDR xdrs = { .x_op = XDR_FREE };

	(void)handle;
	return (*results)(&xdrs, result);
}

static void abort_call(CLIENT *handle)
{
	(void)handle;
}

static bool_t control(CLIENT *handle, u_int request, void *info)
{
	struct client *client = client_of(handle);
	struct netbuf *address = info;
	const struct timeval *time = info;
	bool_t known = TRUE;

	if (request != CLSET_FD_CLOSE && request != CLSET_FD_NCLOSE && !info)
		return FALSE;
	pthread_mutex_lock(&client->lock);
	switch (request) {
	case CLSET_TIMEOUT:
		known = time->tv_sec >= 0 && time->tv_usec >= 0 && time->tv_usec < 1000000;
		if (known) {
			client->time = *time;
			client->fixed_time = true;
		}
		break;
	case CLGET_TIMEOUT:
		*(struct timeval *)info = client->time;
		break;
	case CLGET_SERVER_ADDR:
		/* The caller may have no more room than a struct sockaddr has. */
		memcpy(info, &client->server, VMTP_SOCKADDR_MIN);
		break;
	case CLGET_SVC_ADDR:
		address->buf = &client->server;
		address->len = address->maxlen = sizeof(client->server);
		break;
	case CLGET_FD:
		*(int *)info = client->fd;
		break;
	case CLSET_FD_CLOSE:
		client->close_fd = true;
		break;
	case CLSET_FD_NCLOSE:
		client->close_fd = false;
		break;
	case CLGET_XID:
		*(u_int32_t *)info = client->call.rm_xid;
		break;
	case CLSET_XID: /* that of the next call */
		client->call.rm_xid = *(u_int32_t *)info - 1;
		break;
	case CLGET_VERS:
		*(u_int32_t *)info = client->call.rm_call.cb_vers;
		break;
	case CLSET_VERS:
		client->call.rm_call.cb_vers = *(u_int32_t *)info;
		break;
	case CLGET_PROG:
		*(u_int32_t *)info = client->call.rm_call.cb_prog;
		break;
	case CLSET_PROG:
		client->call.rm_call.cb_prog = *(u_int32_t *)info;
		break;
	default: /* retransmission is VMTP's, so CLSET_RETRY_TIMEOUT is unknown too */
		known = FALSE;
	}
	pthread_mutex_unlock(&client->lock);
	return known;
}

static void destroy(CLIENT *handle)
{
	struct client *client = client_of(handle);

	if (client->close_fd)
		close(client->fd);
	pthread_mutex_destroy(&client->lock);
	free(client->buffer);
	free(client);
}

static struct clnt_ops operations = {
	.cl_call = call,
	.cl_abort = abort_call,
	.cl_geterr = get_error,
	.cl_freeres = free_results,
	.cl_destroy = destroy,
	.cl_control = control,
};

CLIENT *client_make(int fd, bool close_fd, uint64_t server, rpcprog_t prog, rpcvers_t vers)
{
	struct client *client = calloc(1, sizeof(*client));
	struct timespec now;

	if (client)
		client->buffer = malloc(MESSAGE_SIZE);
	if (!client || !client->buffer) {
		free(client);
		rpc_createerr.cf_stat = RPC_SYSTEMERROR;
		rpc_createerr.cf_error.re_errno = ENOMEM;
		return NULL;
	}
	client->fd = fd;
	client->close_fd = close_fd;
	client->server.svmtp_family = AF_VMTP;
	client->server.svmtp_entity = server;
	/* Replies are matched by VMTP; xids need only differ, also from those of an earlier process. */
	clock_gettime(CLOCK_REALTIME, &now);
	client->call.rm_xid = (u_int32_t)now.tv_nsec ^ (u_int32_t)now.tv_sec ^ (u_int32_t)getpid() << 16;
	client->call.rm_direction = CALL;
	client->call.rm_call.cb_rpcvers = RPC_MSG_VERSION;
	client->call.rm_call.cb_prog = prog;
	client->call.rm_call.cb_vers = vers;
	pthread_mutex_init(&client->lock, NULL);
	client->handle.cl_ops = &operations;
	client->handle.cl_private = client;
	client->handle.cl_netid = NULL;
	client->handle.cl_auth = authnone_create();
	return &client->handle;
}

CLIENT *clnt_vmtp_entity(uint64_t server, rpcprog_t prog, rpcvers_t vers)
{
	int fd = vmtp_socket(SOCK_CLOEXEC);
	CLIENT *handle;

	if (fd < 0) {
		rpc_createerr.cf_stat = RPC_SYSTEMERROR;
		rpc_createerr.cf_error.re_errno = errno;
		return NULL;
	}
	handle = client_make(fd, true, server, prog, vers);
	if (!handle)
		close(fd);
	return handle;
}
