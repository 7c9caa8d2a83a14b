// SPDX-License-Identifier: GPL-2.0
/*
 * What a CLIENT of libvmtprpc makes of a signal, of a reply parts of which may be missing, and of what a program must
 * not say; and of a SVCXPRT that cannot be registered, or whose entity has gone. It has its own server. trouble
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vmtp-rpc.h>

#include "kselftest.h"

#define PROGRAM	0x20000077

static const struct timeval patience = { .tv_sec = 25 }, no_time;
static bool interrupted;

/* The library's too: once, a signal comes before anything was sent. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (interrupted && request == VMTP_INVOKE) {
		interrupted = false;
		errno = EINTR;
		return -1;
	}
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

/* Answers each call with success; procedure 1 with MDM, by which blocks might be missing. */
static void serve(int sock)
{
	for (;;) {
		uint32_t words[16], reply[6] = { 0, htonl(1) };
		struct vmtp_mcb mcb;
		bool masked;

		if (vmtp_recvreq(sock, &mcb, words, sizeof(words), 0) < 24)
			continue;
		masked = ntohl(words[5]) == 1;
		reply[0] = words[0];
		vmtp_response(&mcb, VMTP_OK | (masked ? VMTP_MDM : 0));
		if (masked)
			mcb.msg_delivery = 1;
		vmtp_sendreply(sock, &mcb, reply, sizeof(reply));
	}
}

static void call(CLIENT *client, rpcproc_t procedure, struct timeval time, enum clnt_stat wanted, int number,
		 const char *what)
{
	struct rpc_err error = { 0 };
	/* Who does not wait wants no results. */
	xdrproc_t results = time.tv_sec ? (xdrproc_t)xdr_void : NULL;
	enum clnt_stat status = clnt_call(client, procedure, (xdrproc_t)xdr_void, NULL, results, NULL, time);

	clnt_geterr(client, &error);
	ksft_test_result(status == wanted && (!number || error.re_errno == number), "%s: %s, %s\n", what,
			 clnt_sperrno(status), strerror(error.re_errno));
}

static void sets_times(CLIENT *client)
{
	const struct timeval bad[] = { { -1, 0 }, { 0, -1 }, { 0, 1000000 } };
	struct timeval good = { 7, 5 }, now;
	unsigned int i, wrong = 0;

	for (i = 0; i < 3; i++)
		wrong += clnt_control(client, CLSET_TIMEOUT, (char *)&bad[i]);
	wrong += !clnt_control(client, CLSET_TIMEOUT, (char *)&good);
	for (i = 0; i < 3; i++)
		wrong += clnt_control(client, CLSET_TIMEOUT, (char *)&bad[i]);
	clnt_control(client, CLGET_TIMEOUT, (char *)&now);
	ksft_test_result(wrong == 0 && now.tv_sec == 7 && now.tv_usec == 5, "a time that is none is not set\n");
}

static void serves(struct svc_req *request, SVCXPRT *xprt)
{
}

static void serves_too(struct svc_req *request, SVCXPRT *xprt)
{
}

/* Where no binder is. */
static void registers_in_vain(void)
{
	SVCXPRT *old = svc_vmtp_create(RPC_ANYSOCK), *new = svc_vmtp_create(RPC_ANYSOCK);

	if (!old || !new || !svc_reg(old, PROGRAM, 1, serves, NULL))
		ksft_exit_fail_msg("no service: %s\n", strerror(errno));
	ksft_test_result(!svc_vmtp_register(new, PROGRAM, 1, serves), "without a binder a service is not registered\n");
	/* Of a version that is served another dispatcher is not taken. */
	ksft_test_result(!svc_reg(old, PROGRAM, 1, serves_too, NULL), "what was served before still is\n");
	svc_destroy(new);
	svc_destroy(old);
}

/* As one that has moved or was deleted: poll() says so for ever. */
static void ends_with_its_entity(void)
{
	SVCXPRT *xprt = svc_vmtp_create(RPC_ANYSOCK);
	int fd = xprt ? xprt->xp_fd : -1;

	if (!xprt || shutdown(fd, SHUT_RDWR))
		ksft_exit_fail_msg("no service: %s\n", strerror(errno));
	svc_getreq_common(fd);
	ksft_test_result(fcntl(fd, F_GETFD) == -1, "a transport that will have no Request any more is destroyed\n");
}

int main(void)
{
	int sock = vmtp_socket(0);
	uint64_t server = 0;
	CLIENT *client;
	pid_t child;

	ksft_print_header();
	ksft_set_plan(10);
	if (sock < 0 || vmtp_bind(sock, 0) || vmtp_getentity(sock, &server))
		ksft_exit_fail_msg("no server: %s\n", strerror(errno));
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(sock);
	}
	client = clnt_vmtp_entity(server, PROGRAM, 1);
	if (child < 0 || !client)
		ksft_exit_fail_msg("no client\n");
	interrupted = true;
	call(client, 0, no_time, RPC_CANTSEND, EINTR, "a one-way call that a signal kept from going");
	interrupted = true;
	call(client, 0, patience, RPC_CANTRECV, 0, "a call that a signal kept from going");
	call(client, 0, patience, RPC_SUCCESS, 0, "a call");
	call(client, 1, patience, RPC_CANTRECV, EPROTO, "a reply that may have holes");
	call(client, 0, no_time, RPC_SUCCESS, 0, "a one-way call");
	sets_times(client);
	clnt_destroy(client);
	ksft_test_result(!clnt_vmtp_create(NULL, PROGRAM, 1) && rpc_createerr.cf_stat == RPC_UNKNOWNHOST,
			 "no host is an unknown one\n");
	kill(child, SIGKILL);
	registers_in_vain();
	ends_with_its_entity();
	ksft_finished();
}
