// SPDX-License-Identifier: GPL-2.0
/*
 * 32-bit programs: the structs are the same, and what sendmsg and recvmsg take
 * is turned by the kernel. Their system calls are made by int 0x80, as such a
 * program makes them, with everything below 4 GiB.
 */
#include "host.h"

#include <sys/mman.h>

#include "kselftest_harness.h"

#define OWN	0x7F000001U	/* 127.0.0.1 */
#define SERVER	little_endian(100000, OWN)
#define GROUP	(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP | (__u64)0x00778899 << 32 | OWN)

/* Numbers of arch/x86/entry/syscalls/syscall_32.tbl. */
#define IOCTL32		54
#define POLL32		168
#define SOCKET32	359
#define BIND32		361
#define SETSOCKOPT32	366
#define GETSOCKNAME32	367
#define SENDMSG32	370
#define RECVMSG32	372

/* Returns -errno. */
static long call32(long number, long a, long b, long c, long d, long e)
{
	long result;

	asm volatile("int $0x80" : "=a" (result)
		     : "0" (number), "b" (a), "c" (b), "d" (c), "S" (d), "D" (e)
		     : "memory", "cc", "r8", "r9", "r10", "r11");
	return (int)result;
}

#define CALL32(number, a, b, c, d, e) \
	call32(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

static long ioctl32(int fd, unsigned int command, void *argument)
{
	return CALL32(IOCTL32, fd, command, argument, 0, 0);
}

/* As that program has them. */
struct iovec32 {
	__u32 base, length;
};

struct msghdr32 {
	__u32 name, namelen, iov, iovlen, control, controllen, flags;
};

struct cmsghdr32 {
	__u32 length, level, type;
};

/* What lies below 4 GiB. */
struct low {
	struct vmtp_exchange exchange;
	struct msghdr32 message;
	struct iovec32 iov;
	struct sockaddr_vmtp name;
	struct vmtp_membership membership;
	struct pollfd poll;
	__u32 length;
	unsigned char control[512], segment[1024];
};

FIXTURE(program)
{
	int client, server;
	struct low *low;
};

FIXTURE_SETUP(program)
{
	ASSERT_GE(namespace_make(), 0);
	self->client = open_entity(0);
	self->server = open_entity(SERVER);
	ASSERT_GE(self->client, 0);
	ASSERT_GE(self->server, 0);
	self->low = mmap(NULL, sizeof(struct low), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, self->low);
}

FIXTURE_TEARDOWN(program)
{
	munmap(self->low, sizeof(struct low));
	close(self->client);
	close(self->server);
}

TEST_F(program, the_calls_are_the_same)
{
	struct vmtp_exchange *exchange = &self->low->exchange;
	unsigned char *segment = self->low->segment;
	struct vmtp_mcb mcb;

	exchange->out.mcb.server = SERVER;
	exchange->out.mcb.code = APPLICATION;
	exchange->out.segment = (uintptr_t)segment;
	exchange->out.length = 5;
	exchange->out.flags = VMTP_MSG_START;
	memcpy(segment, "small", 5);
	ASSERT_EQ(0, ioctl32(self->client, VMTP_INVOKE, exchange));
	memset(segment, 0, 5);
	exchange->in.segment = (uintptr_t)segment;
	exchange->in.length = 5;
	ASSERT_EQ(0, ioctl32(self->server, VMTP_RECVREQ, &exchange->in));
	EXPECT_EQ(5, exchange->in.received);
	EXPECT_EQ(0, memcmp(segment, "small", 5));
	memset(&exchange->out, 0, sizeof(exchange->out));
	exchange->out.mcb = exchange->in.mcb;
	vmtp_response(&exchange->out.mcb, APPLICATION + 1);
	ASSERT_EQ(0, ioctl32(self->server, VMTP_SENDREPLY, &exchange->out));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(APPLICATION + 1, mcb.code);
	EXPECT_EQ(-EFAULT, ioctl32(self->server, VMTP_RECVREQ, (void *)8));
	EXPECT_EQ(-ENOTTY, ioctl32(self->server, _IO(VMTP_IOC_MAGIC, 99), NULL));
}

/* Control messages as a 32-bit program writes them: a header of 12 octets, everything at multiples of 4. */
static void add_control(struct low *low, int type, const void *data, size_t length)
{
	struct cmsghdr32 header = { sizeof(header) + length, SOL_VMTP, type };
	unsigned char *to = low->control + low->message.controllen;

	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), data, length);
	low->message.controllen += (header.length + 3) & ~3U;
}

/* The data of one that was received, if it is there and so long. */
static const void *control_of(const struct low *low, int type, size_t length)
{
	for (__u32 at = 0; at + sizeof(struct cmsghdr32) <= low->message.controllen;) {
		struct cmsghdr32 header;

		memcpy(&header, low->control + at, sizeof(header));
		if (header.length < sizeof(header))
			return NULL;
		if (header.level == SOL_VMTP && header.type == type && header.length == sizeof(header) + length)
			return low->control + at + sizeof(header);
		at += (header.length + 3) & ~3U;
	}
	return NULL;
}

static void message_of(struct low *low, size_t octets)
{
	low->iov = (struct iovec32){ (uintptr_t)low->segment, octets };
	low->message = (struct msghdr32){
		.name = (uintptr_t)&low->name,
		.namelen = sizeof(low->name),
		.iov = (uintptr_t)&low->iov,
		.iovlen = 1,
		.control = (uintptr_t)low->control,
	};
}

TEST_F(program, sendmsg_and_recvmsg_carry_every_control_message)
{
	const __u64 cookie = 0x123456789ABCDEF0;
	struct low *low = self->low;
	const struct vmtp_piece *piece;
	struct vmtp_mcb mcb;
	int on = 1;

	ASSERT_EQ(0, set_option(self->client, VMTP_OPT_PIECES, on));
	low->name = (struct sockaddr_vmtp){ .svmtp_family = AF_VMTP, .svmtp_entity = SERVER };
	message_of(low, 300);
	fill(low->segment, 300, 1);
	mcb = (struct vmtp_mcb){ .code = APPLICATION, .user = { 1, 2, 3, 4, 5 } };
	add_control(low, VMTP_MCB, &mcb, sizeof(mcb));
	add_control(low, VMTP_COOKIE, &cookie, sizeof(cookie));
	add_control(low, VMTP_TIMELIMIT, &(__u32){ LONG_MS }, sizeof(__u32));
	ASSERT_EQ(300, CALL32(SENDMSG32, self->client, &low->message, 0, 0, 0));

	memset(low->segment, 0, sizeof(low->segment));
	message_of(low, sizeof(low->segment));
	low->message.controllen = sizeof(low->control);
	ASSERT_EQ(300, CALL32(RECVMSG32, self->server, &low->message, 0, 0, 0));
	EXPECT_TRUE(is_filled(low->segment, 300, 1));
	EXPECT_EQ(entity_of(self->client), low->name.svmtp_entity);
	ASSERT_NE(NULL, control_of(low, VMTP_MCB, sizeof(mcb)));
	memcpy(&mcb, control_of(low, VMTP_MCB, sizeof(mcb)), sizeof(mcb));
	EXPECT_EQ(VMTP_REQUEST, mcb.function);
	EXPECT_EQ(APPLICATION, mcb.code & ~VMTP_SDA);
	EXPECT_EQ(5, mcb.user[4]);

	vmtp_response(&mcb, APPLICATION + 1);
	mcb.function = VMTP_RESPONSE;
	message_of(low, 1000);
	low->message.name = low->message.namelen = 0;
	fill(low->segment, 1000, 2);
	add_control(low, VMTP_MCB, &mcb, sizeof(mcb));
	ASSERT_EQ(1000, CALL32(SENDMSG32, self->server, &low->message, 0, 0, 0));

	ASSERT_TRUE(comes(self->client, POLLIN, LONG_MS));
	memset(low->segment, 0, sizeof(low->segment));
	message_of(low, 600);
	low->message.controllen = sizeof(low->control);
	ASSERT_EQ(600, CALL32(RECVMSG32, self->client, &low->message, 0, 0, 0));
	EXPECT_FALSE(low->message.flags & MSG_CTRUNC);
	ASSERT_NE(NULL, control_of(low, VMTP_COOKIE, sizeof(cookie)));
	EXPECT_EQ(0, memcmp(control_of(low, VMTP_COOKIE, sizeof(cookie)), &cookie, sizeof(cookie)));
	piece = control_of(low, VMTP_PIECE, sizeof(*piece));
	ASSERT_NE(NULL, piece);
	EXPECT_EQ(0, piece->offset);
	EXPECT_EQ(600, piece->length);
	EXPECT_EQ(1000, piece->total);
	/* The rest, and too little room for what is told of it. */
	message_of(low, 600);
	low->message.controllen = sizeof(struct cmsghdr32) + 4;
	ASSERT_EQ(400, CALL32(RECVMSG32, self->client, &low->message, 0, 0, 0));
	EXPECT_TRUE(low->message.flags & MSG_CTRUNC);
	EXPECT_TRUE(low->message.flags & MSG_EOR);

	/* What is no control message of ours, or not as long as it should be. */
	message_of(low, 0);
	add_control(low, 99, &cookie, sizeof(cookie));
	EXPECT_EQ(-EINVAL, CALL32(SENDMSG32, self->client, &low->message, 0, 0, 0));
	message_of(low, 0);
	add_control(low, VMTP_MCB, &mcb, sizeof(mcb) - 4);
	EXPECT_EQ(-EINVAL, CALL32(SENDMSG32, self->client, &low->message, 0, 0, 0));
}

TEST_F(program, names_options_and_poll_are_the_same)
{
	struct low *low = self->low;
	int fd = CALL32(SOCKET32, AF_VMTP, SOCK_TRANSACT, IPPROTO_VMTP, 0, 0);

	ASSERT_GE(fd, 0);
	low->name = (struct sockaddr_vmtp){ .svmtp_family = AF_VMTP, .svmtp_entity = little_endian(100001, OWN) };
	ASSERT_EQ(0, CALL32(BIND32, fd, &low->name, sizeof(low->name), 0, 0));
	memset(&low->name, 0, sizeof(low->name));
	low->length = sizeof(low->name);
	ASSERT_EQ(0, CALL32(GETSOCKNAME32, fd, &low->name, &low->length, 0, 0));
	EXPECT_EQ(sizeof(low->name), low->length);
	EXPECT_EQ(little_endian(100001, OWN), low->name.svmtp_entity);
	low->membership = (struct vmtp_membership){ .group = GROUP, .interface = if_nametoindex("lo") };
	EXPECT_EQ(0, CALL32(SETSOCKOPT32, fd, SOL_VMTP, VMTP_OPT_JOIN, &low->membership, sizeof(low->membership)));
	EXPECT_EQ(-EADDRINUSE, CALL32(SETSOCKOPT32, fd, SOL_VMTP, VMTP_OPT_JOIN, &low->membership,
				      sizeof(low->membership)));
	low->poll = (struct pollfd){ .fd = fd, .events = POLLIN | POLLOUT };
	EXPECT_EQ(1, CALL32(POLL32, &low->poll, 1, 0, 0, 0));
	EXPECT_EQ(POLLOUT, low->poll.revents);
	ASSERT_EQ(0, start_null(self->client, little_endian(100001, OWN)));
	EXPECT_EQ(1, CALL32(POLL32, &low->poll, 1, LONG_MS, 0, 0));
	EXPECT_TRUE(comes(fd, POLLIN, LONG_MS));
	EXPECT_EQ(1, CALL32(POLL32, &low->poll, 1, 0, 0, 0));
	EXPECT_EQ(POLLIN | POLLOUT, low->poll.revents);
	close(fd);
}

TEST_HARNESS_MAIN
