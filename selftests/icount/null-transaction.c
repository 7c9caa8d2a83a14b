// SPDX-License-Identifier: GPL-2.0
/*
 * What a transaction without data costs: two packets on the wire, two system
 * calls, one of the client and one of the server, and a number of instructions.
 * The first of a client that the server's host has never heard of may take a
 * Probe more.
 *
 * Two network namespaces over veth; all are exact counts, so this runs where no
 * timer goes off because the machine is slow.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
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

/* Instructions of a round trip in the stock kernel, median, of which it took 31,246 when this was set. */
#define INSTRUCTIONS_MOST	31400

static int ascending(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return x < y ? -1 : x > y;
}

/* In this guest the clock counts instructions, 1 ns each. */
static long clock_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

TEST_F(transaction, costs_no_more_instructions_than_it_did)
{
	long cost[TRANSACTIONS];

	for (int i = 0; i < 2 * TRANSACTIONS; i++) {
		long begin = clock_ns();

		ASSERT_EQ(VMTP_OK, null_transaction(self->client));
		cost[i % TRANSACTIONS] = clock_ns() - begin;
	}
	qsort(cost, TRANSACTIONS, sizeof(*cost), ascending);
	TH_LOG("%ld instructions", cost[TRANSACTIONS / 2]);
	/* The debug kernel checks every access to memory. */
	if (access("/sys/kernel/debug/kmemleak", F_OK))
		EXPECT_LE(cost[TRANSACTIONS / 2], INSTRUCTIONS_MOST);
}

TEST_F(transaction, takes_at_most_a_probe_more_the_first_time)
{
	ASSERT_EQ(VMTP_OK, null_transaction(self->client));
	EXPECT_LE(counter("VmtpOutPackets"), 2);
	EXPECT_LE(counter("VmtpInPackets"), 2);
}

/* ---- System calls, as strace counts them ------------------------------------------------ */

/* A process whose every system call is seen. */
struct traced {
	pid_t pid;
	bool begun;		/* it has made the call with which counting begins */
	unsigned long first;
	long calls, others;	/* those of the ioctl that is counted, and all else between the first and the last of them */
	long since;		/* others since the last */
};

/* A child that runs with all its system calls traced. */
static pid_t traced_child(void (*run)(int), int argument)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP))
			_exit(1);
		run(argument);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) ||
	    ptrace(PTRACE_SYSCALL, pid, NULL, NULL))
		return -1;
	return pid;
}

/* A process has stopped: a system call is counted when it begins. */
static void count_call(struct traced *traced, int status, unsigned long counted)
{
	struct __ptrace_syscall_info info;
	int signal = 0;

	if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
		signal = WSTOPSIG(status);
	} else if (ptrace(PTRACE_GET_SYSCALL_INFO, traced->pid, sizeof(info), &info) > 0 &&
		   info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		bool control = info.entry.nr == SYS_ioctl;

		if (control && info.entry.args[1] == traced->first)
			traced->begun = true;
		if (control && info.entry.args[1] == counted) {
			traced->calls++;
			traced->others += traced->since;
			traced->since = 0;
		} else if (traced->begun && traced->calls) {
			traced->since++;
		}
	}
	ptrace(PTRACE_SYSCALL, traced->pid, NULL, signal);
}

static void call_often(int transactions)
{
	int fd;

	if (enter("client"))
		_exit(1);
	fd = open_entity(CLIENT_ENTITY + 1);
	for (int i = 0; i < transactions; i++)
		if (null_transaction(fd) != VMTP_OK)
			_exit(2);
}

TEST_F(transaction, takes_two_system_calls)
{
	struct traced client = { .first = VMTP_INVOKE }, server = { .first = VMTP_RECVREQ };
	int ready[2], status;

	/* The server of the fixture makes place for one that is traced. */
	kill(self->server, SIGKILL);
	waitpid(self->server, NULL, 0);
	ASSERT_EQ(0, pipe(ready));
	server.pid = self->server = traced_child(serve, ready[1]);
	ASSERT_GT(server.pid, 0);
	while (!server.begun) {
		ASSERT_EQ(server.pid, waitpid(server.pid, &status, __WALL));
		ASSERT_TRUE(WIFSTOPPED(status));
		count_call(&server, status, VMTP_REPLYRECV);
	}
	client.pid = traced_child(call_often, TRANSACTIONS);
	ASSERT_GT(client.pid, 0);
	for (;;) {
		pid_t pid = waitpid(-1, &status, __WALL);

		ASSERT_TRUE(pid == client.pid || pid == server.pid);
		if (!WIFSTOPPED(status))
			break;
		if (pid == client.pid)
			count_call(&client, status, VMTP_INVOKE);
		else
			count_call(&server, status, VMTP_REPLYRECV);
	}
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	TH_LOG("%d transactions: %ld system calls of the client, %ld of the server", TRANSACTIONS, client.calls,
	       server.calls);
	EXPECT_EQ(TRANSACTIONS, client.calls);
	EXPECT_EQ(TRANSACTIONS, server.calls);
	EXPECT_EQ(0, client.others);
	EXPECT_EQ(0, server.others);
	close(ready[0]);
	close(ready[1]);
}

TEST_HARNESS_MAIN
