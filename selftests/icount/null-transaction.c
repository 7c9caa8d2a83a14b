// SPDX-License-Identifier: GPL-2.0
/*
 * What a transaction without data costs on the wire: two packets. The first of
 * a client that the server's host has never heard of may take a Probe more.
 *
 * Two network namespaces over veth; both ends are exact counts, so this runs
 * where no timer goes off because the machine is slow.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vmtp.h>

#include "kselftest_harness.h"

#define TRANSACTIONS	100
#define SERVER_ENTITY	(VMTP_ENTITY_LEE | (__u64)81 << 32 | 0x0A510001)	/* of 10.81.0.1 */
#define CLIENT_ENTITY	(VMTP_ENTITY_LEE | (__u64)82 << 32 | 0x0A510002)

static const char link_up[] =
	"ip netns del server 2>/dev/null; ip netns del client 2>/dev/null;"
	" ip netns add server && ip netns add client &&"
	" ip link add veth0 netns server type veth peer name veth0 netns client &&"
	" for n in server client; do ip -n $n link set lo up && ip -n $n link set veth0 up; done &&"
	" ip -n server addr add 10.81.0.1/24 dev veth0 && ip -n client addr add 10.81.0.2/24 dev veth0";
static const char link_down[] = "ip netns del server; ip netns del client";

static int enter(const char *name)
{
	char path[64];
	int fd, result;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	result = fd < 0 ? -1 : setns(fd, CLONE_NEWNET);
	close(fd);
	return result;
}

static int open_entity(__u64 entity)
{
	struct sockaddr_vmtp address = { .svmtp_family = AF_VMTP, .svmtp_entity = entity };
	int fd = socket(AF_VMTP, SOCK_TRANSACT, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void serve(int ready)
{
	struct vmtp_exchange exchange = { };
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (enter("server"))
		exit(1);
	fd = open_entity(SERVER_ENTITY);
	if (fd < 0 || write(ready, "", 1) != 1 || ioctl(fd, VMTP_RECVREQ, &exchange.in))
		exit(1);
	do {
		exchange.out = (struct vmtp_msg){
			.mcb = {
				.function = VMTP_RESPONSE,
				.client = exchange.in.mcb.client,
				.transaction = exchange.in.mcb.transaction,
			},
		};
		exchange.in = (struct vmtp_msg){ };
	} while (!ioctl(fd, VMTP_REPLYRECV, &exchange));
	exit(1);
}

/* A counter of the namespace this process is in, or -1. */
static long counter(const char *name)
{
	FILE *file = fopen("/proc/net/vmtp/snmp", "r");
	char line[128], found[64];
	long value, result = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %ld", found, &value) == 2 && !strcmp(found, name))
			result = value;
	if (file)
		fclose(file);
	return result;
}

FIXTURE(transaction)
{
	pid_t server;
	int client;
};

FIXTURE_SETUP(transaction)
{
	int ready[2];
	char octet;

	ASSERT_EQ(0, system(link_up));
	ASSERT_EQ(0, pipe(ready));
	self->server = fork();
	if (self->server == 0)
		serve(ready[1]);
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &octet, 1));
	close(ready[0]);
	ASSERT_EQ(0, enter("client"));
	self->client = open_entity(CLIENT_ENTITY);
	ASSERT_GE(self->client, 0);
}

FIXTURE_TEARDOWN(transaction)
{
	close(self->client);
	kill(self->server, SIGKILL);
	waitpid(self->server, NULL, 0);
	EXPECT_EQ(0, system(link_down));
}

static int null_transaction(int fd)
{
	struct vmtp_exchange exchange = {
		.out = { .mcb = { .server = SERVER_ENTITY, .code = VMTP_CODE_APPLICATION | 1 } },
	};

	if (ioctl(fd, VMTP_INVOKE, &exchange))
		return -1;
	return exchange.in.mcb.code & VMTP_CODE_MASK;
}

TEST_F(transaction, takes_two_packets)
{
	long out, in;

	ASSERT_EQ(VMTP_OK, null_transaction(self->client));
	out = counter("VmtpOutPackets");
	in = counter("VmtpInPackets");
	ASSERT_GE(out, 1);
	for (int i = 0; i < TRANSACTIONS; i++)
		ASSERT_EQ(VMTP_OK, null_transaction(self->client));
	EXPECT_EQ(TRANSACTIONS, counter("VmtpOutPackets") - out);
	EXPECT_EQ(TRANSACTIONS, counter("VmtpInPackets") - in);
	EXPECT_EQ(0, counter("VmtpRetransmissions"));

	ASSERT_EQ(0, enter("server"));
	EXPECT_EQ(TRANSACTIONS + 1, counter("VmtpRequestsDelivered"));
	EXPECT_EQ(0, counter("VmtpRetransmissions"));
}

TEST_F(transaction, takes_at_most_a_probe_more_the_first_time)
{
	ASSERT_EQ(VMTP_OK, null_transaction(self->client));
	EXPECT_LE(counter("VmtpOutPackets"), 2);
	EXPECT_LE(counter("VmtpInPackets"), 2);
}

TEST_HARNESS_MAIN
