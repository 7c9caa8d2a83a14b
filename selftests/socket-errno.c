// SPDX-License-Identifier: GPL-2.0
/*
 * The table ERRORS of vmtp.7, row by row: each errno is brought about in each
 * way that the manual names. What else a call refuses is in socket.c and
 * socket-calls.c.
 */
#include "host.h"
#include "message.h"

#include "kselftest_harness.h"

#define OWN	0x7F000001U	/* 127.0.0.1 */
#define SERVER	little_endian(100001, OWN)
#define NOBODY	65534

FIXTURE(row)
{
	int server, client;
};

FIXTURE_SETUP(row)
{
	ASSERT_GE(namespace_make(), 0);
	self->server = open_entity(SERVER);
	self->client = open_entity(0);
	ASSERT_GE(self->server, 0);
	ASSERT_GE(self->client, 0);
}

FIXTURE_TEARDOWN(row)
{
	close(self->server);
	close(self->client);
}

/* What bind says to a user without privileges: an errno, or 0. */
static int bind_as_nobody(__u64 entity)
{
	int status;
	pid_t child = fork();

	if (!child) {
		int fd;

		if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
			_exit(255);
		fd = open_entity(entity);
		_exit(fd < 0 ? errno : 0);
	}
	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(row, eacces)
{
	EXPECT_EQ(EACCES, bind_as_nobody(little_endian(65535, OWN)));
	EXPECT_EQ(EACCES, bind_as_nobody(little_endian(70000, 0x0A090807)));
	EXPECT_EQ(0, bind_as_nobody(little_endian(65536, OWN)));
}

static int membership(int fd, int option, __u64 group)
{
	struct vmtp_membership member = { .group = group, .interface = if_nametoindex("lo") };

	return setsockopt(fd, SOL_VMTP, option, &member, sizeof(member));
}

static __u64 group(__u32 number)
{
	return vmtp_entity(VMTP_ENTITY_GROUP, number, 0xE0000105);
}

TEST_F(row, eaddrinuse)
{
	EXPECT_ERRNO(EADDRINUSE, open_entity(SERVER));
	ASSERT_EQ(0, membership(self->server, VMTP_OPT_JOIN, group(7)));
	EXPECT_ERRNO(EADDRINUSE, membership(self->server, VMTP_OPT_JOIN, group(7)));
	/* An identifier that was another user's until lately. */
	ASSERT_EQ(0, close(open_entity(little_endian(70001, OWN))));
	EXPECT_EQ(EADDRINUSE, bind_as_nobody(little_endian(70001, OWN)));
}

TEST_F(row, eaddrnotavail)
{
	EXPECT_ERRNO(EADDRNOTAVAIL, membership(self->server, VMTP_OPT_LEAVE, group(7)));
}

TEST_F(row, eafnosupport)
{
	struct sockaddr_vmtp name = { .svmtp_family = AF_INET, .svmtp_entity = SERVER };

	EXPECT_ERRNO(EAFNOSUPPORT, connect(self->client, (struct sockaddr *)&name, sizeof(name)));
	name.svmtp_family = AF_VMTP;
	name.svmtp_host.family = AF_INET6;
	EXPECT_ERRNO(EAFNOSUPPORT, sendto(self->client, "", 0, 0, (struct sockaddr *)&name, sizeof(name)));
}

TEST_F(row, eagain)
{
	struct timeval soon = { .tv_usec = 20000 };
	struct vmtp_probe probe = { .entity = little_endian(9, 0x0A090807) };
	struct vmtp_mcb mcb;
	char octet;

	EXPECT_ERRNO(EAGAIN, recv(self->server, &octet, 1, MSG_DONTWAIT));
	EXPECT_ERRNO(EAGAIN, vmtp_recvreq(self->server, &mcb, NULL, 0, 20));
	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)));
	EXPECT_ERRNO(EAGAIN, recv(self->server, &octet, 1, 0));
	ASSERT_EQ(0, start_null(self->client, SERVER));
	ASSERT_EQ(0, setsockopt(self->client, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)));
	EXPECT_ERRNO(EAGAIN, start_null(self->client, SERVER));
	ASSERT_EQ(0, fcntl(self->client, F_SETFL, O_NONBLOCK));
	EXPECT_ERRNO(EAGAIN, start_null(self->client, SERVER));
	/* A Probe of another host takes its time, too; or there is no way to ask. */
	EXPECT_EQ(-1, ioctl(self->client, VMTP_PROBEENTITY, &probe));
	EXPECT_TRUE(errno == EAGAIN || errno == ENETUNREACH);
}

struct waiting {
	int fd, result, error;
	_Atomic pid_t thread;
};

static void *invoke_thread(void *argument)
{
	struct waiting *waiting = argument;
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, SERVER, APPLICATION);
	waiting->thread = thread_id();
	waiting->result = vmtp_invoke(waiting->fd, &mcb, NULL, 0, NULL, 0, 0);
	waiting->error = errno;
	return NULL;
}

TEST_F(row, ecanceled)
{
	struct waiting waiting = { .fd = self->client };
	struct vmtp_mcb mcb;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, invoke_thread, &waiting));
	/* It has been sent, so the thread waits or is about to. */
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	ASSERT_TRUE(wait_until_blocked(waiting.thread, SYS_ioctl));
	ASSERT_EQ(0, vmtp_abort(self->client));
	pthread_join(thread, NULL);
	EXPECT_EQ(-1, waiting.result);
	EXPECT_EQ(ECANCELED, waiting.error);
}

TEST_F(row, econnrefused_and_etimedout)
{
	char octet;

	ASSERT_EQ(0, start_null(self->client, little_endian(100009, OWN)));
	EXPECT_ERRNO(ECONNREFUSED, recv(self->client, &octet, 1, 0));
	ASSERT_EQ(0, set_option(self->client, VMTP_OPT_TIMELIMIT, 50));
	ASSERT_EQ(0, start_null(self->client, SERVER));
	EXPECT_ERRNO(ETIMEDOUT, recv(self->client, &octet, 1, 0));
}

TEST_F(row, edestaddrreq)
{
	EXPECT_ERRNO(EDESTADDRREQ, start_null(self->client, 0));
	EXPECT_ERRNO(EDESTADDRREQ, send(self->client, "", 0, 0));
}

TEST_F(row, efault)
{
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_null(self->client, SERVER));
	EXPECT_ERRNO(EFAULT, ioctl(self->server, VMTP_RECVREQ, (void *)8));
	EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
}

static void nothing(int signal)
{
}

TEST_F(row, eintr)
{
	struct sigaction action = { .sa_handler = nothing };
	struct waiting waiting = { .fd = self->client };
	struct vmtp_mcb mcb;
	pthread_t thread;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_EQ(0, pthread_create(&thread, NULL, invoke_thread, &waiting));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	ASSERT_TRUE(wait_until_blocked(waiting.thread, SYS_ioctl));
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	EXPECT_EQ(-1, waiting.result);
	EXPECT_EQ(EINTR, waiting.error);
	vmtp_response(&mcb, APPLICATION);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(APPLICATION, mcb.code);
}

TEST_F(row, einval)
{
	struct vmtp_msg reserved = { .reserved = 1 };

	EXPECT_ERRNO(EINVAL, set_option(self->client, VMTP_OPT_RETRIES, 256));
	EXPECT_ERRNO(EINVAL, ioctl(self->client, VMTP_RECVREQ, &reserved));
	EXPECT_ERRNO(EINVAL, vmtp_bind(self->client, little_endian(100005, OWN)));
}

TEST_F(row, emsgsize)
{
	static char segment[VMTP_MESSAGE_SIZE + 1];
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, SERVER, APPLICATION);
	EXPECT_ERRNO(EMSGSIZE, vmtp_invoke(self->client, &mcb, segment, sizeof(segment), NULL, 0, 0));
	ASSERT_EQ(0, start_null(self->client, SERVER));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	vmtp_response(&mcb, VMTP_OK);
	EXPECT_ERRNO(EMSGSIZE, vmtp_sendreply(self->server, &mcb, segment, VMTP_GROUP_SIZE + 1));
	EXPECT_EQ(0, vmtp_sendreply(self->server, &mcb, segment, VMTP_GROUP_SIZE));
}

TEST_F(row, enetunreach_and_ehostunreach)
{
	__u64 elsewhere = little_endian(9, 0x0A090807);

	EXPECT_ERRNO(ENETUNREACH, start_null(self->client, elsewhere));
	ASSERT_EQ(0, system("ip route add unreachable 10.9.8.0/24"));
	EXPECT_ERRNO(EHOSTUNREACH, start_null(self->client, elsewhere));
}

TEST_F(row, enobufs)
{
	ASSERT_EQ(0, setting("memberships_max", 1));
	ASSERT_EQ(0, membership(self->server, VMTP_OPT_JOIN, group(7)));
	EXPECT_ERRNO(ENOBUFS, membership(self->server, VMTP_OPT_JOIN, group(8)));
	ASSERT_EQ(0, setting("members_max", 1));
	EXPECT_ERRNO(ENOBUFS, membership(self->client, VMTP_OPT_JOIN, group(7)));
	ASSERT_EQ(0, membership(self->client, VMTP_OPT_JOIN, group(8)));
	ASSERT_EQ(0, setting("entities_max", 2));
	EXPECT_ERRNO(ENOBUFS, open_entity(little_endian(100005, OWN)));
}

TEST_F(row, enoprotoopt)
{
	int value = 0;

	EXPECT_ERRNO(ENOPROTOOPT, set_option(self->client, 999, 0));
	EXPECT_ERRNO(ENOPROTOOPT, setsockopt(self->client, IPPROTO_UDP, 1, &value, sizeof(value)));
}

TEST_F(row, enotconn)
{
	struct sockaddr_vmtp name;
	socklen_t length = sizeof(name);
	struct vmtp_mcb mcb = { .client = entity_of(self->client), .transaction = 1 };

	EXPECT_ERRNO(ENOTCONN, vmtp_sendreply(self->server, &mcb, NULL, 0));
	EXPECT_ERRNO(ENOTCONN, vmtp_getreply(self->client, &mcb, NULL, 0, 0));
	EXPECT_ERRNO(ENOTCONN, getpeername(self->client, (struct sockaddr *)&name, &length));
}

TEST_F(row, enotty)
{
	EXPECT_ERRNO(ENOTTY, ioctl(self->client, _IO(VMTP_IOC_MAGIC, 99), 0));
}

TEST_F(row, eopnotsupp)
{
	char octet;

	EXPECT_ERRNO(EOPNOTSUPP, listen(self->client, 1));
	EXPECT_ERRNO(EOPNOTSUPP, send(self->client, "", 1, MSG_OOB));
	EXPECT_ERRNO(EOPNOTSUPP, recv(self->client, &octet, 1, MSG_OOB));
}

TEST_F(row, epipe_and_eshutdown)
{
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, shutdown(self->client, SHUT_WR));
	EXPECT_ERRNO(EPIPE, start_null(self->client, SERVER));
	ASSERT_EQ(0, shutdown(self->server, SHUT_RD));
	EXPECT_ERRNO(ESHUTDOWN, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
}

TEST_HARNESS_MAIN
