// SPDX-License-Identifier: GPL-2.0
/*
 * A Request that is passed on: under its own name, so that the other server answers the Client itself, or by a nested
 * call where that cannot be (longer than a packet group, member of a run); between three sockets of one host.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/vmtp.h>

#include "kselftest_harness.h"

#define CODE	(VMTP_CODE_APPLICATION | 3)

static unsigned char sent[100000], got[100000];

FIXTURE(three)
{
	int client, middle, last;
	__u64 middle_entity, last_entity;
};

static int open_entity(__u64 *entity)
{
	struct sockaddr_vmtp name = { .svmtp_family = AF_VMTP };
	struct timeval limit = { .tv_sec = 20 };
	socklen_t length = sizeof(name);
	int fd = socket(AF_VMTP, SOCK_TRANSACT, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    getsockname(fd, (struct sockaddr *)&name, &length))
		return -1;
	if (entity)
		*entity = name.svmtp_entity;
	return fd;
}

FIXTURE_SETUP(three)
{
	if (system("ip link set lo up; modprobe vmtp 2>/dev/null") < 0)
		SKIP(return, "no shell");
	self->client = open_entity(NULL);
	self->middle = open_entity(&self->middle_entity);
	self->last = open_entity(&self->last_entity);
	ASSERT_GE(self->client, 0);
	ASSERT_GE(self->middle, 0);
	ASSERT_GE(self->last, 0);
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = i * 2654435761u >> 11;
}

FIXTURE_TEARDOWN(three)
{
	close(self->client);
	close(self->middle);
	close(self->last);
}

static int start(int fd, __u64 server, size_t octets)
{
	struct vmtp_exchange exchange = {
		.out = {
			.mcb = { .server = server, .code = CODE },
			.segment = (unsigned long)sent,
			.length = octets,
			.flags = VMTP_MSG_START,
		},
		.in = { .length = sizeof(got) },
	};

	return ioctl(fd, VMTP_INVOKE, &exchange);
}

static int receive(int fd, struct vmtp_msg *in)
{
	*in = (struct vmtp_msg){ .segment = (unsigned long)got, .length = sizeof(got), .timeout = 20000 };
	return ioctl(fd, VMTP_RECVREQ, in);
}

static int answer(int fd, const struct vmtp_mcb *request, size_t octets)
{
	struct vmtp_msg out = {
		.mcb = { .client = request->client, .transaction = request->transaction, .code = CODE + 1 },
		.segment = (unsigned long)sent,
		.length = octets,
	};

	return ioctl(fd, VMTP_SENDREPLY, &out);
}

static int forward(int fd, const struct vmtp_mcb *request, __u64 server, size_t octets)
{
	struct vmtp_msg out = {
		.mcb = {
			.server = server, .client = request->client, .transaction = request->transaction,
			.code = CODE + 2,
		},
		.segment = (unsigned long)sent,
		.length = octets,
	};

	return ioctl(fd, VMTP_FORWARDREQ, &out);
}

static int get_reply(int fd, struct vmtp_msg *in)
{
	*in = (struct vmtp_msg){ .segment = (unsigned long)got, .length = sizeof(got), .timeout = 20000 };
	return ioctl(fd, VMTP_GETREPLY, in);
}

/* Shows: 2.9-a */
TEST_F(three, other_server_answers_the_client_itself)
{
	struct vmtp_msg request, response;

	ASSERT_EQ(0, start(self->client, self->middle_entity, 100));
	ASSERT_EQ(0, receive(self->middle, &request));
	ASSERT_EQ(0, forward(self->middle, &request.mcb, self->last_entity, 200));
	EXPECT_EQ(-1, answer(self->middle, &request.mcb, 0));
	EXPECT_EQ(ENOTCONN, errno);
	ASSERT_EQ(0, receive(self->last, &request));
	EXPECT_EQ(200, request.received);
	EXPECT_EQ(1, request.mcb.forward_count);
	EXPECT_EQ(CODE + 2, request.mcb.code & VMTP_CODE_MASK);
	ASSERT_EQ(0, answer(self->last, &request.mcb, 300));
	ASSERT_EQ(0, get_reply(self->client, &response));
	EXPECT_EQ(VMTP_RESPONSE, response.mcb.function);
	EXPECT_EQ(300, response.received);
	EXPECT_EQ(self->last_entity, response.mcb.server);
}

/* Shows: 2.9-b */
TEST_F(three, long_request_goes_on_by_a_nested_call)
{
	struct vmtp_msg request, response;

	ASSERT_EQ(0, start(self->client, self->middle_entity, 40000));
	ASSERT_EQ(0, receive(self->middle, &request));
	ASSERT_EQ(40000, request.received);
	ASSERT_EQ(0, forward(self->middle, &request.mcb, self->last_entity, 50000)) TH_LOG("errno %d", errno);
	ASSERT_EQ(0, receive(self->last, &request));
	EXPECT_EQ(50000, request.received);
	EXPECT_EQ(0, memcmp(sent, got, 50000));
	EXPECT_EQ(0, request.mcb.forward_count);
	memset(got, 0, sizeof(got));
	ASSERT_EQ(0, answer(self->last, &request.mcb, 70000));
	ASSERT_EQ(0, get_reply(self->client, &response));
	EXPECT_EQ(VMTP_RESPONSE, response.mcb.function);
	EXPECT_EQ(CODE + 1, response.mcb.code & VMTP_CODE_MASK);
	EXPECT_EQ(70000, response.received);
	EXPECT_EQ(0, memcmp(sent, got, 70000));
	EXPECT_EQ(self->middle_entity, response.mcb.server);
}

TEST_F(three, failure_of_the_nested_call_is_the_response)
{
	struct vmtp_msg request, response;

	ASSERT_EQ(0, start(self->client, self->middle_entity, 40000));
	ASSERT_EQ(0, receive(self->middle, &request));
	ASSERT_EQ(0, forward(self->middle, &request.mcb, self->last_entity, 20000));
	ASSERT_EQ(0, receive(self->last, &request));
	close(self->last);
	ASSERT_EQ(0, get_reply(self->client, &response));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, response.mcb.code & VMTP_CODE_MASK);
	EXPECT_EQ(self->middle_entity, response.mcb.server);
}

TEST_HARNESS_MAIN
