// SPDX-License-Identifier: GPL-2.0
/*
 * Drop reasons: dropwatch and perf (the tracepoint skb:kfree_skb) are told the truth. What is thrown away has its reason
 * there, what is used is consumed.
 */
#include "wire.h"

#include "kselftest_harness.h"

#define SERVER	little_endian(100000, HOST)
#define CLIENT	little_endian(200000, PEER)
#define TRACING	"/sys/kernel/tracing/"

static void trace_write(const char *file, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), TRACING "%s", file);
	fd = open(path, O_WRONLY | O_TRUNC);
	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

/*
 * How many IPv4 packets were thrown away for this reason (any, if that is NULL) since tracing began: by this thread,
 * within whose write() a packet is received, or by vmtp. The tracepoint tells of other namespaces too, and one that
 * has just ended may still throw things away. A timer that interrupts this thread sends a report of IGMP, and the kernel
 * throws its own copy of that away.
 */
static int dropped(const char *reason)
{
	FILE *file = fopen(TRACING "trace", "r");
	char line[512], wanted[64], self[32];
	int count = 0;

	if (!file)
		return -1;
	snprintf(wanted, sizeof(wanted), "reason: %s\n", reason ? reason : "");
	snprintf(self, sizeof(self), "-%d ", thread_id());
	while (fgets(line, sizeof(line), file))
		if (strstr(line, "kfree_skb:") && strstr(line, "protocol=2048") && (!reason || strstr(line, wanted)) &&
		    (strstr(line, self) || strstr(line, "[vmtp]")) && !strstr(line, " location=igmp_"))
			count++;
	fclose(file);
	return count;
}

/* So many in all; else the log has them. */
static bool are_all(int count)
{
	return dropped(NULL) == count || (system("sed 's/^/# /' " TRACING "trace"), false);
}

FIXTURE(drop)
{
	int tun, server;
};

FIXTURE_SETUP(drop)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->server = open_entity(SERVER);
	ASSERT_GE(self->server, 0);
	trace_write("trace", "");
	trace_write("events/skb/kfree_skb/enable", "1");
}

FIXTURE_TEARDOWN(drop)
{
	trace_write("events/skb/kfree_skb/enable", "0");
	close(self->server);
	close(self->tun);
}

TEST_F(drop, a_transaction_drops_nothing)
{
	unsigned char segment[4096], got[4096];
	struct packet packet;
	struct vmtp_mcb mcb;

	fill(segment, sizeof(segment), 1);
	for (int i = 1; i <= 3; i++) {
		request_packet(&packet, CLIENT, SERVER, 7 * i);
		carry(&packet, segment, 1024, 3);
		ASSERT_TRUE(send_packet(self->tun, &packet));
		ASSERT_EQ(1024, vmtp_recvreq(self->server, &mcb, got, sizeof(got), 0));
		vmtp_response(&mcb, VMTP_OK);
		ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, segment, sizeof(segment)));
		ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
		/* The Response is acknowledged: its Notify is consumed too. */
		notify_server_packet(&packet, SERVER, CLIENT, 7 * i, 0xFF, VMTP_OK);
		ASSERT_TRUE(send_packet(self->tun, &packet));
		drain(self->tun);
	}
	EXPECT_TRUE(are_all(0));
}

TEST_F(drop, what_is_thrown_away_has_its_reason)
{
	struct octets octets;
	struct packet packet;

	/* A wrong checksum. */
	request_packet(&packet, CLIENT, SERVER, 7);
	encode(&packet, &octets);
	octets.at[40] ^= 1;
	ASSERT_TRUE(send_octets(self->tun, &octets));
	EXPECT_EQ(1, dropped("SKB_CSUM"));
	/* Too short. */
	octets.length = OVERHEAD - 4;
	ASSERT_TRUE(send_octets(self->tun, &octets));
	EXPECT_EQ(1, dropped("PKT_TOO_SMALL"));
	/* Another domain. */
	packet.frame = 2 << W_DOMAIN;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(1, dropped("UNHANDLED_PROTO"));
	/* An odd Length. */
	packet.frame = 1 << W_DOMAIN | 1;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(1, dropped("INVALID_PROTO"));
	/* Nobody has the entity. */
	request_packet(&packet, CLIENT, SERVER + (1ULL << 32), 7);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(1, dropped("NO_SOCKET"));
	/* A part of a message that came before. */
	request_packet(&packet, CLIENT, SERVER, 7);
	carry(&packet, octets.at, 1024, 1);
	packet.octets = 512;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(1, dropped("DUP_FRAG"));
	EXPECT_TRUE(are_all(6));
	drain(self->tun);
}

TEST_F(drop, a_full_queue_is_the_receive_buffer)
{
	struct packet packet;

	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_REQUEST_QUEUE, 1));
	for (int i = 0; i < 3; i++) {
		request_packet(&packet, CLIENT + ((__u64)i << 32), SERVER, 7);
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
	EXPECT_EQ(2, dropped("SOCKET_RCVBUFF"));
	EXPECT_TRUE(are_all(2));
	drain(self->tun);
}

TEST_HARNESS_MAIN
