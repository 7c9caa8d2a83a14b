// SPDX-License-Identifier: GPL-2.0
/*
 * What ICMP errors do to transactions: a host without VMTP is looked for and given up, an unreachable one is a hint
 * (RFC 1122, 3.2.2.1), and what is not about the transaction is nothing.
 */
#include "wire.h"

#include <netinet/ip_icmp.h>

#include "kselftest_harness.h"

#define SERVER	little_endian(300000, PEER)
#define CLIENT	little_endian(200000, HOST)
#define ROUTER	OTHER

FIXTURE(icmp)
{
	int tun, client;
};

FIXTURE_SETUP(icmp)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	self->client = open_entity(CLIENT);
	ASSERT_GE(self->client, 0);
}

FIXTURE_TEARDOWN(icmp)
{
	close(self->client);
	close(self->tun);
}

static bool asked(int tun, int client, struct packet *request)
{
	return !start_null(client, SERVER) && receive_packet(tun, request, LONG_MS) && request->server == SERVER;
}

static bool answer(int tun, const struct packet *request)
{
	struct packet packet;

	response_packet(&packet, request, 0);
	return send_packet(tun, &packet);
}

/* An ICMP error that quotes the IP header and so many octets of a packet of ours. */
static bool send_error(int tun, const struct packet *about, __u8 code, size_t quoted)
{
	unsigned char icmp[8 + 20 + PACKET_SIZE] = { ICMP_DEST_UNREACH, code };
	size_t length = 8 + 20 + quoted;
	unsigned char *ip = icmp + 8;
	struct octets octets;
	__u16 sum;

	ip[0] = 0x45;
	ip[2] = (20 + OVERHEAD) >> 8;
	ip[3] = 20 + OVERHEAD;
	ip[8] = 63;
	ip[9] = IPPROTO_VMTP;
	put32(ip + 12, about->source);
	put32(ip + 16, about->destination);
	sum = ip_sum(ip, 20);
	ip[10] = sum >> 8;
	ip[11] = sum;
	encode(about, &octets);
	memcpy(ip + 20, octets.at, quoted);
	sum = ip_sum(icmp, length);
	icmp[2] = sum >> 8;
	icmp[3] = sum;
	return send_ip(tun, ROUTER, about->source, IPPROTO_ICMP, icmp, length);
}

/* Counts Requests and Probes to all managers until the transaction ends or the time is over. */
static void watch(int tun, int client, int ms, int *requests, int *probes, int code)
{
	long end = now_ms() + ms;
	struct packet packet;

	*requests = *probes = 0;
	while (now_ms() < end && !(ready(client) & POLLIN)) {
		if (!receive_packet(tun, &packet, 20))
			continue;
		if (is_probe(&packet) && packet.destination == MANAGERS) {
			++*probes;
		} else if (packet.server == SERVER) {
			++*requests;
			if (code >= 0)
				send_error(tun, &packet, code, OVERHEAD);
		}
	}
}

/* Shows: D-27-a */
TEST_F(icmp, an_unreachable_host_is_a_hint)
{
	struct packet request;
	struct vmtp_mcb mcb;
	int requests, probes;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	ASSERT_TRUE(send_error(self->tun, &request, ICMP_HOST_UNREACH, 8));
	/* Everybody is asked, nobody answers, and it is asked on. */
	watch(self->tun, self->client, 2500, &requests, &probes, -1);
	EXPECT_GE(probes, 2);
	EXPECT_GE(requests, 3);
	EXPECT_EQ(0, ready(self->client) & POLLIN);
	ASSERT_TRUE(answer(self->tun, &request));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_OK, mcb.code);
}

/* Shows: D-27-a */
TEST_F(icmp, a_host_that_stays_unreachable_is_given_up_before_all_retries)
{
	struct packet request;
	struct vmtp_mcb mcb;
	int requests, probes;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	ASSERT_TRUE(send_error(self->tun, &request, ICMP_NET_UNREACH, OVERHEAD));
	watch(self->tun, self->client, LONG_MS, &requests, &probes, ICMP_NET_UNREACH);
	EXPECT_LT(requests, 5);
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, 0));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, vmtp_code(&mcb));
}

/* Who is whose Client others may know: without the Transaction the server is looked for, and asked on meanwhile. */
TEST_F(icmp, an_error_that_does_not_quote_the_transaction_ends_nothing)
{
	static const __u8 codes[] = { ICMP_PROT_UNREACH, ICMP_HOST_UNREACH };
	struct packet request, packet;
	struct vmtp_mcb mcb;
	int requests, probes;

	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		ASSERT_EQ(0, start_null(self->client, SERVER));
		do {
			ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
		} while (request.server != SERVER);
		requests = probes = 0;
		for (long end = now_ms() + 2500; now_ms() < end;) {
			if (!receive_packet(self->tun, &packet, 20))
				continue;
			if (packet.server == SERVER)
				requests++;
			else if (is_probe(&packet))
				probes++;
			EXPECT_TRUE(send_error(self->tun, &request, codes[i], 8));
		}
		EXPECT_GE(probes, 1);
		EXPECT_GE(requests, 3);
		EXPECT_EQ(0, ready(self->client) & POLLIN);
		ASSERT_TRUE(answer(self->tun, &request));
		ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(VMTP_OK, mcb.code);
	}
}

/* Whoever forges an error has to know the Transaction. */
TEST_F(icmp, an_error_about_another_transaction_is_nothing)
{
	struct packet request, other;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	other = request;
	other.transaction += 1000;
	ASSERT_TRUE(send_error(self->tun, &other, ICMP_PROT_UNREACH, OVERHEAD));
	EXPECT_EQ(0, drain(self->tun));
	other = request;
	other.destination = OTHER;
	ASSERT_TRUE(send_error(self->tun, &other, ICMP_PROT_UNREACH, OVERHEAD));
	EXPECT_EQ(0, drain(self->tun));
	ASSERT_TRUE(send_error(self->tun, &request, ICMP_PROT_UNREACH, OVERHEAD));
	EXPECT_NE(0, drain(self->tun));
}

/* Any other error, such as a port that does not exist or a time that was exceeded, says nothing of the host. */
TEST_F(icmp, other_errors_are_nothing)
{
	static const __u8 codes[] = { ICMP_PORT_UNREACH, ICMP_SR_FAILED, ICMP_PKT_FILTERED };
	struct packet request;

	ASSERT_TRUE(asked(self->tun, self->client, &request));
	for (size_t i = 0; i < sizeof(codes); i++)
		EXPECT_TRUE(send_error(self->tun, &request, codes[i], OVERHEAD));
	EXPECT_EQ(0, drain(self->tun));
	EXPECT_EQ(0, ready(self->client) & POLLIN);
}

TEST_HARNESS_MAIN
