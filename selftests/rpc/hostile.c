// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that are no RPC calls, or bad ones, octet by octet to a service of libvmtprpc and to the binder; the
 * answers are RFC 1057's, written down by hand. hostile ENTITY BINDER
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmtp-rpc.h>

#include "kselftest.h"

static int sock;
static uint64_t server;
static uint32_t reply[64];

/* Sends words (and some octets more or less); octets of the Response's segment, its code in *code. */
static long send_words(const uint32_t *words, size_t octets, uint32_t code, uint32_t *answer)
{
	struct vmtp_mcb mcb;
	uint32_t wire[128];
	size_t i;
	long n;

	for (i = 0; i < octets / 4 + 1 && i < 128; i++)
		wire[i] = htonl(words[i]);
	vmtp_request(&mcb, server, code);
	n = vmtp_invoke(sock, &mcb, wire, octets, reply, sizeof(reply), 20000);
	*answer = n < 0 ? UINT32_MAX : vmtp_code(&mcb);
	return n;
}

/* Whether the answer to a call of these words is a reply of those. */
static bool answers(const uint32_t *words, size_t count, const uint32_t *wanted, size_t wanted_count)
{
	uint32_t code, padded[129] = { 0 };
	size_t i;
	long n;

	memcpy(padded, words, count * 4);
	n = send_words(padded, count * 4, VMTP_RPC_CALL, &code);
	for (i = 0; i < wanted_count && n == (long)(wanted_count * 4) && ntohl(reply[i]) == wanted[i]; i++)
		;
	if (code == VMTP_OK && i == wanted_count)
		return true;
	ksft_print_msg("code %u, %ld octets:", code, n);
	for (i = 0; n > 0 && i < (size_t)n / 4; i++)
		printf(" %u", ntohl(reply[i]));
	printf("\n");
	return false;
}

#define WORDS(...)	(const uint32_t[]){ __VA_ARGS__ }, sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4
#define NO_AUTH		0, 0, 0, 0

/* A call of 600 octets to procedure 0, of which only the first block comes. */
static bool refuses_holes(uint32_t program, uint32_t version)
{
	const uint32_t call[150] = { htonl(13), 0, htonl(2), htonl(program), htonl(version) };
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, server, VMTP_RPC_CALL | VMTP_MDM);
	mcb.msg_delivery = 1;
	return vmtp_invoke(sock, &mcb, call, sizeof(call), reply, sizeof(reply), 20000) == 0 &&
	       vmtp_code(&mcb) == VMTP_RPC_MALFORMED;
}

static void examine(const char *who, uint32_t program, uint32_t version, uint32_t low, uint32_t high, uint32_t garbled)
{
	const uint32_t call[] = { 7, 0, 2, program, version, garbled, NO_AUTH, 0 };
	uint32_t code, seed = 1, words[129];
	size_t octets, refused = 0, i;

	ksft_test_result(answers(WORDS(7, 0, 3, program, version, 0, NO_AUTH), WORDS(7, 1, 1, 0, 2, 2)),
			 "%s: RPC version 3 is denied: RPC_MISMATCH, 2 to 2\n", who);
	ksft_test_result(answers(WORDS(8, 0, 2, 424242, 1, 0, NO_AUTH), WORDS(8, 1, 0, 0, 0, 1)),
			 "%s: an unknown program is PROG_UNAVAIL\n", who);
	ksft_test_result(answers(WORDS(9, 0, 2, program, 77, 0, NO_AUTH), WORDS(9, 1, 0, 0, 0, 2, low, high)),
			 "%s: a wrong version is PROG_MISMATCH, %u to %u\n", who, low, high);
	ksft_test_result(answers(WORDS(10, 0, 2, program, version, 99, NO_AUTH), WORDS(10, 1, 0, 0, 0, 3)),
			 "%s: an unknown procedure is PROC_UNAVAIL\n", who);
	ksft_test_result(answers(WORDS(11, 0, 2, program, version, garbled, NO_AUTH, 0xFFFFFFF0),
				 WORDS(11, 1, 0, 0, 0, 4)),
			 "%s: arguments that end too early are GARBAGE_ARGS\n", who);

	/* Cut off before the end of the verifier, there is no call. */
	for (octets = 0; octets < 40; octets++) {
		memcpy(words, call, sizeof(call));
		if (send_words(words, octets, VMTP_RPC_CALL, &code) == 0 && code == VMTP_RPC_MALFORMED)
			refused++;
	}
	ksft_test_result(refused == 40, "%s: a call cut off anywhere is no call (%zu of 40)\n", who, refused);
	ksft_test_result(send_words(words, 40, VMTP_CODE_APPLICATION | 1, &code) == 0 && code == VMTP_RPC_MALFORMED,
			 "%s: a Request of another code is no call\n", who);
	memset(words, 0, sizeof(words));
	memcpy(words, (const uint32_t[]){ 7, 0, 2, program, version, 0, 1, 0xFFFFFFFF }, 32);
	ksft_test_result(send_words(words, 400, VMTP_RPC_CALL, &code) == 0 && code == VMTP_RPC_MALFORMED,
			 "%s: credentials longer than RFC 1057 allows are no call\n", who);

	for (i = 0, refused = 0; i < 100; i++) {
		for (octets = 0; octets < 128; octets++)
			words[octets] = seed = seed * 1664525 + 1013904223;
		if (i % 2) /* what begins as a call */
			words[1] = 0, words[2] = 2;
		if (send_words(words, seed % 500, VMTP_RPC_CALL, &code) >= 0)
			refused++;
	}
	ksft_test_result(refused == 100, "%s: random octets are answered (%zu of 100)\n", who, refused);
	ksft_test_result(refuses_holes(program, version), "%s: a call parts of which are missing (MDM) is no call\n", who);
	ksft_test_result(answers(WORDS(12, 0, 2, program, version, 0, NO_AUTH), WORDS(12, 1, 0, 0, 0, 0)),
			 "%s: after all that, procedure 0 succeeds\n", who);
}

int main(int argc, char **argv)
{
	uint64_t binder = 0;

	sock = vmtp_socket(0);
	if (sock < 0 || argc != 3 || vmtp_entity_parse(argv[1], &server) || vmtp_entity_parse(argv[2], &binder))
		return perror("hostile"), 2;
	ksft_print_header();
	ksft_set_plan(22);
	examine("service", 0x20000076, 3, 1, 3, 1);
	server = binder;
	examine("binder", PMAPPROG, PMAPVERS, 2, 2, PMAPPROC_GETPORT);
	ksft_finished();
}
