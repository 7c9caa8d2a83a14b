// SPDX-License-Identifier: GPL-2.0
/*
 * The thread model (RFC 1045, 2.17 and III, ModifyService): as many Requests
 * of an entity are handled at a time as it has threads, whoever their Clients
 * are; those of one Client's run one after another.
 */
#include "manage.h"

#include <stdatomic.h>

#include "kselftest_harness.h"

#define SERVER		little_endian(100000, HOST)

FIXTURE(host)
{
	int tun, server;
};

FIXTURE_SETUP(host)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	self->server = open_entity(SERVER);
	ASSERT_GE(self->server, 0);
	ASSERT_EQ(0, fcntl(self->server, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_PROBE_CLIENTS, VMTP_PROBE_NEVER));
}

FIXTURE_TEARDOWN(host)
{
	close(self->server);
	close(self->tun);
}

/* The code of ModifyService with the thread model, and a threadlist for as many as are asked for; mcb is its Response. */
static long serve_by(int fd, __u32 flags, __u32 count, struct vmtp_mcb *mcb)
{
	static const __u32 list[8][5];

	return local_with(fd, VMTP_PROC_MODIFY_SERVICE, service(SERVER, THREADS | flags, count), list,
			  (__s32)count < 0 ? 0 : count * sizeof(list[0]), mcb, NULL, 0, NULL);
}

/* Takes the next Request, if there is one; then it is that of this Client. */
#define EXPECT_REQUEST(number, mcb) do { \
	EXPECT_TRUE(comes(self->server, POLLIN, LONG_MS)); \
	EXPECT_EQ(0, vmtp_recvreq(self->server, mcb, NULL, 0, 0)); \
	EXPECT_EQ(little_endian(number, PEER), (mcb)->client); \
} while (0)

#define EXPECT_NO_REQUEST() do { \
	struct vmtp_mcb none; \
	EXPECT_FALSE(ready(self->server) & POLLIN); \
	EXPECT_ERRNO(EAGAIN, vmtp_recvreq(self->server, &none, NULL, 0, 0)); \
} while (0)

/* Shows: III-010E-b 2.17-b */
TEST_F(host, as_many_requests_are_handled_at_once_as_there_are_threads)
{
	struct vmtp_mcb first, second, third, mcb;
	int root = open_entity(0);
	struct packet packet;

	ASSERT_EQ(VMTP_OK, serve_by(root, 0, 2, &mcb));
	EXPECT_EQ(2, mcb.user[0]);
	/* The others wait, and nobody is refused. */
	for (int i = 1; i <= 5; i++) {
		EXPECT_EQ(-1, told(self->tun, SERVER, 400000 + i));
	}
	EXPECT_REQUEST(400001, &first);
	EXPECT_REQUEST(400002, &second);
	EXPECT_NO_REQUEST();
	/* A Request ends with its Response ... */
	vmtp_response(&first, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &first, NULL, 0));
	EXPECT_REQUEST(400003, &third);
	EXPECT_NO_REQUEST();
	/* ... when it is given up ... */
	third.flags = VMTP_F_ABANDON;
	ASSERT_EQ(0, vmtp_sendreply(self->server, &third, NULL, 0));
	EXPECT_REQUEST(400004, &third);
	EXPECT_NO_REQUEST();
	/* ... and when its Client goes on to another, which then has its turn. */
	request_packet(&packet, little_endian(400002, PEER), SERVER, 8);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_REQUEST(400005, &mcb);
	EXPECT_NO_REQUEST();
	EXPECT_ERRNO(ENOTCONN, vmtp_sendreply(self->server, &second, NULL, 0));
	/* With another thread there is room for one more. */
	ASSERT_EQ(VMTP_OK, serve_by(root, INCREMENTAL, 1, &mcb));
	EXPECT_EQ(3, mcb.user[0]);
	EXPECT_REQUEST(400002, &mcb);
	EXPECT_EQ(8, mcb.transaction);
	EXPECT_EQ(-1, told(self->tun, SERVER, 400006));
	EXPECT_NO_REQUEST();
	/* With fewer, those that are handled go on. */
	ASSERT_EQ(VMTP_OK, serve_by(root, INCREMENTAL, -2, &first));
	EXPECT_EQ(1, first.user[0]);
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
	EXPECT_NO_REQUEST();
	/* In the message model nothing is counted. */
	ASSERT_EQ(VMTP_OK, local(root, VMTP_PROC_MODIFY_SERVICE, service(SERVER, 0, 8)));
	EXPECT_REQUEST(400006, &mcb);
	close(root);
}

/* A Request that was peeked at, or that could not be stored, is not being handled; one of which a piece was taken is. */
TEST_F(host, a_thread_has_the_request_that_it_has_begun_to_read)
{
	int on = 1, root = open_entity(0);
	struct packet request;
	struct vmtp_mcb mcb;
	char octets[1024];

	ASSERT_EQ(VMTP_OK, serve_by(root, 0, 1, &mcb));
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_PIECES, on));
	request_packet(&request, little_endian(400001, PEER), SERVER, 7);
	request.code |= VMTP_SDA;
	request.segment_size = 1024;
	request.octets = 1024;
	request.delivery = 3;
	fill(request.data, 1024, 1);
	ASSERT_TRUE(send_packet(self->tun, &request));
	EXPECT_EQ(-1, told(self->tun, SERVER, 400002));
	EXPECT_EQ(1024, recv(self->server, octets, sizeof(octets), MSG_PEEK));
	EXPECT_EQ(1024, recv(self->server, octets, sizeof(octets), MSG_PEEK));
	EXPECT_ERRNO(EFAULT, recv(self->server, (void *)8, sizeof(octets), 0));
	EXPECT_EQ(1000, recv(self->server, octets, 1000, 0));
	EXPECT_TRUE(ready(self->server) & POLLIN);
	EXPECT_EQ(24, recv(self->server, octets, sizeof(octets), 0));
	EXPECT_NO_REQUEST();
	close(root);
}

static void *next_thread(void *argument)
{
	static struct vmtp_mcb mcb;

	return vmtp_recvreq(*(int *)argument, &mcb, NULL, 0, LONG_MS) ? NULL : &mcb;
}

/* Who waits is woken by the end of another's Request. */
TEST_F(host, a_thread_that_waits_for_its_turn_gets_it)
{
	int root = open_entity(0);
	struct vmtp_mcb mcb, *next;
	pthread_t thread;
	void *result;

	ASSERT_EQ(0, fcntl(self->server, F_SETFL, 0));
	ASSERT_EQ(VMTP_OK, serve_by(root, 0, 1, &mcb));
	EXPECT_EQ(-1, told(self->tun, SERVER, 400001));
	EXPECT_EQ(-1, told(self->tun, SERVER, 400002));
	EXPECT_REQUEST(400001, &mcb);
	ASSERT_EQ(0, pthread_create(&thread, NULL, next_thread, &self->server));
	usleep(100000);
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
	ASSERT_EQ(0, pthread_join(thread, &result));
	next = result;
	ASSERT_NE(NULL, next);
	EXPECT_EQ(little_endian(400002, PEER), next->client);
	close(root);
}

/* ---- Runs ------------------------------------------------------------------------------------------ */

#define CLIENTS		3
#define RUN		20
#define POOL		4	/* threads of the server */
#define MOST		2	/* of which so many may have a Request */

/* What the server's threads saw: a Request out of order, two of one Client at a time, more than MOST in all. */
static _Atomic int in_hand, most_in_hand, wrong_order, beside;
static _Atomic int expected_of[CLIENTS], handled_of[CLIENTS];

static void *pool_thread(void *argument)
{
	int fd = *(int *)argument;
	struct vmtp_mcb mcb;

	while (!vmtp_recvreq(fd, &mcb, NULL, 0, 0)) {
		int client = mcb.user[2], now = atomic_fetch_add(&in_hand, 1) + 1, most = most_in_hand;

		while (now > most && !atomic_compare_exchange_weak(&most_in_hand, &most, now))
			;
		if (atomic_fetch_add(&handled_of[client], 1))
			beside++;
		if (mcb.user[3] != expected_of[client]++)
			wrong_order++;
		/* Long enough for others to begin. */
		usleep(1000);
		atomic_fetch_sub(&handled_of[client], 1);
		atomic_fetch_sub(&in_hand, 1);
		vmtp_response(&mcb, VMTP_OK);
		if (vmtp_sendreply(fd, &mcb, NULL, 0))
			wrong_order++;
	}
	return NULL;
}

/* Shows: 2.17-b 2.11-e */
TEST_F(host, requests_of_a_run_are_handled_in_order_and_runs_beside_each_other)
{
	int root = open_entity(0), fds[CLIENTS];
	pthread_t threads[POOL];
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, fcntl(self->server, F_SETFL, 0));
	ASSERT_EQ(VMTP_OK, serve_by(root, 0, MOST, &mcb));
	for (int i = 0; i < POOL; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, pool_thread, &self->server));
	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = open_entity(0);
		ASSERT_EQ(0, set_option(fds[i], VMTP_OPT_STREAM, 1));
	}
	for (int number = 0; number < RUN; number++) {
		for (int i = 0; i < CLIENTS; i++) {
			struct vmtp_exchange exchange = {
				.out = { .flags = VMTP_MSG_START | (number < RUN - 1 ? VMTP_MSG_MORE : 0) },
			};

			vmtp_request(&exchange.out.mcb, SERVER, APPLICATION);
			exchange.out.mcb.user[2] = i;
			exchange.out.mcb.user[3] = number;
			ASSERT_EQ(0, ioctl(fds[i], VMTP_INVOKE, &exchange));
		}
	}
	for (int i = 0; i < CLIENTS; i++) {
		for (int number = 0; number < RUN; number++) {
			ASSERT_EQ(0, vmtp_getreply(fds[i], &mcb, NULL, 0, LONG_MS));
			EXPECT_EQ(VMTP_RESPONSE, mcb.function);
			EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
		}
		EXPECT_EQ(RUN, expected_of[i]);
		close(fds[i]);
	}
	shutdown(self->server, SHUT_RDWR);
	for (int i = 0; i < POOL; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(0, wrong_order);
	EXPECT_EQ(0, beside);
	EXPECT_EQ(MOST, most_in_hand);
	close(root);
}

TEST_HARNESS_MAIN
