// SPDX-License-Identifier: GPL-2.0
/*
 * What a program may do to its own socket, and what of it others are told: a
 * filter that shortens packets, a user namespace that calls its user root.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmtp.h>

#include "kselftest_harness.h"

#define OWN	0x7F000001ULL	/* 127.0.0.1 */
#define SERVER	(VMTP_ENTITY_LEE | 100001ULL << 32 | OWN)
#define USER	4711

static int entity(__u64 identifier)
{
	struct sockaddr_vmtp name = { .svmtp_family = AF_VMTP, .svmtp_entity = identifier };
	int fd = socket(AF_VMTP, SOCK_TRANSACT, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof(name)))
		return -1;
	return fd;
}

FIXTURE(border)
{
	int server, client;
};

FIXTURE_SETUP(border)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING };
	int fd;

	ASSERT_EQ(0, unshare(CLONE_NEWNET));
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	ASSERT_EQ(0, ioctl(fd, SIOCSIFFLAGS, &lo));
	close(fd);
	self->server = entity(SERVER);
	self->client = entity(0);
	ASSERT_GE(self->server, 0);
	ASSERT_GE(self->client, 0);
}

FIXTURE_TEARDOWN(border)
{
	close(self->server);
	close(self->client);
}

/* The packet was checked as it is: a filter says yes or no. */
TEST_F(border, a_filter_that_shortens_packets_does_not_block_the_queue)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, 4) };
	struct sock_fprog program = { .len = 1, .filter = code };
	char segment[3000] = "whole", area[sizeof(segment)];
	struct vmtp_exchange exchange = {
		.out = {
			.mcb = { .server = SERVER, .code = VMTP_CODE_APPLICATION },
			.segment = (__u64)(unsigned long)segment,
			.length = sizeof(segment),
			.flags = VMTP_MSG_START,
		},
	};
	struct vmtp_msg request = {
		.segment = (__u64)(unsigned long)area,
		.length = sizeof(area),
		.timeout = 10000,
	};

	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
	ASSERT_EQ(0, ioctl(self->client, VMTP_INVOKE, &exchange));
	ASSERT_EQ(0, ioctl(self->server, VMTP_RECVREQ, &request)) { TH_LOG("%s", strerror(errno)); }
	EXPECT_EQ(sizeof(segment), request.received);
	EXPECT_EQ(0, memcmp(segment, area, sizeof(segment)));
}

/* Runs in a user namespace, where USER is called 0: the principal that a Probe tells of a socket made there. */
static int principal_of_root_elsewhere(void)
{
	struct vmtp_probe probe = { .timeout = 10000 };
	FILE *map;
	int fd;

	/* Who changes his identity must say that his /proc is still his. */
	if (setresgid(USER, USER, USER) || setresuid(USER, USER, USER) || prctl(PR_SET_DUMPABLE, 1) ||
	    unshare(CLONE_NEWUSER))
		return 1;
	map = fopen("/proc/self/uid_map", "w");
	if (!map || fprintf(map, "0 %d 1", USER) < 0 || fclose(map) || getuid() != 0)
		return 2;
	fd = entity(0);
	if (fd < 0 || ioctl(fd, VMTP_PROBEENTITY, &probe) || probe.code != VMTP_OK)
		return 3;
	return (__u32)probe.principal == USER && (__u32)probe.effective_principal == USER ? 0 : 4;
}

TEST_F(border, root_of_a_user_namespace_is_not_root_of_the_host)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(principal_of_root_elsewhere());
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
