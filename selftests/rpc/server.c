// SPDX-License-Identifier: GPL-2.0
/*
 * The procedures of sample.x. With the argument "vmtp" they are served over VMTP, with "net" over UDP and TCP by
 * libtirpc's own transports and rpcbind: main() is all that differs. With "tcp" it is version 1 alone, over TCP alone.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rpc/pmap_clnt.h>
#include <vmtp-rpc.h>

#include "sample.h"

#define NUMBERS	4096

/* rpcgen -m makes them. */
void dirprog_1(struct svc_req *, SVCXPRT *);
void dirprog_3(struct svc_req *, SVCXPRT *);

static readdir_res *read_directory(const char *name)
{
	static readdir_res result;
	struct dirent **entries;
	int i, count;

	xdr_free((xdrproc_t)xdr_readdir_res, (char *)&result);
	memset(&result, 0, sizeof(result));
	count = scandir(name, &entries, NULL, alphasort);
	if (count < 0) {
		result.error = 1;
		return &result;
	}
	for (i = count; i-- > 0;) {
		namelist node = malloc(sizeof(*node));

		node->name = strdup(entries[i]->d_name);
		node->next = result.readdir_res_u.list;
		result.readdir_res_u.list = node;
		free(entries[i]);
	}
	free(entries);
	return &result;
}

readdir_res *readdir_1_svc(nametype *name, struct svc_req *request)
{
	return read_directory(*name);
}

readdir_res *readdir_3_svc(nametype *name, struct svc_req *request)
{
	return read_directory(*name);
}

static u_int executed[NUMBERS];

u_int *execute_3_svc(u_int *number, struct svc_req *request)
{
	static u_int result;

	result = ++executed[*number % NUMBERS];
	return &result;
}

account *executions_3_svc(void *none, struct svc_req *request)
{
	static account result;
	int i;

	memset(&result, 0, sizeof(result));
	for (i = 0; i < NUMBERS; i++) {
		result.calls += executed[i] > 0;
		if (executed[i] > result.most)
			result.most = executed[i];
	}
	return &result;
}

static block *room(u_int octets)
{
	static block result;

	free(result.block_val);
	result.block_val = malloc(octets + 1);
	result.block_len = octets;
	return &result;
}

block *reverse_3_svc(block *in, struct svc_req *request)
{
	block *out = room(in->block_len);
	u_int i;

	for (i = 0; i < in->block_len; i++)
		out->block_val[i] = in->block_val[in->block_len - 1 - i];
	return out;
}

block *filled_3_svc(u_int *octets, struct svc_req *request)
{
	block *out = room(*octets);

	memset(out->block_val, 'x', *octets);
	return out;
}

u_int *who_3_svc(void *none, struct svc_req *request)
{
	static u_int result;

	if (request->rq_cred.oa_flavor != AUTH_SYS) {
		svcerr_weakauth(request->rq_xprt);
		return NULL;
	}
	result = ((struct authunix_parms *)request->rq_clntcred)->aup_uid;
	return &result;
}

void *sleep_3_svc(u_int *ms, struct svc_req *request)
{
	static char done;

	usleep(*ms * 1000);
	return &done;
}

u_int *port_3_svc(void *none, struct svc_req *request)
{
	static u_int result;

	result = ntohs(((struct sockaddr_in *)svc_getcaller(request->rq_xprt))->sin_port);
	return &result;
}

static int serve_vmtp(void)
{
	SVCXPRT *xprt = svc_vmtp_create(RPC_ANYSOCK);
	char text[VMTP_ENTITY_TEXT_SIZE];
	uint64_t entity = 0;

	if (!xprt)
		return perror("svc_vmtp_create"), 1;
	if (!svc_vmtp_register(xprt, DIRPROG, DIRVERS, dirprog_1) ||
	    !svc_vmtp_register(xprt, DIRPROG, DIRVERS_MORE, dirprog_3))
		return fprintf(stderr, "the binder refuses\n"), 1;
	vmtp_getentity(xprt->xp_fd, &entity);
	printf("%s\n", vmtp_entity_format(entity, text, sizeof(text)));
	return 0;
}

static int serve_net(void)
{
	SVCXPRT *udp = svcudp_create(RPC_ANYSOCK), *tcp = svctcp_create(RPC_ANYSOCK, 0, 0);

	pmap_unset(DIRPROG, DIRVERS);
	pmap_unset(DIRPROG, DIRVERS_MORE);
	if (!udp || !tcp || !svc_register(udp, DIRPROG, DIRVERS, dirprog_1, IPPROTO_UDP) ||
	    !svc_register(udp, DIRPROG, DIRVERS_MORE, dirprog_3, IPPROTO_UDP) ||
	    !svc_register(tcp, DIRPROG, DIRVERS, dirprog_1, IPPROTO_TCP) ||
	    !svc_register(tcp, DIRPROG, DIRVERS_MORE, dirprog_3, IPPROTO_TCP))
		return fprintf(stderr, "rpcbind refuses\n"), 1;
	printf("udp and tcp\n");
	return 0;
}

static int serve_tcp(void)
{
	SVCXPRT *tcp = svctcp_create(RPC_ANYSOCK, 0, 0);

	if (!tcp || !svc_register(tcp, DIRPROG, DIRVERS, dirprog_1, IPPROTO_TCP))
		return fprintf(stderr, "rpcbind refuses\n"), 1;
	printf("tcp\n");
	return 0;
}

int main(int argc, char **argv)
{
	const char *over = argc > 1 ? argv[1] : "vmtp";
	int failed = !strcmp(over, "net") ? serve_net() : !strcmp(over, "tcp") ? serve_tcp() : serve_vmtp();

	if (failed)
		return failed;
	fflush(stdout);
	svc_run();
	return 1;
}
