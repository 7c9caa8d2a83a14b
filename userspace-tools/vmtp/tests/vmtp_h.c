/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The functions of include/vmtp.h that need no socket, against expectations
 * written by hand from RFC 1045, IV.1. Also a user of every call, so that each
 * is compiled; abi.rs compiles this as C and C++ and reads what it prints.
 */
#include <vmtp.h>
#include <stdlib.h>

static int failures;

static void check(int right, const char *what)
{
	if (!right) {
		fprintf(stderr, "wrong: %s\n", what);
		failures++;
	}
}

static void entity(const char *text, uint64_t bits)
{
	char buffer[VMTP_ENTITY_TEXT_SIZE];
	uint64_t parsed = 1;

	check(vmtp_entity_parse(text, &parsed) == 0 && parsed == bits, text);
	check(!strcmp(vmtp_entity_format(bits, buffer, sizeof(buffer)), text),
	      buffer);
	printf("entity %s 0x%llx\n", text, (unsigned long long)bits);
}

static void no_entity(const char *text)
{
	uint64_t parsed = 7;

	errno = 0;
	check(vmtp_entity_parse(text, &parsed) == -1 && errno == EINVAL &&
	      parsed == 7, text);
}

/* Never runs: there is no socket. It is here to be compiled. */
static long every_call(int s)
{
	struct vmtp_probe state;
	struct vmtp_mcb mcb;
	char data[64];
	uint64_t self;
	int sent;
	long n;

	vmtp_request(&mcb, 1, VMTP_CODE_APPLICATION | VMTP_DGM);
	n = vmtp_socket(SOCK_CLOEXEC) + vmtp_bind(s, 0) + vmtp_getentity(s, &self);
	n += vmtp_invoke(s, &mcb, data, sizeof(data), data, sizeof(data), 0);
	n += vmtp_getreply(s, &mcb, data, sizeof(data), 1);
	n += vmtp_recvreq(s, &mcb, data, sizeof(data), 0);
	n += vmtp_forward(s, &mcb, 2, data, sizeof(data));
	vmtp_response(&mcb, VMTP_OK);
	n += vmtp_sendreply(s, &mcb, data, sizeof(data));
	n += vmtp_replyrecv(s, &mcb, data, 1, data, sizeof(data), 0);
	n += vmtp_replyrecv_sent(s, &mcb, data, 1, data, 1, 0, &sent);
	n += vmtp_probeentity(s, 0, &state, 0);
	return n + vmtp_abort(s);
}

int main(void)
{
	struct vmtp_mcb mcb;
	char small[8];
	uint32_t code;

	entity("LE-25593-36.8.0.49", 0x200063F924080031ULL);
	entity("BE-25593-36.8.0.49", 0x000063F924080031ULL);
	entity("RG-1-224.0.1.0", VMTP_MANAGER_GROUP);
	entity("LE-1-224.0.1.0", VMTP_DEFAULT_LECLIENT);
	entity("UG-565338-36.8.0.77", 0x6008A05A2408004DULL);
	entity("LEA-7823-36.8.0.77", 0xA0001E8F2408004DULL);
	entity("XUGA-268435455-255.255.255.255", 0xFFFFFFFFFFFFFFFFULL);

	no_entity("");
	no_entity("LE");
	no_entity("LE-");
	no_entity("LE-1");
	no_entity("LE-1-1.2.3");
	no_entity("LE-1-1.2.3.4.5");
	no_entity("LE-1-1.2.3.256");
	no_entity("LE-1-1.2.3.4 ");
	no_entity("LE-01-1.2.3.4");
	no_entity("LE-1-1.2.3.04");
	no_entity("LE-268435456-1.2.3.4");
	no_entity("LE-99999999999999999999999-1.2.3.4");
	no_entity("LE--1-1.2.3.4");
	no_entity("LE- 1-1.2.3.4");
	no_entity("le-1-1.2.3.4");
	no_entity("AE-1-1.2.3.4");
	no_entity("LEX-1-1.2.3.4");

	vmtp_entity_format(VMTP_MANAGER_GROUP, small, sizeof(small));
	check(!strcmp(small, "RG-1-22"), "a text that does not fit is cut");
	check(vmtp_entity(VMTP_ENTITY_LEE, 25593, 0x24080031) ==
	      0x200063F924080031ULL, "vmtp_entity");
	check(vmtp_entity(VMTP_ENTITY_LEE | 1, 0xFFFFFFFFU, 0) ==
	      0x2FFFFFFF00000000ULL, "vmtp_entity keeps to its fields");
	check(vmtp_entity_is_group(VMTP_MANAGER_GROUP) &&
	      !vmtp_entity_is_group(VMTP_DEFAULT_LECLIENT), "groups");
	check(vmtp_entity_discriminator(0x6008A05A2408004DULL) == 565338 &&
	      vmtp_entity_address(0x6008A05A2408004DULL) == 0x2408004D, "parts");

	memset(&mcb, 0xFF, sizeof(mcb));
	mcb.client = 3;
	mcb.transaction = 4;
	vmtp_response(&mcb, VMTP_BUSY);
	check(mcb.client == 3 && mcb.transaction == 4 && mcb.code == VMTP_BUSY &&
	      mcb.function == VMTP_RESPONSE && !mcb.server && !mcb.coresident &&
	      !mcb.user[4] && !mcb.flags && !mcb.forward_count, "vmtp_response");
	mcb.code |= VMTP_SDA | VMTP_DGM;
	mcb.segment_size = 100;
	check(vmtp_code(&mcb) == VMTP_BUSY, "vmtp_code");
	check(vmtp_truncated(&mcb, 99) && !vmtp_truncated(&mcb, 100) &&
	      !vmtp_truncated(&mcb, -1), "vmtp_truncated");

	for (code = 0; code <= 24; code++)
		printf("code %u %s\n", code, vmtp_code_name(code));
	check(!strcmp(vmtp_code_name(25), "unknown code"), "code 25");
	check(!strcmp(vmtp_code_name(0x800000), "application code"), "0x800000");
	check(!strcmp(vmtp_code_name(VMTP_DGM), "OK"), "flags are not code");

	if (getenv("VMTP_H_NEVER"))
		return every_call(-1) != 0;
	return failures != 0;
}
