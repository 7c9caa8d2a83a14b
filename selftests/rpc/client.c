// SPDX-License-Identifier: GPL-2.0
/*
 * Calls the procedures of sample.x with rpcgen's stubs and reports what holds: client TRANSPORT HOST, the transport
 * being vmtp, udp or tcp. The same for each; what one transport alone has is in hostile.c.
 */
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmtp-rpc.h>

#include "kselftest.h"
#include "sample.h"

#define CALLS	60

static const struct timeval patience = { .tv_sec = 25 };	/* rpcgen's own */

/* Whether a list is what this host's own file system says. */
static bool same_directory(const char *name, namelist list)
{
	struct dirent **entries;
	int i, count = scandir(name, &entries, NULL, alphasort);
	bool same = count > 2;

	for (i = 0; i < count; i++) {
		same = same && list && !strcmp(list->name, entries[i]->d_name);
		list = list ? list->next : NULL;
		free(entries[i]);
	}
	free(entries);
	return same && !list;
}

static void reads_directories(CLIENT *client)
{
	char *there = "/kselftests/vmtp", *nowhere = "/no/such/folder";
	readdir_res *result = readdir_3(&there, client);

	ksft_test_result(result && result->error == 0 && same_directory(there, result->readdir_res_u.list),
			 "a remote directory is the local one\n");
	if (!result)
		ksft_print_msg("%s\n", clnt_sperror(client, "READDIR"));
	else
		clnt_freeres(client, (xdrproc_t)xdr_readdir_res, result);
	result = readdir_3(&nowhere, client);
	ksft_test_result(result && result->error != 0, "one that is not there is an error of the procedure\n");
}

static void executes_once(CLIENT *client, u_int base)
{
	account *account;
	u_int i, before, wrong = 0;

	account = executions_3(NULL, client);
	before = account ? account->calls : 0;
	for (i = 0; i < CALLS; i++) {
		u_int number = base + i, *result = execute_3(&number, client);

		if (!result)
			ksft_print_msg("call %u: %s\n", i, clnt_sperror(client, "EXECUTE"));
		wrong += !result || *result != 1;
	}
	account = executions_3(NULL, client);
	ksft_test_result(wrong == 0 && account && account->calls - before == CALLS && account->most == 1,
			 "%u calls are executed, each once\n", CALLS);
}

static void carries(CLIENT *client, u_int octets)
{
	block in = { .block_len = octets, .block_val = malloc(octets + 1) }, *out;
	bool equal;
	u_int i;

	for (i = 0; i < octets; i++)
		in.block_val[i] = (char)(i * 2654435761U >> 24);
	out = reverse_3(&in, client);
	equal = out && out->block_len == octets;
	for (i = 0; equal && i < octets; i++)
		equal = out->block_val[i] == in.block_val[octets - 1 - i];
	ksft_test_result(equal, "%u octets come back in reverse order\n", octets);
	if (!out)
		ksft_print_msg("%s\n", clnt_sperror(client, "REVERSE"));
	else
		clnt_freeres(client, (xdrproc_t)xdr_block, out);
	free(in.block_val);
}

static void authenticates(CLIENT *client)
{
	u_int *who = who_3(NULL, client);
	AUTH *none = client->cl_auth;
	gid_t groups[2] = { 7, 8 };
	struct rpc_err error;

	clnt_geterr(client, &error);
	ksft_test_result(!who && error.re_status == RPC_AUTHERROR && error.re_why == AUTH_TOOWEAK,
			 "without credentials the procedure says AUTH_TOOWEAK\n");
	client->cl_auth = authunix_create("somewhere", 4711, 7, 2, groups);
	who = who_3(NULL, client);
	ksft_test_result(who && *who == 4711, "AUTH_SYS credentials arrive\n");
	auth_destroy(client->cl_auth);
	client->cl_auth = none;
}

/* The old test of services for who is trusted: such a port only root has. */
static void has_no_reserved_port(CLIENT *client)
{
	u_int *port = port_3(NULL, client);

	ksft_test_result(port && *port >= IPPORT_RESERVED, "the caller's port is none that is reserved to root: %u\n",
			 port ? *port : 0);
}

static void refuses(CLIENT *client)
{
	u_int32_t version = 9, right = DIRVERS_MORE, long_name = 0xFFFFFFF0;
	struct rpc_err error;
	enum clnt_stat status;

	clnt_control(client, CLSET_VERS, &version);
	status = clnt_call(client, NULLPROC, (xdrproc_t)xdr_void, NULL, (xdrproc_t)xdr_void, NULL, patience);
	clnt_geterr(client, &error);
	ksft_test_result(status == RPC_PROGVERSMISMATCH && error.re_vers.low == 1 && error.re_vers.high == 3,
			 "version 9 is answered with versions 1 to 3\n");
	clnt_control(client, CLSET_VERS, &right);
	status = clnt_call(client, 99, (xdrproc_t)xdr_void, NULL, (xdrproc_t)xdr_void, NULL, patience);
	ksft_test_result(status == RPC_PROCUNAVAIL, "procedure 99 is unavailable: %s\n", clnt_sperrno(status));
	/* READDIR wants a name of at most 255 octets. */
	status = clnt_call(client, READDIR, (xdrproc_t)xdr_u_int, &long_name, (xdrproc_t)xdr_void, NULL, patience);
	ksft_test_result(status == RPC_CANTDECODEARGS, "a name of 4294967280 octets is garbage: %s\n",
			 clnt_sperrno(status));
	status = clnt_call(client, NULLPROC, (xdrproc_t)xdr_void, NULL, (xdrproc_t)xdr_void, NULL, patience);
	ksft_test_result(status == RPC_SUCCESS, "procedure 0 does nothing\n");
}

static void gives_up(CLIENT *client)
{
	struct timeval short_time = { .tv_usec = 200000 };
	enum clnt_stat status;
	u_int ms = 1000;

	status = clnt_call(client, SLEEP, (xdrproc_t)xdr_u_int, &ms, (xdrproc_t)xdr_void, NULL, short_time);
	ksft_test_result(status == RPC_TIMEDOUT, "the caller's own time ends a call: %s\n", clnt_sperrno(status));
	ms = 0;
	ksft_test_result(sleep_3(&ms, client) != NULL, "the next call is answered\n");
}

/* More than a UDP service of libtirpc would encode. */
static void has_long_results(CLIENT *client)
{
	u_int octets = 100000;
	block *out = filled_3(&octets, client);

	ksft_test_result(out && out->block_len == octets, "a small call has results of %u octets\n", octets);
	if (!out)
		ksft_print_msg("%s\n", clnt_sperror(client, "FILLED"));
	else
		clnt_freeres(client, (xdrproc_t)xdr_block, out);
}

/* Arguments and results of a message of 4 MiB, and beyond. */
static void ends_at_4_mib(CLIENT *client)
{
	/* xid to procedure 6 words, empty credentials and verifier 4, the length of the block 1. */
	u_int most = VMTP_MESSAGE_SIZE - 11 * 4, octets;
	block in = { .block_len = most + 4, .block_val = calloc(1, most + 4) };
	struct rpc_err error;

	carries(client, most);
	ksft_test_result(!reverse_3(&in, client), "four octets more\n");
	clnt_geterr(client, &error);
	ksft_test_result(error.re_status == RPC_CANTENCODEARGS, "are refused by the caller: %s\n",
			 clnt_sperrno(error.re_status));
	free(in.block_val);
	octets = VMTP_MESSAGE_SIZE;
	ksft_test_result(!filled_3(&octets, client), "results of more than 4 MiB\n");
	clnt_geterr(client, &error);
	ksft_test_result(error.re_status == RPC_SYSTEMERROR, "are a system error of the server: %s\n",
			 clnt_sperrno(error.re_status));
	carries(client, 4);
}

int main(int argc, char **argv)
{
	bool vmtp = argc == 3 && !strcmp(argv[1], "vmtp"), udp = argc == 3 && !strcmp(argv[1], "udp");
	CLIENT *client;

	if (argc != 3)
		return fprintf(stderr, "usage: client vmtp|udp|tcp HOST\n"), 2;
	ksft_print_header();
	ksft_set_plan(vmtp ? 22 : udp ? 15 : 16);
	/* The only line that names the transport. */
	client = vmtp ? clnt_vmtp_create(argv[2], DIRPROG, DIRVERS_MORE) :
			clnt_create(argv[2], DIRPROG, DIRVERS_MORE, argv[1]);
	ksft_test_result(client != NULL, "the program is found by its number\n");
	if (!client) {
		clnt_pcreateerror(argv[2]);
		ksft_exit_fail_msg("no client\n");
	}
	reads_directories(client);
	executes_once(client, vmtp ? 0 : udp ? 1000 : 2000);
	carries(client, 0);
	carries(client, 5000);
	if (!udp)
		has_long_results(client);
	authenticates(client);
	has_no_reserved_port(client);
	refuses(client);
	gives_up(client);
	if (vmtp)
		ends_at_4_mib(client);
	clnt_destroy(client);
	ksft_finished();
}
