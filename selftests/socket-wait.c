// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting on an AF_VMTP socket, and what ends it: messages, times, signals,
 * shutdown, close, and who else has the socket.
 */
#include "host.h"

#include <sys/epoll.h>

#include "kselftest_harness.h"

#define OWN	0x7F000001U	/* 127.0.0.1 */
#define SERVER	little_endian(100001, OWN)

FIXTURE(pair)
{
	int server, client;
};

FIXTURE_SETUP(pair)
{
	ASSERT_GE(namespace_make(), 0);
	self->server = open_entity(SERVER);
	self->client = open_entity(0);
	ASSERT_GE(self->server, 0);
	ASSERT_GE(self->client, 0);
}

FIXTURE_TEARDOWN(pair)
{
	close(self->server);
	close(self->client);
}

/* ---- Not waiting ----------------------------------------------------------------- */

TEST_F(pair, without_waiting_there_is_eagain)
{
	struct vmtp_msg msg = { .flags = VMTP_MSG_DONTWAIT };
	char octet;

	EXPECT_ERRNO(EAGAIN, ioctl(self->server, VMTP_RECVREQ, &msg));
	EXPECT_ERRNO(EAGAIN, recv(self->server, &octet, 1, MSG_DONTWAIT));
	ASSERT_EQ(0, fcntl(self->server, F_SETFL, O_NONBLOCK));
	msg = (struct vmtp_msg){ };
	EXPECT_ERRNO(EAGAIN, ioctl(self->server, VMTP_RECVREQ, &msg));
	EXPECT_ERRNO(EAGAIN, recv(self->server, &octet, 1, 0));
}

TEST_F(pair, a_second_transaction_waits_for_the_first_or_is_eagain)
{
	struct vmtp_exchange exchange = {
		.out = {
			.mcb = { .server = SERVER, .code = APPLICATION },
			.flags = VMTP_MSG_START | VMTP_MSG_DONTWAIT,
		},
	};
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_null(self->client, SERVER));
	EXPECT_ERRNO(EAGAIN, ioctl(self->client, VMTP_INVOKE, &exchange));
	/* Only who says so throws the first away. */
	exchange.out.flags |= VMTP_MSG_ABORT;
	exchange.out.mcb.code++;
	EXPECT_EQ(0, ioctl(self->client, VMTP_INVOKE, &exchange));
	/* 2.11: the server does not see the first, or may not answer it any more. */
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(APPLICATION + 1, mcb.code);
}

/* ---- Times ------------------------------------------------------------------------ */

/* Shows: 5.4-a */
TEST_F(pair, recvreq_waits_as_long_as_it_says)
{
	unsigned char octets[300];
	struct vmtp_mcb mcb;
	long begin = now_ms();

	EXPECT_ERRNO(EAGAIN, vmtp_recvreq(self->server, &mcb, NULL, 0, 200));
	EXPECT_GE(now_ms() - begin, 200);
	fill(octets, sizeof(octets), 1);
	vmtp_request(&mcb, SERVER, APPLICATION);
	ASSERT_EQ(0, start(self->client, &mcb, octets, sizeof(octets)));
	EXPECT_EQ(sizeof(octets), vmtp_recvreq(self->server, &mcb, octets, sizeof(octets), LONG_MS));
	EXPECT_EQ(entity_of(self->client), mcb.client);
	EXPECT_EQ(sizeof(octets), mcb.segment_size);
	EXPECT_EQ(VMTP_REQUEST, mcb.function);
}

TEST_F(pair, so_rcvtimeo_ends_recv)
{
	struct timeval limit = { .tv_usec = 200000 };
	long begin = now_ms();
	char octet;

	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	EXPECT_ERRNO(EAGAIN, recv(self->server, &octet, 1, 0));
	EXPECT_GE(now_ms() - begin, 200);
}

/* Shows: D-26-b */
TEST_F(pair, the_time_of_a_transaction_is_a_code_and_not_an_errno)
{
	struct vmtp_mcb mcb;
	long begin = now_ms();

	vmtp_request(&mcb, SERVER, APPLICATION);
	/* The server is there and says so when it is asked: only the time ends it. */
	EXPECT_EQ(0, vmtp_invoke(self->client, &mcb, NULL, 0, NULL, 0, 900));
	EXPECT_EQ(VMTP_FAILURE, mcb.function);
	EXPECT_EQ(VMTP_USER_TIMEOUT, vmtp_code(&mcb));
	EXPECT_GE(now_ms() - begin, 900);
	EXPECT_GE(counter("Retransmissions"), 1);
	EXPECT_GE(counter("InNotifies"), 1);
}

TEST_F(pair, the_sockets_own_limit_counts_where_none_is_given)
{
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, set_option(self->client, VMTP_OPT_TIMELIMIT, 100));
	vmtp_request(&mcb, SERVER, APPLICATION);
	EXPECT_EQ(0, vmtp_invoke(self->client, &mcb, NULL, 0, NULL, 0, 0));
	EXPECT_EQ(VMTP_USER_TIMEOUT, vmtp_code(&mcb));
}

/* Shows: D-26-b */
TEST_F(pair, who_cannot_see_the_code_of_a_failure_gets_an_errno)
{
	struct sockaddr_vmtp server = { .svmtp_family = AF_VMTP, .svmtp_entity = SERVER };
	char octet;

	ASSERT_EQ(0, set_option(self->client, VMTP_OPT_TIMELIMIT, 50));
	ASSERT_EQ(0, connect(self->client, (struct sockaddr *)&server, sizeof(server)));
	ASSERT_EQ(0, send(self->client, NULL, 0, 0));
	EXPECT_ERRNO(ETIMEDOUT, recv(self->client, &octet, 1, 0));
	ASSERT_EQ(0, set_option(self->client, VMTP_OPT_TIMELIMIT, 0));
	close(self->server);
	self->server = -1;
	ASSERT_EQ(0, send(self->client, NULL, 0, 0));
	EXPECT_ERRNO(ECONNREFUSED, recv(self->client, &octet, 1, 0));
}

/* ---- Signals ------------------------------------------------------------------------ */

struct interrupt {
	pthread_t victim;
	pid_t thread;
	long call;
	bool sent;
};

static void on_signal(int number)
{
	(void)number;
}

static void *interrupt_thread(void *argument)
{
	struct interrupt *interrupt = argument;

	if (wait_until_blocked(interrupt->thread, interrupt->call))
		interrupt->sent = !pthread_kill(interrupt->victim, SIGUSR1);
	return NULL;
}

/* The calling thread gets a signal once it sleeps in this system call. */
static pthread_t interrupt_me(struct interrupt *interrupt, long call)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	pthread_t thread;

	sigaction(SIGUSR1, &action, NULL);
	*interrupt = (struct interrupt){ pthread_self(), thread_id(), call };
	pthread_create(&thread, NULL, interrupt_thread, interrupt);
	return thread;
}

/* Shows: D-26-b */
TEST_F(pair, a_signal_ends_invoke_and_the_transaction_goes_on)
{
	struct interrupt interrupt;
	struct vmtp_mcb mcb;
	pthread_t thread;

	vmtp_request(&mcb, SERVER, APPLICATION);
	thread = interrupt_me(&interrupt, SYS_ioctl);
	/* Nothing is restarted by itself, whatever SA_RESTART says. */
	EXPECT_ERRNO(EINTR, vmtp_invoke(self->client, &mcb, NULL, 0, NULL, 0, 0));
	pthread_join(thread, NULL);
	EXPECT_TRUE(interrupt.sent);

	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	vmtp_response(&mcb, APPLICATION);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_RESPONSE, mcb.function);
	EXPECT_EQ(APPLICATION, mcb.code);
	EXPECT_EQ(1, counter("TransactionsStarted"));
}

TEST_F(pair, a_signal_ends_what_waits_for_requests)
{
	struct interrupt interrupt;
	struct vmtp_mcb mcb;
	pthread_t thread;
	char octet;

	thread = interrupt_me(&interrupt, SYS_ioctl);
	EXPECT_ERRNO(EINTR, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	pthread_join(thread, NULL);
	thread = interrupt_me(&interrupt, SYS_recvfrom);
	EXPECT_ERRNO(EINTR, recv(self->server, &octet, 1, 0));
	pthread_join(thread, NULL);
	EXPECT_EQ(VMTP_USER_TIMEOUT, ({
		vmtp_request(&mcb, SERVER, APPLICATION);
		vmtp_invoke(self->client, &mcb, NULL, 0, NULL, 0, 50);
		vmtp_code(&mcb);
	}));
}

TEST_F(pair, a_signal_after_the_reply_tells_that_the_reply_went)
{
	struct interrupt interrupt;
	struct vmtp_mcb mcb, got;
	pthread_t thread;
	int sent = 0;

	ASSERT_EQ(0, start_null(self->client, SERVER));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	vmtp_response(&mcb, APPLICATION);
	thread = interrupt_me(&interrupt, SYS_ioctl);
	EXPECT_ERRNO(EINTR, vmtp_replyrecv_sent(self->server, &mcb, NULL, 0, NULL, 0, 0, &sent));
	pthread_join(thread, NULL);
	EXPECT_TRUE(sent);
	ASSERT_EQ(0, vmtp_getreply(self->client, &got, NULL, 0, LONG_MS));
	EXPECT_EQ(APPLICATION, got.code);
}

/* ---- poll ---------------------------------------------------------------------------- */

/* Shows: VIII-d */
TEST_F(pair, poll_tells_of_requests_responses_and_whether_one_may_start)
{
	struct vmtp_mcb mcb;

	EXPECT_EQ(POLLOUT, ready(self->client));
	EXPECT_EQ(POLLOUT, ready(self->server));
	ASSERT_EQ(0, start_null(self->client, SERVER));
	EXPECT_EQ(0, ready(self->client));
	ASSERT_TRUE(comes(self->server, POLLIN, LONG_MS));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(POLLOUT, ready(self->server));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
	ASSERT_TRUE(comes(self->client, POLLIN, LONG_MS));
	EXPECT_EQ(POLLIN | POLLOUT, ready(self->client));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(POLLOUT, ready(self->client));
}

TEST_F(pair, poll_looks_at_what_the_socket_receives)
{
	struct vmtp_mcb mcb;
	char octet;

	ASSERT_EQ(0, start_null(self->client, SERVER));
	ASSERT_TRUE(comes(self->server, POLLIN, LONG_MS));
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_RECEIVE, VMTP_RECEIVE_RESPONSES));
	EXPECT_EQ(POLLOUT, ready(self->server));
	EXPECT_ERRNO(EAGAIN, recv(self->server, &octet, 1, MSG_DONTWAIT));
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_RECEIVE, VMTP_RECEIVE_REQUESTS));
	EXPECT_EQ(POLLIN | POLLOUT, ready(self->server));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
}

TEST_F(pair, epoll_tells_each_request_once)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int other = open_entity(0), epoll = epoll_create1(0);
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->server, &event));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	ASSERT_EQ(0, start_null(self->client, SERVER));
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, LONG_MS));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	ASSERT_EQ(0, start_null(other, SERVER));
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, LONG_MS));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	close(other);
}

/* ---- The end of a socket --------------------------------------------------------------- */

static void *receive_thread(void *argument)
{
	struct vmtp_mcb mcb;
	long result = vmtp_recvreq(*(int *)argument, &mcb, NULL, 0, 0);

	return (void *)(result < 0 ? (long)errno : 0);
}

TEST_F(pair, shutdown_ends_receiving_also_for_who_waits)
{
	struct vmtp_mcb mcb;
	pthread_t thread;
	void *error;
	char octet;

	pthread_create(&thread, NULL, receive_thread, &self->server);
	/* It sleeps, or will find the socket shut down. */
	ASSERT_EQ(0, shutdown(self->server, SHUT_RD));
	pthread_join(thread, &error);
	EXPECT_EQ(ESHUTDOWN, (long)error);
	EXPECT_ERRNO(ESHUTDOWN, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_EQ(0, recv(self->server, &octet, 1, 0));
	EXPECT_TRUE(ready(self->server) & POLLIN);
	EXPECT_TRUE(ready(self->server) & POLLRDHUP);
}

/* Also while a server still works on it. */
TEST_F(pair, shutdown_ends_waiting_for_a_response)
{
	struct waiter waiter;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_null(self->client, SERVER));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	ASSERT_TRUE(waiter_start(&waiter, takes_a_reply, &self->client));
	ASSERT_EQ(0, shutdown(self->client, SHUT_RD));
	EXPECT_EQ(ESHUTDOWN, waiter_end(&waiter));
	/* Nor does anybody wait from then on. */
	EXPECT_ERRNO(ESHUTDOWN, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
}

TEST_F(pair, shutdown_ends_sending)
{
	struct sockaddr_vmtp server = { .svmtp_family = AF_VMTP, .svmtp_entity = SERVER };

	ASSERT_EQ(0, shutdown(self->client, SHUT_WR));
	EXPECT_ERRNO(EPIPE, start_null(self->client, SERVER));
	ASSERT_EQ(0, connect(self->client, (struct sockaddr *)&server, sizeof(server)));
	EXPECT_ERRNO(EPIPE, send(self->client, NULL, 0, MSG_NOSIGNAL));
	EXPECT_ERRNO(EINVAL, shutdown(self->client, 9));
}

static long invoke_server(void *fd)
{
	return call_null(*(int *)fd, SERVER);
}

TEST_F(pair, shutdown_ends_sending_also_for_who_waits_for_its_turn)
{
	struct waiter first, second;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(waiter_start(&first, invoke_server, &self->client));
	ASSERT_TRUE(waiter_start(&second, invoke_server, &self->client));
	ASSERT_EQ(0, shutdown(self->client, SHUT_WR));
	EXPECT_EQ(EPIPE, waiter_end(&second));
	/* What was sent before is answered. */
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
	EXPECT_EQ(0, waiter_end(&first));
}

/* A member of a run, which more than half fills SO_SNDBUF. */
static long start_large_member(void *fd)
{
	static const char segment[VMTP_GROUP_SIZE];
	struct vmtp_exchange exchange = {
		.out = {
			.mcb = { .server = SERVER, .code = APPLICATION },
			.segment = (uintptr_t)segment,
			.length = sizeof(segment),
			.flags = VMTP_MSG_START | VMTP_MSG_MORE,
		},
	};

	return ioctl(*(int *)fd, VMTP_INVOKE, &exchange);
}

TEST_F(pair, a_member_of_a_run_sleeps_until_there_is_room_for_it)
{
	int octets = VMTP_GROUP_SIZE / 2 + 1000; /* The kernel doubles it. */
	struct vmtp_mcb mcb;
	struct waiter second;

	ASSERT_EQ(0, set_option(self->client, VMTP_OPT_STREAM, 1));
	ASSERT_EQ(0, setsockopt(self->client, SOL_SOCKET, SO_SNDBUF, &octets, sizeof(octets)));
	ASSERT_EQ(0, start_large_member(&self->client));
	ASSERT_TRUE(waiter_start(&second, start_large_member, &self->client));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	EXPECT_FALSE(waiter_is_over(&second));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
	EXPECT_EQ(0, waiter_end(&second));
}

/*
 * Told or refused when it asks again, which it may do at that moment, a Client
 * sees the same. That it is told is for raw-server, which does not ask again.
 */
TEST_F(pair, a_server_that_closes_ends_every_transaction_with_it)
{
	int other = open_entity(0);
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_null(self->client, SERVER));
	ASSERT_EQ(0, start_null(other, SERVER));
	/* One Request was received, one was not. */
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	ASSERT_TRUE(comes(self->server, POLLIN, LONG_MS));
	close(self->server);
	self->server = -1;
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_FAILURE, mcb.function);
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, vmtp_code(&mcb));
	ASSERT_EQ(0, vmtp_getreply(other, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, vmtp_code(&mcb));
	close(other);
}

TEST_F(pair, a_server_that_is_killed_ends_its_transaction)
{
	int ready[2];
	pid_t server;
	char octet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, pipe(ready));
	server = fork();
	if (!server) {
		int fd = open_entity(SERVER + (1ULL << 32));

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (write(ready[1], "", 1) != 1 || vmtp_recvreq(fd, &mcb, NULL, 0, 0) || write(ready[1], "", 1) != 1)
			exit(1);
		pause();
	}
	ASSERT_EQ(1, read(ready[0], &octet, 1));
	ASSERT_EQ(0, start_null(self->client, SERVER + (1ULL << 32)));
	ASSERT_EQ(1, read(ready[0], &octet, 1));
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, vmtp_code(&mcb));
}

TEST_F(pair, one_request_can_be_abandoned)
{
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_null(self->client, SERVER));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	vmtp_response(&mcb, VMTP_OK);
	mcb.flags = VMTP_F_ABANDON;
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
	EXPECT_ERRNO(ENOTCONN, vmtp_sendreply(self->server, &mcb, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, vmtp_code(&mcb));
	/* The server is as it was. */
	ASSERT_EQ(0, start_null(self->client, SERVER));
	EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
}

TEST_F(pair, a_client_that_closes_in_the_middle_harms_nobody)
{
	struct vmtp_mcb mcb;

	for (int i = 0; i < 50; i++) {
		int fd = open_entity(0);

		ASSERT_EQ(0, start_null(fd, SERVER));
		if (i % 2)
			close(fd);
		ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
		if (i % 2 == 0)
			close(fd);
		vmtp_response(&mcb, VMTP_OK);
		ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, "late", 4));
	}
	ASSERT_EQ(0, start_null(self->client, SERVER));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
}

/* ---- Who else has the socket -------------------------------------------------------------- */

#define THREADS	4

struct crowd {
	int fd;
	pthread_barrier_t all_have_one;
};

static void *crowd_thread(void *argument)
{
	struct crowd *crowd = argument;
	struct vmtp_mcb mcb;

	if (vmtp_recvreq(crowd->fd, &mcb, NULL, 0, LONG_MS))
		return NULL;
	pthread_barrier_wait(&crowd->all_have_one);
	vmtp_response(&mcb, mcb.code);
	return vmtp_sendreply(crowd->fd, &mcb, NULL, 0) ? NULL : crowd;
}

/* Shows: 2.17-b 5.4-b */
TEST_F(pair, threads_on_one_socket_have_a_request_each)
{
	struct crowd crowd = { .fd = self->server };
	pthread_t threads[THREADS];
	int clients[THREADS];
	struct vmtp_mcb mcb;
	void *fine;

	pthread_barrier_init(&crowd.all_have_one, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, crowd_thread, &crowd);
	for (int i = 0; i < THREADS; i++) {
		clients[i] = open_entity(0);
		vmtp_request(&mcb, SERVER, APPLICATION + i);
		ASSERT_EQ(0, start(clients[i], &mcb, NULL, 0));
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &fine);
		EXPECT_NE(NULL, fine);
		ASSERT_EQ(0, vmtp_getreply(clients[i], &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(APPLICATION + i, mcb.code);
		close(clients[i]);
	}
}

/* Shows: 2.17-a 5.4-b */
TEST_F(pair, requests_wait_in_order_and_are_answered_in_any)
{
	struct vmtp_mcb held[3], mcb;
	int clients[3];

	for (int i = 0; i < 3; i++) {
		clients[i] = open_entity(0);
		ASSERT_EQ(0, start_null(clients[i], SERVER));
	}
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, vmtp_recvreq(self->server, &held[i], NULL, 0, LONG_MS));
		EXPECT_EQ(entity_of(clients[i]), held[i].client);
	}
	for (int i = 2; i >= 0; i--) {
		vmtp_response(&held[i], APPLICATION + i);
		ASSERT_EQ(0, vmtp_sendreply(self->server, &held[i], NULL, 0));
		ASSERT_EQ(0, vmtp_getreply(clients[i], &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(APPLICATION + i, mcb.code);
		close(clients[i]);
	}
}

TEST_F(pair, a_child_has_the_same_entity_and_may_answer)
{
	struct vmtp_mcb mcb;
	int status;
	pid_t child;

	ASSERT_EQ(0, start_null(self->client, SERVER));
	child = fork();
	if (!child) {
		if (vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS))
			_exit(1);
		vmtp_response(&mcb, APPLICATION);
		_exit(vmtp_sendreply(self->server, &mcb, NULL, 0) ? 2 : 0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(APPLICATION, mcb.code);
	/* The child's exit closed its descriptor, not the socket. */
	ASSERT_EQ(0, start_null(self->client, SERVER));
	EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
}

TEST_HARNESS_MAIN
