// SPDX-License-Identifier: GPL-2.0
/*
 * What the RFC's calls refuse, by which errno, and that nothing is lost or half
 * done by a call that fails.
 */
#include "host.h"

#include <sys/mman.h>

#include "kselftest_harness.h"

#define OWN	0x7F000001U	/* 127.0.0.1 */

FIXTURE(host)
{
	int fd;
};

FIXTURE_SETUP(host)
{
	ASSERT_GE(namespace_make(), 0);
	self->fd = vmtp_socket(0);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(host)
{
	close(self->fd);
}

TEST_F(host, unknown_ioctls_are_refused)
{
	int value = 0;

	EXPECT_ERRNO(ENOTTY, ioctl(self->fd, _IO(VMTP_IOC_MAGIC, 99), 0));
	EXPECT_ERRNO(ENOTTY, ioctl(self->fd, _IO(VMTP_IOC_MAGIC, 0), 0));
	/* The right number with a struct of another size is another call. */
	EXPECT_ERRNO(ENOTTY, ioctl(self->fd, _IOWR(VMTP_IOC_MAGIC, 1, int), &value));
}

TEST_F(host, a_bad_pointer_to_the_struct_is_efault)
{
	const unsigned long calls[] = {
		VMTP_INVOKE, VMTP_GETREPLY, VMTP_RECVREQ, VMTP_SENDREPLY, VMTP_FORWARDREQ, VMTP_PROBEENTITY,
		VMTP_REPLYRECV,
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		EXPECT_ERRNO(EFAULT, ioctl(self->fd, calls[i], NULL));
		EXPECT_ERRNO(EFAULT, ioctl(self->fd, calls[i], (void *)8));
		EXPECT_ERRNO(EFAULT, ioctl(self->fd, calls[i], (void *)-4096L));
	}
}

/* Shows: 3.2-l */
TEST_F(host, undefined_flags_and_reserved_members_are_refused)
{
	struct vmtp_mcb mcb;
	struct vmtp_exchange good = { }, bad;
	struct vmtp_msg msg;

	vmtp_request(&mcb, little_endian(100001, OWN), APPLICATION);
	good.out.mcb = mcb;

	bad = good;
	bad.out.flags = 0x80;
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_INVOKE, &bad));
	bad = good;
	bad.out.reserved = 1;
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_INVOKE, &bad));
	bad = good;
	bad.in.flags = 0x80000000;
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_INVOKE, &bad));
	bad = good;
	bad.in.reserved = 1;
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_INVOKE, &bad));
	bad = good;
	bad.out.mcb.code |= 0x08000000;
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_INVOKE, &bad));
	bad = good;
	bad.out.mcb.flags = VMTP_F_PRIORITY;
	bad.out.mcb.priority = 16;
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_INVOKE, &bad));
	bad = good;
	bad.out.mcb.server |= VMTP_ENTITY_RES;
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_INVOKE, &bad));
	bad = good;
	bad.out.host.family = AF_INET6;
	EXPECT_ERRNO(EAFNOSUPPORT, ioctl(self->fd, VMTP_INVOKE, &bad));
	bad = good;
	bad.out.host.family = AF_INET;
	bad.out.host.port = 1;
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_INVOKE, &bad));

	msg = (struct vmtp_msg){ .flags = 0x80 };
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_RECVREQ, &msg));
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_GETREPLY, &msg));
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_SENDREPLY, &msg));
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_FORWARDREQ, &msg));
	msg = (struct vmtp_msg){ .reserved = 1 };
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_RECVREQ, &msg));
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_GETREPLY, &msg));
	EXPECT_ERRNO(EINVAL, ioctl(self->fd, VMTP_SENDREPLY, &msg));
	EXPECT_EQ(0, counter("OutPackets"));
	EXPECT_EQ(0, counter("TransactionsStarted"));
}

/* Shows: 4.6.1-h */
TEST_F(host, a_bad_request_is_refused_before_anything_is_sent)
{
	__u64 server = little_endian(100001, OWN);
	struct vmtp_mcb mcb;
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct echo echo;

	ASSERT_EQ(0, mprotect(page + 4096, 4096, PROT_NONE));
	ASSERT_EQ(0, echo_start(&echo, open_entity(server)));
	vmtp_request(&mcb, server, APPLICATION);
	EXPECT_ERRNO(EFAULT, vmtp_invoke(self->fd, &mcb, (void *)8, 100, NULL, 0, 0));
	/* The first half of it can be read. */
	EXPECT_ERRNO(EFAULT, vmtp_invoke(self->fd, &mcb, page, 8192, NULL, 0, 0));
	EXPECT_ERRNO(EMSGSIZE, vmtp_invoke(self->fd, &mcb, page, VMTP_MESSAGE_SIZE + 1, NULL, 0, 0));
	EXPECT_ERRNO(EMSGSIZE, vmtp_invoke(self->fd, &mcb, page, 1ULL << 40, NULL, 0, 0));
	vmtp_request(&mcb, 0, APPLICATION);
	EXPECT_ERRNO(EDESTADDRREQ, vmtp_invoke(self->fd, &mcb, NULL, 0, NULL, 0, 0));
	EXPECT_EQ(0, counter("OutPackets"));
	/* The socket is as good as before. */
	EXPECT_EQ(VMTP_OK, call_null(self->fd, server));
	echo_stop(&echo);
	EXPECT_EQ(1, echo.served);
}

TEST_F(host, a_request_that_could_not_be_stored_is_there_for_the_next_call)
{
	__u64 server = little_endian(100001, OWN);
	unsigned char sent[1000], got[1000];
	int fd = open_entity(server);
	struct vmtp_mcb mcb;

	fill(sent, sizeof(sent), 7);
	vmtp_request(&mcb, server, APPLICATION);
	ASSERT_EQ(0, start(self->fd, &mcb, sent, sizeof(sent)));
	ASSERT_TRUE(comes(fd, POLLIN, LONG_MS));
	EXPECT_ERRNO(EFAULT, vmtp_recvreq(fd, &mcb, (void *)8, sizeof(got), 0));
	EXPECT_ERRNO(EFAULT, recv(fd, (void *)8, sizeof(got), 0));
	ASSERT_EQ(sizeof(sent), vmtp_recvreq(fd, &mcb, got, sizeof(got), LONG_MS));
	EXPECT_EQ(0, memcmp(sent, got, sizeof(got)));
	EXPECT_EQ(entity_of(self->fd), mcb.client);
	close(fd);
}

/* Shows: 5.6.2-a VIII-h */
TEST_F(host, a_bad_reply_leaves_the_request_open_and_a_second_is_refused)
{
	__u64 server = little_endian(100001, OWN);
	struct vmtp_exchange exchange;
	int fd = open_entity(server);
	struct vmtp_mcb mcb, reply;
	char octets[8];

	ASSERT_EQ(0, start_null(self->fd, server));
	ASSERT_EQ(0, vmtp_recvreq(fd, &mcb, NULL, 0, LONG_MS));
	vmtp_response(&mcb, VMTP_OK);

	EXPECT_ERRNO(EFAULT, vmtp_sendreply(fd, &mcb, (void *)8, 100));
	EXPECT_ERRNO(EMSGSIZE, vmtp_sendreply(fd, &mcb, octets, VMTP_MESSAGE_SIZE + 1));
	/* Two groups need a Client that expects them. */
	EXPECT_ERRNO(EMSGSIZE, vmtp_sendreply(fd, &mcb, calloc(1, 20000), 20000));
	reply = mcb;
	reply.transaction++;
	EXPECT_ERRNO(ENOTCONN, vmtp_sendreply(fd, &reply, NULL, 0));
	reply = mcb;
	reply.client++;
	EXPECT_ERRNO(ENOTCONN, vmtp_sendreply(fd, &reply, NULL, 0));
	reply = mcb;
	reply.code |= 0x08000000;
	EXPECT_ERRNO(EINVAL, vmtp_sendreply(fd, &reply, NULL, 0));
	/* Reply-and-receive looks at both halves first. */
	exchange = (struct vmtp_exchange){ .out = { .mcb = mcb }, .in = { .reserved = 1 } };
	EXPECT_ERRNO(EINVAL, ioctl(fd, VMTP_REPLYRECV, &exchange));
	EXPECT_EQ(0, counter("ResponsesSent"));

	EXPECT_EQ(0, vmtp_sendreply(fd, &mcb, "fine", 4));
	EXPECT_ERRNO(ENOTCONN, vmtp_sendreply(fd, &mcb, "more", 4));
	EXPECT_EQ(1, counter("ResponsesSent"));
	ASSERT_EQ(4, vmtp_getreply(self->fd, &reply, octets, sizeof(octets), LONG_MS));
	EXPECT_EQ(0, memcmp(octets, "fine", 4));
	close(fd);
}

/* Shows: 4.4-a */
TEST_F(host, nothing_is_written_beyond_the_area_for_the_response)
{
	__u64 server = little_endian(100001, OWN);
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char whole[4096];
	struct vmtp_mcb mcb;
	struct echo echo;

	ASSERT_EQ(0, mprotect(page + 4096, 4096, PROT_NONE));
	ASSERT_EQ(0, echo_start(&echo, open_entity(server)));
	fill(whole, sizeof(whole), 0);
	vmtp_request(&mcb, server, APPLICATION);
	mcb.msg_delivery = ECHO_SEGMENT;
	ASSERT_EQ(1000, vmtp_invoke(self->fd, &mcb, whole, sizeof(whole), page + 4096 - 1000, 1000, 0));
	EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
	EXPECT_TRUE(vmtp_truncated(&mcb, 1000));
	EXPECT_EQ(sizeof(whole), mcb.segment_size);
	EXPECT_EQ(0, memcmp(page + 4096 - 1000, whole, 1000));
	for (int i = 0; i < 4096 - 1000; i++) {
		ASSERT_EQ(0, page[i]);
	}
	echo_stop(&echo);
}

TEST_F(host, a_response_that_could_not_be_stored_is_there_for_getreply)
{
	__u64 server = little_endian(100001, OWN);
	unsigned char octets[700];
	struct vmtp_mcb mcb;
	struct echo echo;

	ASSERT_EQ(0, echo_start(&echo, open_entity(server)));
	vmtp_request(&mcb, server, APPLICATION);
	mcb.msg_delivery = sizeof(octets);
	mcb.user[4] = 9;
	EXPECT_ERRNO(EFAULT, vmtp_invoke(self->fd, &mcb, NULL, 0, (void *)8, sizeof(octets), 0));
	ASSERT_EQ(sizeof(octets), vmtp_getreply(self->fd, &mcb, octets, sizeof(octets), LONG_MS));
	EXPECT_TRUE(is_filled(octets, sizeof(octets), 10));
	echo_stop(&echo);
}

/* Shows: 4.6.2-b */
TEST_F(host, getreply_is_for_who_has_asked_and_does_not_wait_for_0_ms)
{
	__u64 server = little_endian(100001, OWN);
	int fd = open_entity(server);
	struct vmtp_mcb mcb = { };

	EXPECT_ERRNO(ENOTCONN, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
	ASSERT_EQ(0, start_null(self->fd, server));
	EXPECT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, 0));
	EXPECT_EQ(VMTP_FAILURE, mcb.function);
	EXPECT_EQ(VMTP_USER_TIMEOUT, vmtp_code(&mcb));
	EXPECT_EQ(0, vmtp_abort(self->fd));
	close(fd);
}

/* Shows: VIII-e */
TEST_F(host, probeentity_tells_of_the_here_and_the_unknown)
{
	struct vmtp_probe state;

	ASSERT_EQ(0, vmtp_bind(self->fd, little_endian(100001, OWN)));
	ASSERT_EQ(0, vmtp_probeentity(self->fd, 0, &state, LONG_MS));
	EXPECT_EQ(VMTP_OK, state.code);
	EXPECT_EQ(entity_of(self->fd), state.entity);
	EXPECT_EQ(getpid(), (__u32)state.process);
	EXPECT_EQ(getuid(), (__u32)state.principal);
	EXPECT_EQ(geteuid(), (__u32)state.effective_principal);
	ASSERT_EQ(0, vmtp_probeentity(self->fd, little_endian(100002, OWN), &state, LONG_MS));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, state.code);
	EXPECT_EQ(0, state.process);
	EXPECT_ERRNO(EINVAL, vmtp_probeentity(self->fd, VMTP_ENTITY_RES | 1, &state, LONG_MS));
}

TEST_HARNESS_MAIN
