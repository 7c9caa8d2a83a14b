// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring on AF_VMTP: it does not reach ioctls, so here a Client and a server
 * do by sendmsg, recvmsg and poll all that the RFC's calls do.
 */
#include "host.h"
#include "message.h"

#include <linux/io_uring.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "kselftest_harness.h"

#define OWN	0x7F000001U	/* 127.0.0.1 */
#define SERVER	little_endian(100001, OWN)
#define OTHER	little_endian(100002, OWN)
#define ENTRIES	16

/* ---- A ring ------------------------------------------------------------------------ */

struct ring {
	int fd;
	unsigned int *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static int ring_make(struct ring *ring)
{
	struct io_uring_params params = { };
	size_t size;
	char *at;

	ring->fd = syscall(SYS_io_uring_setup, ENTRIES, &params);
	if (ring->fd < 0 || !(params.features & IORING_FEAT_SINGLE_MMAP))
		return -1;
	size = params.sq_off.array + params.sq_entries * sizeof(unsigned int);
	if (size < params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe))
		size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED,
			  ring->fd, IORING_OFF_SQES);
	if (at == MAP_FAILED || ring->sqes == MAP_FAILED)
		return -1;
	ring->sq_tail = (void *)(at + params.sq_off.tail);
	ring->sq_mask = (void *)(at + params.sq_off.ring_mask);
	ring->sq_array = (void *)(at + params.sq_off.array);
	ring->cq_head = (void *)(at + params.cq_off.head);
	ring->cq_tail = (void *)(at + params.cq_off.tail);
	ring->cq_mask = (void *)(at + params.cq_off.ring_mask);
	ring->cqes = (void *)(at + params.cq_off.cqes);
	return 0;
}

/* Puts an operation in; its result comes with this number. */
static void ring_push(struct ring *ring, const struct io_uring_sqe *sqe, __u64 number)
{
	unsigned int tail = *ring->sq_tail, index = tail & *ring->sq_mask;

	ring->sqes[index] = *sqe;
	ring->sqes[index].user_data = number;
	ring->sq_array[index] = index;
	atomic_store_explicit((_Atomic unsigned int *)ring->sq_tail, tail + 1, memory_order_release);
}

/* One system call, for as many as were put in. */
static int ring_enter(struct ring *ring, unsigned int count)
{
	return syscall(SYS_io_uring_enter, ring->fd, count, 0, 0, NULL, 0);
}

static int ring_submit(struct ring *ring, const struct io_uring_sqe *sqe, __u64 number)
{
	ring_push(ring, sqe, number);
	return ring_enter(ring, 1);
}

/* Waits for the next result: whose it is. */
static __u64 ring_wait(struct ring *ring, int *result)
{
	unsigned int head = *ring->cq_head;
	__u64 number;

	while (head == atomic_load_explicit((_Atomic unsigned int *)ring->cq_tail, memory_order_acquire))
		if (syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0 && errno != EINTR)
			return 0;
	*result = ring->cqes[head & *ring->cq_mask].res;
	number = ring->cqes[head & *ring->cq_mask].user_data;
	atomic_store_explicit((_Atomic unsigned int *)ring->cq_head, head + 1, memory_order_release);
	return number;
}

/* One operation, and what comes of it. */
static int ring_do(struct ring *ring, const struct io_uring_sqe *sqe)
{
	int result = -EIO;

	if (ring_submit(ring, sqe, 1) != 1 || ring_wait(ring, &result) != 1)
		return -EIO;
	return result;
}

static struct io_uring_sqe message_sqe(int opcode, int fd, struct msghdr *message, unsigned int flags)
{
	return (struct io_uring_sqe){
		.opcode = opcode, .fd = fd, .addr = (uintptr_t)message, .len = 1, .msg_flags = flags,
	};
}

static int ring_send(struct ring *ring, int fd, struct envelope *out)
{
	struct io_uring_sqe sqe = message_sqe(IORING_OP_SENDMSG, fd, &out->header, 0);

	return ring_do(ring, &sqe);
}

static struct received ring_receive(struct ring *ring, int fd, void *data, size_t room, unsigned int flags)
{
	struct received received = { };
	struct envelope in;
	struct io_uring_sqe sqe = message_sqe(IORING_OP_RECVMSG, fd, envelope_in(&in, data, room), flags);

	received.octets = ring_do(ring, &sqe);
	if (received.octets >= 0)
		envelope_read(&in, &received);
	return received;
}

static int ring_poll(struct ring *ring, int fd, unsigned int events)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_POLL_ADD, .fd = fd, .poll32_events = events };

	return ring_do(ring, &sqe);
}

FIXTURE(rings)
{
	struct ring ring;
	int client, server;
	unsigned char *sent, *got;
};

FIXTURE_SETUP(rings)
{

	ASSERT_GE(namespace_make(), 0);
	ASSERT_EQ(0, ring_make(&self->ring)) { TH_LOG("io_uring: %s", strerror(errno)); }
	self->server = open_entity(SERVER);
	self->client = open_entity(0);
	ASSERT_GE(self->server, 0);
	ASSERT_GE(self->client, 0);
	self->sent = malloc(VMTP_MESSAGE_SIZE);
	self->got = calloc(1, VMTP_MESSAGE_SIZE);
	fill(self->sent, VMTP_MESSAGE_SIZE, 1);
}

FIXTURE_TEARDOWN(rings)
{
	close(self->client);
	close(self->server);
	close(self->ring.fd);
	free(self->sent);
	free(self->got);
}

static struct vmtp_mcb request_to(__u64 server, __u32 code)
{
	return (struct vmtp_mcb){ .server = server, .code = code, .function = VMTP_REQUEST };
}

static struct vmtp_mcb response_to(const struct vmtp_mcb *request, __u32 code)
{
	return (struct vmtp_mcb){
		.client = request->client, .transaction = request->transaction, .code = code, .function = VMTP_RESPONSE,
	};
}

/* ---- The calls ------------------------------------------------------------------------ */

/* Shows: VIII-d */
TEST_F(rings, a_transaction_is_made_and_served_by_rings_alone)
{
	__u64 cookie = 0x1122334455667788;
	struct vmtp_mcb mcb = request_to(SERVER, APPLICATION);
	struct received request, response;
	struct envelope out;

	mcb.user[2] = 4711;
	envelope_out(&out, &mcb, self->sent, 3000);
	envelope_control(&out, VMTP_COOKIE, &cookie, sizeof(cookie));
	ASSERT_EQ(3000, ring_send(&self->ring, self->client, &out));
	ASSERT_TRUE(ring_poll(&self->ring, self->server, POLLIN) & POLLIN);
	request = ring_receive(&self->ring, self->server, self->got, 4000, 0);
	ASSERT_EQ(3000, request.octets);
	EXPECT_EQ(0, memcmp(self->sent, self->got, 3000));
	EXPECT_EQ(VMTP_REQUEST, request.mcb.function);
	EXPECT_EQ(4711, request.mcb.user[2]);
	EXPECT_EQ(entity_of(self->client), request.from);

	mcb = response_to(&request.mcb, APPLICATION + 1);
	envelope_out(&out, &mcb, self->sent + 100, 2000);
	ASSERT_EQ(2000, ring_send(&self->ring, self->server, &out));
	response = ring_receive(&self->ring, self->client, self->got, 4000, 0);
	ASSERT_EQ(2000, response.octets);
	EXPECT_EQ(0, memcmp(self->sent + 100, self->got, 2000));
	EXPECT_EQ(VMTP_RESPONSE, response.mcb.function);
	EXPECT_EQ(APPLICATION + 1, vmtp_code(&response.mcb));
	EXPECT_EQ(cookie, response.cookie);
	EXPECT_EQ(SERVER, response.from);
}

TEST_F(rings, what_waits_in_a_ring_ends_when_something_comes)
{
	struct vmtp_mcb mcb = request_to(SERVER, APPLICATION), last;
	struct envelope in, out;
	struct io_uring_sqe receive = message_sqe(IORING_OP_RECVMSG, self->server, envelope_in(&in, self->got, 100), 0);
	struct io_uring_sqe look = { .opcode = IORING_OP_POLL_ADD, .fd = self->client, .poll32_events = POLLIN };
	struct received request = { };
	int result;

	ASSERT_EQ(1, ring_submit(&self->ring, &receive, 2));
	ASSERT_EQ(1, ring_submit(&self->ring, &look, 3));
	/* Nothing has come: neither is done. */
	EXPECT_EQ(*self->ring.cq_head, *self->ring.cq_tail);
	ASSERT_EQ(0, start_null(self->client, SERVER));
	ASSERT_EQ(2, ring_wait(&self->ring, &result));
	ASSERT_EQ(0, result);
	envelope_read(&in, &request);
	EXPECT_EQ(APPLICATION, request.mcb.code);
	mcb = response_to(&request.mcb, VMTP_OK);
	envelope_out(&out, &mcb, NULL, 0);
	ASSERT_EQ(0, sendmsg(self->server, &out.header, 0));
	ASSERT_EQ(3, ring_wait(&self->ring, &result));
	EXPECT_TRUE(result & POLLIN);
	EXPECT_EQ(0, vmtp_getreply(self->client, &last, NULL, 0, LONG_MS));
}

TEST_F(rings, what_waits_in_a_ring_can_be_taken_back)
{
	struct io_uring_sqe cancel = { .opcode = IORING_OP_ASYNC_CANCEL, .addr = 2 };
	struct io_uring_sqe receive;
	struct envelope in;
	int result, seen = 0;

	receive = message_sqe(IORING_OP_RECVMSG, self->server, envelope_in(&in, self->got, 100), 0);
	ASSERT_EQ(1, ring_submit(&self->ring, &receive, 2));
	ASSERT_EQ(1, ring_submit(&self->ring, &cancel, 3));
	for (int i = 0; i < 2; i++) {
		__u64 number = ring_wait(&self->ring, &result);

		seen |= 1 << number;
		EXPECT_EQ(number == 2 ? -ECANCELED : 0, result);
	}
	EXPECT_EQ(1 << 2 | 1 << 3, seen);
}

/* Reply-and-receive: two operations that are linked, in one system call. */
TEST_F(rings, a_reply_and_the_next_request_are_linked_operations)
{
	struct received request;
	struct envelope in, out;
	struct io_uring_sqe sqe;
	struct vmtp_mcb mcb;
	int second, result;

	second = open_entity(0);
	ASSERT_EQ(0, start_null(self->client, SERVER));
	request = ring_receive(&self->ring, self->server, self->got, 100, 0);
	ASSERT_EQ(0, request.octets);
	mcb = response_to(&request.mcb, APPLICATION + 2);
	envelope_out(&out, &mcb, NULL, 0);
	sqe = message_sqe(IORING_OP_SENDMSG, self->server, &out.header, 0);
	sqe.flags = IOSQE_IO_LINK;
	ring_push(&self->ring, &sqe, 2);
	sqe = message_sqe(IORING_OP_RECVMSG, self->server, envelope_in(&in, self->got, 100), 0);
	ring_push(&self->ring, &sqe, 3);
	ASSERT_EQ(2, ring_enter(&self->ring, 2));
	ASSERT_EQ(2, ring_wait(&self->ring, &result));
	EXPECT_EQ(0, result);
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(APPLICATION + 2, mcb.code);
	ASSERT_EQ(0, start_null(second, SERVER));
	ASSERT_EQ(3, ring_wait(&self->ring, &result));
	EXPECT_EQ(0, result);
	close(second);
}

/* Shows: 5.4-c */
TEST_F(rings, a_request_is_forwarded)
{
	int other = open_entity(OTHER);
	struct received request, response;
	struct envelope out;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_null(self->client, SERVER));
	request = ring_receive(&self->ring, self->server, self->got, 100, 0);
	ASSERT_EQ(0, request.octets);
	mcb = request.mcb;
	mcb.server = OTHER;
	mcb.code = APPLICATION + 3;
	mcb.function = VMTP_FORWARD;
	mcb.flags = 0;
	envelope_out(&out, &mcb, NULL, 0);
	ASSERT_EQ(0, ring_send(&self->ring, self->server, &out));
	request = ring_receive(&self->ring, other, self->got, 100, 0);
	ASSERT_EQ(0, request.octets);
	EXPECT_EQ(APPLICATION + 3, request.mcb.code);
	EXPECT_EQ(entity_of(self->client), request.mcb.client);
	EXPECT_EQ(1, request.mcb.forward_count);
	mcb = response_to(&request.mcb, APPLICATION + 4);
	envelope_out(&out, &mcb, NULL, 0);
	ASSERT_EQ(0, ring_send(&self->ring, other, &out));
	response = ring_receive(&self->ring, self->client, self->got, 100, 0);
	EXPECT_EQ(APPLICATION + 4, response.mcb.code);
	close(other);
}

TEST_F(rings, a_request_is_abandoned)
{
	struct received request, response;
	struct envelope out;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_null(self->client, SERVER));
	request = ring_receive(&self->ring, self->server, self->got, 100, 0);
	mcb = response_to(&request.mcb, VMTP_OK);
	mcb.flags = VMTP_F_ABANDON;
	envelope_out(&out, &mcb, NULL, 0);
	ASSERT_EQ(0, ring_send(&self->ring, self->server, &out));
	response = ring_receive(&self->ring, self->client, self->got, 100, 0);
	EXPECT_EQ(VMTP_FAILURE, response.mcb.function);
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, vmtp_code(&response.mcb));
}

TEST_F(rings, a_transaction_has_a_time_limit)
{
	struct vmtp_mcb mcb = request_to(SERVER, APPLICATION);
	struct received response;
	__u32 limit = 200;
	struct envelope out;

	envelope_out(&out, &mcb, NULL, 0);
	envelope_control(&out, VMTP_TIMELIMIT, &limit, sizeof(limit));
	ASSERT_EQ(0, ring_send(&self->ring, self->client, &out));
	response = ring_receive(&self->ring, self->client, self->got, 100, 0);
	EXPECT_EQ(VMTP_FAILURE, response.mcb.function);
	EXPECT_EQ(VMTP_USER_TIMEOUT, vmtp_code(&response.mcb));
}

TEST_F(rings, open_transactions_are_ended)
{
	struct vmtp_mcb mcb = request_to(SERVER, APPLICATION), cancel = { .function = VMTP_CANCEL };
	struct received request;
	struct envelope out;

	envelope_out(&out, &mcb, NULL, 0);
	ASSERT_EQ(0, ring_send(&self->ring, self->client, &out));
	EXPECT_EQ(0, ready(self->client) & POLLOUT);
	envelope_out(&out, &cancel, NULL, 0);
	ASSERT_EQ(0, ring_send(&self->ring, self->client, &out));
	EXPECT_EQ(POLLOUT, ready(self->client) & (POLLIN | POLLOUT));
	mcb.code++;
	envelope_out(&out, &mcb, NULL, 0);
	ASSERT_EQ(0, ring_send(&self->ring, self->client, &out));
	request = ring_receive(&self->ring, self->server, self->got, 100, 0);
	EXPECT_EQ(APPLICATION + 1, request.mcb.code);
}

TEST_F(rings, a_response_may_be_as_long_as_the_request_says)
{
	struct vmtp_mcb mcb = request_to(SERVER, APPLICATION);
	__u32 room = 100000;
	struct received request, response;
	size_t got = 0;
	struct envelope out;

	envelope_out(&out, &mcb, NULL, 0);
	ASSERT_EQ(0, ring_send(&self->ring, self->client, &out));
	request = ring_receive(&self->ring, self->server, self->got, 100, 0);
	mcb = response_to(&request.mcb, VMTP_OK);
	envelope_out(&out, &mcb, self->sent, room);
	EXPECT_EQ(-EMSGSIZE, ring_send(&self->ring, self->server, &out));
	envelope_out(&out, &mcb, self->sent, 16384);
	EXPECT_EQ(16384, ring_send(&self->ring, self->server, &out));
	response = ring_receive(&self->ring, self->client, self->got, VMTP_MESSAGE_SIZE, 0);
	EXPECT_EQ(16384, response.octets);

	mcb = request_to(SERVER, APPLICATION);
	envelope_out(&out, &mcb, NULL, 0);
	envelope_control(&out, VMTP_ROOM, &room, sizeof(room));
	ASSERT_EQ(0, ring_send(&self->ring, self->client, &out));
	request = ring_receive(&self->ring, self->server, self->got, 100, 0);
	mcb = response_to(&request.mcb, VMTP_OK);
	envelope_out(&out, &mcb, self->sent, room);
	EXPECT_EQ(room, ring_send(&self->ring, self->server, &out));
	/* In pieces, because the socket wants them. */
	ASSERT_EQ(0, set_option(self->client, VMTP_OPT_PIECES, 1));
	do {
		response = ring_receive(&self->ring, self->client, self->got + got, 30000, 0);
		ASSERT_GT(response.octets, 0);
		EXPECT_EQ(got, response.piece.offset);
		EXPECT_EQ(room, response.piece.total);
		EXPECT_EQ(0, response.flags & MSG_TRUNC);
		got += response.octets;
	} while (!(response.flags & MSG_EOR));
	EXPECT_EQ(room, got);
	EXPECT_EQ(0, memcmp(self->sent, self->got, room));
}

/* Shows: 2.10-a */
TEST_F(rings, an_entity_is_probed_by_a_request_to_its_manager)
{
	struct vmtp_mcb mcb = request_to(VMTP_MANAGER_GROUP, VMTP_PROC_PROBE_ENTITY);
	struct sockaddr_vmtp manager = {
		.svmtp_family = AF_VMTP, .svmtp_entity = VMTP_MANAGER_GROUP,
		.svmtp_host = { .family = AF_INET, .address = { 127, 0, 0, 1 } },
	};
	struct received response;
	struct envelope out;

	/* III: CoResidentEntity tells the host, entityId and the authentication domain whom. */
	mcb.code |= VMTP_CRE;
	mcb.coresident = SERVER;
	mcb.user[2] = SERVER >> 32;
	mcb.user[3] = (__u32)SERVER;
	mcb.user[4] = 1;
	envelope_out(&out, &mcb, NULL, 0);
	out.header.msg_name = &manager;
	out.header.msg_namelen = sizeof(manager);
	ASSERT_EQ(0, ring_send(&self->ring, self->client, &out));
	response = ring_receive(&self->ring, self->client, self->got, 100, 0);
	ASSERT_EQ(0, response.octets);
	EXPECT_EQ(VMTP_OK, vmtp_code(&response.mcb));
	/* Transaction, ProcessId, PrincipalId: the process is this test. */
	EXPECT_EQ(getpid(), response.mcb.user[2]);
}

TEST_F(rings, peeking_and_not_waiting_are_flags_as_ever)
{
	struct received first, second;

	first = ring_receive(&self->ring, self->server, self->got, 100, MSG_DONTWAIT);
	EXPECT_EQ(-EAGAIN, first.octets);
	ASSERT_EQ(0, start_null(self->client, SERVER));
	first = ring_receive(&self->ring, self->server, self->got, 100, MSG_PEEK);
	ASSERT_EQ(0, first.octets);
	second = ring_receive(&self->ring, self->server, self->got, 100, 0);
	EXPECT_EQ(first.mcb.transaction, second.mcb.transaction);
	second = ring_receive(&self->ring, self->server, self->got, 100, MSG_DONTWAIT);
	EXPECT_EQ(-EAGAIN, second.octets);
}

TEST_HARNESS_MAIN
