// SPDX-License-Identifier: GPL-2.0
/*
 * Large messages: a Request of 4 MiB in pieces and whole, a Response of 4 MiB in pieces, MSG_PEEK, MSG_TRUNC, a run of
 * Requests, several Responses, cookies and timestamps; all between two sockets of one host.
 */
#include <errno.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vmtp.h>

#include "message.h"
#include "userfault.h"

#include "kselftest_harness.h"

static unsigned char sent[VMTP_MESSAGE_SIZE], got[VMTP_MESSAGE_SIZE];

FIXTURE(two)
{
	int client, server;
	__u64 entity;
};

static __u64 entity_of(int fd)
{
	struct sockaddr_vmtp name;
	socklen_t length = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &length))
		return 0;
	return name.svmtp_entity;
}

FIXTURE_SETUP(two)
{
	struct sockaddr_vmtp any = { .svmtp_family = AF_VMTP };
	struct timeval second = { .tv_sec = 20 };

	if (system("ip link set lo up; modprobe vmtp 2>/dev/null") < 0)
		SKIP(return, "no shell");
	self->client = socket(AF_VMTP, SOCK_TRANSACT, 0);
	self->server = socket(AF_VMTP, SOCK_TRANSACT, 0);
	ASSERT_GE(self->client, 0);
	ASSERT_GE(self->server, 0);
	ASSERT_EQ(0, bind(self->server, (struct sockaddr *)&any, sizeof(any)));
	ASSERT_EQ(0, bind(self->client, (struct sockaddr *)&any, sizeof(any)));
	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)));
	ASSERT_EQ(0, setsockopt(self->client, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)));
	self->entity = entity_of(self->server);
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = i * 2654435761u >> 13;
	memset(got, 0, sizeof(got));
}

FIXTURE_TEARDOWN(two)
{
	close(self->client);
	close(self->server);
}

static int start(int fd, __u64 server, size_t octets, __u64 cookie, unsigned int flags)
{
	struct vmtp_exchange exchange = {
		.out = {
			.mcb = { .server = server, .code = VMTP_CODE_APPLICATION | 7 },
			.segment = (unsigned long)sent,
			.length = octets,
			.cookie = cookie,
			.flags = VMTP_MSG_START | flags,
		},
		.in = { .length = sizeof(got) },
	};

	return ioctl(fd, VMTP_INVOKE, &exchange);
}

static int reply(int fd, const struct vmtp_mcb *request, unsigned int code, size_t octets)
{
	struct vmtp_msg response = {
		.mcb = { .client = request->client, .transaction = request->transaction, .code = code },
		.segment = (unsigned long)sent,
		.length = octets,
	};

	return ioctl(fd, VMTP_SENDREPLY, &response);
}

/* Shows: D-8-c */
TEST_F(two, request_of_4_mib_is_received_in_pieces)
{
	size_t done = 0;
	struct received piece;

	EXPECT_EQ(-1, start(self->client, self->entity, sizeof(sent) + 1, 0, 0));
	EXPECT_EQ(EMSGSIZE, errno);
	ASSERT_EQ(0, start(self->client, self->entity, sizeof(sent), 0, 0));
	do {
		piece = receive(self->server, got + done, 100000, 0);
		ASSERT_GT(piece.octets, 0) TH_LOG("errno %d after %zu", errno, done);
		EXPECT_EQ(done, piece.piece.offset);
		EXPECT_EQ(sizeof(sent), piece.piece.total);
		EXPECT_EQ(piece.octets, piece.piece.length);
		done += piece.octets;
		EXPECT_EQ(done == sizeof(sent), !!(piece.flags & MSG_EOR));
		EXPECT_FALSE(piece.flags & MSG_TRUNC);
	} while (!(piece.flags & MSG_EOR));
	EXPECT_EQ(sizeof(sent), done);
	EXPECT_EQ(0, memcmp(sent, got, done));
	ASSERT_EQ(0, reply(self->server, &piece.mcb, VMTP_OK, 0));
	piece = receive(self->client, got, 0, 0);
	EXPECT_EQ(0, piece.octets);
	EXPECT_EQ(VMTP_RESPONSE, piece.mcb.function);
}

TEST_F(two, request_of_4_mib_is_received_whole_within_so_rcvbuf)
{
	int buffer = 16 << 20;
	struct received all;

	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)));
	ASSERT_EQ(0, start(self->client, self->entity, sizeof(sent), 0, 0));
	all = receive(self->server, got, sizeof(got), 0);
	ASSERT_EQ(sizeof(sent), all.octets);
	EXPECT_EQ(0, memcmp(sent, got, sizeof(sent)));
	EXPECT_TRUE(all.flags & MSG_EOR);
}

TEST_F(two, response_of_4_mib_is_received_in_pieces)
{
	struct vmtp_msg in = { .segment = (unsigned long)got, .length = 300000, .flags = VMTP_MSG_PIECES, .timeout = 20000 };
	struct received request;
	__u32 done = 0;

	ASSERT_EQ(0, start(self->client, self->entity, 8, 5, 0));
	request = receive(self->server, got, sizeof(got), 0);
	ASSERT_EQ(8, request.octets);
	ASSERT_EQ(0, reply(self->server, &request.mcb, VMTP_OK, sizeof(sent)));
	while (done < sizeof(sent)) {
		in.segment = (unsigned long)got + done;
		ASSERT_EQ(0, ioctl(self->client, VMTP_GETREPLY, &in)) TH_LOG("errno %d after %u", errno, done);
		ASSERT_EQ(VMTP_RESPONSE, in.mcb.function);
		ASSERT_EQ(done, in.offset);
		ASSERT_GT(in.received, 0);
		EXPECT_EQ(sizeof(sent), in.mcb.segment_size);
		EXPECT_EQ(5, in.cookie);
		done += in.received;
		in.flags = VMTP_MSG_PIECES;
	}
	EXPECT_EQ(0, memcmp(sent, got, sizeof(sent)));
	EXPECT_EQ(-1, ioctl(self->client, VMTP_GETREPLY, &in));
	EXPECT_EQ(ENOTCONN, errno);
}

TEST_F(two, what_does_not_fit_is_cut_and_told)
{
	struct received cut;

	ASSERT_EQ(0, start(self->client, self->entity, 5000, 0, 0));
	cut = receive(self->server, got, 1000, MSG_TRUNC);
	EXPECT_EQ(5000, cut.octets);
	EXPECT_TRUE(cut.flags & MSG_TRUNC);
	EXPECT_EQ(1000, cut.piece.length);
	EXPECT_EQ(5000, cut.piece.total);
	cut = receive(self->server, got, 1000, MSG_DONTWAIT);
	EXPECT_EQ(-1, cut.octets);
	EXPECT_EQ(EAGAIN, errno);
}

TEST_F(two, peeking_changes_nothing)
{
	struct received look, request;
	struct pollfd readable = { .fd = self->server, .events = POLLIN };

	ASSERT_EQ(0, start(self->client, self->entity, 3000, 9, 0));
	for (int i = 0; i < 3; i++) {
		look = receive(self->server, got, sizeof(got), MSG_PEEK);
		ASSERT_EQ(3000, look.octets);
		EXPECT_EQ(0, memcmp(sent, got, 3000));
		EXPECT_EQ(1, poll(&readable, 1, 0));
	}
	request = receive(self->server, got, sizeof(got), 0);
	EXPECT_EQ(3000, request.octets);
	EXPECT_EQ(look.mcb.transaction, request.mcb.transaction);
	EXPECT_EQ(0, poll(&readable, 1, 0));
	ASSERT_EQ(0, reply(self->server, &request.mcb, VMTP_OK, 2000));
	for (int i = 0; i < 2; i++) {
		look = receive(self->client, got, sizeof(got), MSG_PEEK);
		ASSERT_EQ(2000, look.octets);
		EXPECT_EQ(9, look.cookie);
	}
	look = receive(self->client, got, sizeof(got), 0);
	EXPECT_EQ(2000, look.octets);
}

struct look {
	int fd;
	struct absent into;
	ssize_t octets;
};

static void *look_thread(void *argument)
{
	struct look *look = argument;

	look->octets = recv(look->fd, look->into.at, look->into.octets, MSG_PEEK);
	return NULL;
}

/* Octets that the socket is charged for what it receives. */
static long memory_of(int fd)
{
	__u32 memory[SK_MEMINFO_VARS] = {};
	socklen_t size = sizeof(memory);

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) ? -1 : memory[SK_MEMINFO_RMEM_ALLOC];
}

/* Receives what another thread is looking at: as long as that lasts, the socket has the memory. */
static bool is_charged_while_looked_at(int fd, struct received *message)
{
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	struct look look = { .fd = fd };
	pthread_t thread;
	long memory;

	if (poll(&readable, 1, 20000) != 1 || !absent_make(&look.into, sizeof(got)) ||
	    pthread_create(&thread, NULL, look_thread, &look) || !absent_is_wanted(&look.into, 20000))
		return false;
	*message = receive(fd, got, sizeof(got), 0);
	memory = memory_of(fd);
	absent_end(&look.into);
	pthread_join(thread, NULL);
	return message->octets == sizeof(sent) && look.octets == sizeof(sent) &&
	       !memcmp(look.into.at, sent, sizeof(sent)) && memory >= (long)sizeof(sent) && memory_of(fd) == 0;
}

TEST_F(two, who_peeks_pays_for_what_others_receive_meanwhile)
{
	struct received message;
	int buffer = 16 << 20;

	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)));
	ASSERT_EQ(0, setsockopt(self->client, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)));
	ASSERT_EQ(0, start(self->client, self->entity, sizeof(sent), 0, 0));
	ASSERT_TRUE(is_charged_while_looked_at(self->server, &message));
	ASSERT_EQ(0, reply(self->server, &message.mcb, VMTP_OK, sizeof(sent)));
	EXPECT_TRUE(is_charged_while_looked_at(self->client, &message));
}

#define UNTAKEN	600

/* A Request without data, and its Response. */
static bool call(int client, int server, __u64 entity, __u64 cookie, unsigned int flags)
{
	struct received request;

	if (start(client, entity, 0, cookie, flags))
		return false;
	request = receive(server, got, sizeof(got), 0);
	return request.octets == 0 && !reply(server, &request.mcb, VMTP_OK, 0);
}

TEST_F(two, what_is_not_taken_waits_until_a_transaction_that_stands_alone)
{
	int on = 1, off = 0, most = 1024;
	struct received response;

	ASSERT_EQ(0, setsockopt(self->client, SOL_VMTP, VMTP_OPT_STREAM, &on, sizeof(on)));
	ASSERT_EQ(0, setsockopt(self->client, SOL_VMTP, VMTP_OPT_RESPONSE_QUEUE, &most, sizeof(most)));
	for (int i = 0; i < UNTAKEN; i++)
		ASSERT_TRUE(call(self->client, self->server, self->entity, 1 + i, VMTP_MSG_MORE));
	for (int i = 0; i < UNTAKEN / 2; i++) {
		response = receive(self->client, got, sizeof(got), 0);
		ASSERT_EQ(1 + i, response.cookie);
	}
	/* Those that were taken go now. */
	ASSERT_TRUE(call(self->client, self->server, self->entity, 1 + UNTAKEN, 0));
	for (int i = UNTAKEN / 2; i < UNTAKEN - 100; i++) {
		response = receive(self->client, got, sizeof(got), 0);
		ASSERT_EQ(1 + i, response.cookie);
	}
	ASSERT_EQ(0, setsockopt(self->client, SOL_VMTP, VMTP_OPT_STREAM, &off, sizeof(off)));
	ASSERT_TRUE(call(self->client, self->server, self->entity, 5000, 0));
	response = receive(self->client, got, sizeof(got), 0);
	EXPECT_EQ(5000, response.cookie);
	response = receive(self->client, got, sizeof(got), MSG_DONTWAIT);
	EXPECT_EQ(-1, response.octets);
}

/* Shows: 2.11-e */
TEST_F(two, a_run_is_answered_in_order_with_its_cookies)
{
	struct pollfd writable = { .fd = self->client, .events = POLLOUT };
	struct received request, response;
	int on = 1;

	ASSERT_EQ(0, setsockopt(self->client, SOL_VMTP, VMTP_OPT_STREAM, &on, sizeof(on)));
	for (int i = 0; i < 10; i++) {
		EXPECT_EQ(1, poll(&writable, 1, 0));
		ASSERT_EQ(0, start(self->client, self->entity, 100 * i, 1000 + i, VMTP_MSG_DONTWAIT | (i < 9 ? VMTP_MSG_MORE : 0)))
			TH_LOG("Request %d: errno %d", i, errno);
	}
	/* The run is closed: another waits until it is over. */
	EXPECT_EQ(0, poll(&writable, 1, 0));
	EXPECT_EQ(-1, start(self->client, self->entity, 0, 0, VMTP_MSG_DONTWAIT));
	EXPECT_EQ(EAGAIN, errno);
	for (int i = 0; i < 10; i++) {
		request = receive(self->server, got, sizeof(got), 0);
		ASSERT_EQ(100 * i, request.octets);
		ASSERT_EQ(0, reply(self->server, &request.mcb, VMTP_CODE_APPLICATION | i, 10 * i));
	}
	for (int i = 0; i < 10; i++) {
		response = receive(self->client, got, sizeof(got), 0);
		ASSERT_EQ(10 * i, response.octets) TH_LOG("Response %d: errno %d", i, errno);
		EXPECT_EQ(1000 + i, response.cookie);
		EXPECT_EQ(VMTP_CODE_APPLICATION | i, response.mcb.code & VMTP_CODE_MASK);
	}
	EXPECT_EQ(1, poll(&writable, 1, 0));
}

TEST_F(two, without_streaming_a_second_start_is_refused_at_once_or_waits)
{
	struct timeval soon = { .tv_usec = 200000 };

	ASSERT_EQ(0, start(self->client, self->entity, 8, 0, 0));
	EXPECT_EQ(-1, start(self->client, self->entity, 8, 0, VMTP_MSG_DONTWAIT));
	EXPECT_EQ(EAGAIN, errno);
	ASSERT_EQ(0, setsockopt(self->client, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)));
	EXPECT_EQ(-1, start(self->client, self->entity, 8, 0, 0));
	EXPECT_EQ(EAGAIN, errno);
}

TEST_HARNESS_MAIN
