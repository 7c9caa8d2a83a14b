// SPDX-License-Identifier: GPL-2.0
/*
 * One socket in several hands: passed to another process, used by many threads
 * at a time, and closed at any moment.
 */
#include "host.h"

#include <stdatomic.h>
#include <sys/select.h>

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
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
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

/* ---- Passed on ---------------------------------------------------------------------------- */

static int pass(int through, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { }, octet = 0;
	struct iovec data = { &octet, 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(through, &message, 0) == 1 ? 0 : -1;
}

static int take(int through)
{
	char control[CMSG_SPACE(sizeof(int))] = { }, octet;
	struct iovec data = { &octet, 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd = -1;

	if (recvmsg(through, &message, 0) == 1 && CMSG_FIRSTHDR(&message))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

TEST_F(pair, a_socket_that_is_passed_on_stays_the_same_entity)
{
	int through[2], status;
	struct vmtp_mcb mcb;
	pid_t child;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, through));
	/* Where the descriptor was not inherited. */
	child = fork();
	if (!child) {
		int fd;

		close(self->server);
		fd = take(through[1]);
		if (fd < 0 || entity_of(fd) != SERVER || vmtp_recvreq(fd, &mcb, NULL, 0, LONG_MS))
			_exit(1);
		vmtp_response(&mcb, APPLICATION + 1);
		_exit(vmtp_sendreply(fd, &mcb, NULL, 0) ? 2 : 0);
	}
	ASSERT_EQ(0, pass(through[0], self->server));
	close(self->server);
	EXPECT_EQ(APPLICATION + 1, call_null(self->client, SERVER));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	/* With its last descriptor the entity has gone. */
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, call_null(self->client, SERVER));
	self->server = open_entity(SERVER);
	EXPECT_GE(self->server, 0);
	close(through[0]);
	close(through[1]);
}

TEST_F(pair, a_socket_in_flight_lives_until_it_is_thrown_away)
{
	int through[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, through));
	ASSERT_EQ(0, pass(through[0], self->server));
	close(self->server);
	EXPECT_ERRNO(EADDRINUSE, open_entity(SERVER));
	close(through[0]);
	close(through[1]);
	for (long end = now_ms() + LONG_MS; (self->server = open_entity(SERVER)) < 0 && now_ms() < end;)
		usleep(1000);
	EXPECT_GE(self->server, 0);
}

/* ---- Many threads --------------------------------------------------------------------------- */

#define THREADS	8
#define CALLS	25

struct caller {
	pthread_t thread;
	int fd, number;
	const char *wrong;
};

/* Each thread waits for its turn on the one socket, and gets its own Response. */
static void *caller_thread(void *argument)
{
	struct caller *caller = argument;
	unsigned char out[600], in[600];

	for (int i = 0; i < CALLS && !caller->wrong; i++) {
		__u32 seed = caller->number * 1000 + i + 1;
		struct vmtp_mcb mcb;
		long octets;

		fill(out, sizeof(out), seed);
		vmtp_request(&mcb, SERVER, APPLICATION);
		mcb.user[4] = seed;
		mcb.msg_delivery = sizeof(in);
		octets = vmtp_invoke(caller->fd, &mcb, out, sizeof(out), in, sizeof(in), 0);
		if (octets != sizeof(in))
			caller->wrong = octets < 0 ? strerror(errno) : vmtp_code_name(vmtp_code(&mcb));
		else if (mcb.user[4] != seed || !is_filled(in, sizeof(in), seed + 1))
			caller->wrong = "another's Response";
	}
	return NULL;
}

static void call_by_threads(struct __test_metadata *_metadata, int fd)
{
	struct caller callers[THREADS];

	for (int i = 0; i < THREADS; i++) {
		callers[i] = (struct caller){ .fd = fd, .number = i };
		ASSERT_EQ(0, pthread_create(&callers[i].thread, NULL, caller_thread, &callers[i]));
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(callers[i].thread, NULL);
		EXPECT_EQ(NULL, callers[i].wrong) { TH_LOG("thread %d: %s", i, callers[i].wrong); }
	}
}

TEST_F(pair, threads_invoke_on_one_socket_in_turn)
{
	struct echo echo;

	ASSERT_EQ(0, echo_start(&echo, self->server));
	call_by_threads(_metadata, self->client);
	echo_stop(&echo);
	EXPECT_EQ(THREADS * CALLS, echo.served);
	EXPECT_EQ(0, echo.damaged);
	self->server = -1;
}

TEST_F(pair, threads_invoke_on_one_socket_that_streams)
{
	struct echo echo;

	ASSERT_EQ(0, set_option(self->client, VMTP_OPT_STREAM, 1));
	ASSERT_EQ(0, echo_start(&echo, self->server));
	call_by_threads(_metadata, self->client);
	echo_stop(&echo);
	EXPECT_EQ(THREADS * CALLS, echo.served);
	EXPECT_EQ(0, echo.damaged);
	self->server = -1;
}

struct joiner {
	pthread_t thread;
	int fd, result, error;
};

static pthread_barrier_t all_here;

static void *joiner_thread(void *argument)
{
	struct vmtp_membership group = { .group = vmtp_entity(VMTP_ENTITY_GROUP, 7, 0xE0000105) };
	struct joiner *joiner = argument;

	group.interface = if_nametoindex("lo");
	pthread_barrier_wait(&all_here);
	joiner->result = setsockopt(joiner->fd, SOL_VMTP, VMTP_OPT_JOIN, &group, sizeof(group));
	joiner->error = errno;
	return NULL;
}

TEST_F(pair, of_threads_that_join_a_group_one_does)
{
	struct joiner joiners[THREADS];
	int joined = 0;

	pthread_barrier_init(&all_here, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		joiners[i] = (struct joiner){ .fd = self->server };
		ASSERT_EQ(0, pthread_create(&joiners[i].thread, NULL, joiner_thread, &joiners[i]));
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(joiners[i].thread, NULL);
		joined += joiners[i].result == 0;
		if (joiners[i].result) {
			EXPECT_EQ(EADDRINUSE, joiners[i].error);
		}
	}
	EXPECT_EQ(1, joined);
}

/* ---- Closed at any moment --------------------------------------------------------------------- */

struct victim {
	pthread_t thread;
	int client, server;
	size_t octets;
};

static void *victim_thread(void *argument)
{
	static unsigned char segment[100000];
	struct victim *victim = argument;
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, entity_of(victim->server), APPLICATION);
	vmtp_invoke(victim->client, &mcb, segment, victim->octets, NULL, 0, 2000);
	return NULL;
}

TEST_F(pair, either_end_may_be_closed_at_any_moment)
{
	struct victim victims[60];
	int count = sizeof(victims) / sizeof(*victims);

	for (int i = 0; i < count; i++) {
		victims[i] = (struct victim){
			.client = open_entity(0), .server = open_entity(little_endian(200000 + i, OWN)),
			.octets = i % 3 ? (size_t)i * 1500 : 0,
		};
		ASSERT_GE(victims[i].client, 0);
		ASSERT_GE(victims[i].server, 0);
		ASSERT_EQ(0, pthread_create(&victims[i].thread, NULL, victim_thread, &victims[i]));
		usleep(i * 37 % 900);
		/* A thread in the call keeps the client's socket, but not its descriptor. */
		close(i % 2 ? victims[i].server : victims[i].client);
	}
	for (int i = 0; i < count; i++) {
		pthread_join(victims[i].thread, NULL);
		close(i % 2 ? victims[i].client : victims[i].server);
	}
	/* Nothing is left but the two of the fixture, and they work. */
	EXPECT_EQ(2, lines_of("entities"));
	ASSERT_EQ(0, start_null(self->client, SERVER));
	EXPECT_TRUE(comes(self->server, POLLIN, LONG_MS));
}

TEST_F(pair, select_tells_what_poll_tells)
{
	struct timeval now = { };
	fd_set read, write;

	FD_ZERO(&read);
	FD_ZERO(&write);
	FD_SET(self->server, &read);
	FD_SET(self->client, &write);
	ASSERT_EQ(1, select(64, &read, &write, NULL, &now));
	EXPECT_TRUE(FD_ISSET(self->client, &write));
	ASSERT_EQ(0, start_null(self->client, SERVER));
	ASSERT_TRUE(comes(self->server, POLLIN, LONG_MS));
	FD_ZERO(&read);
	FD_ZERO(&write);
	FD_SET(self->server, &read);
	FD_SET(self->client, &write);
	ASSERT_EQ(1, select(64, &read, &write, NULL, &now));
	EXPECT_TRUE(FD_ISSET(self->server, &read));
}

/* ---- Whose identifiers are ---------------------------------------------------------------------- */

static int as_user(uid_t user, __u64 entity)
{
	int status;
	pid_t child = fork();

	if (!child) {
		int fd;

		if (setresgid(user, user, user) || setresuid(user, user, user))
			_exit(255);
		fd = open_entity(entity);
		_exit(fd < 0 ? errno : 0);
	}
	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(pair, a_vacated_identifier_is_its_users_for_a_while)
{
	__u64 entity = little_endian(300000, OWN);

	EXPECT_EQ(0, as_user(4711, entity));
	EXPECT_EQ(EADDRINUSE, as_user(4712, entity));
	EXPECT_EQ(0, as_user(4711, entity));
	/* Who may bind anything may bind this. */
	EXPECT_EQ(0, close(open_entity(entity)));
}

TEST_F(pair, one_user_cannot_have_all_entities)
{
	int fds[8], count = 0, status;
	pid_t child;

	ASSERT_EQ(0, setting("entities_max", 10));
	child = fork();
	if (!child) {
		if (setresgid(4711, 4711, 4711) || setresuid(4711, 4711, 4711))
			_exit(255);
		while (count < 8 && (fds[count] = open_entity(little_endian(300000 + count, OWN))) >= 0)
			count++;
		_exit(errno == ENOBUFS ? count : 100 + errno);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(5, WEXITSTATUS(status));
	/* When they have gone there is room again. */
	EXPECT_EQ(0, as_user(4711, little_endian(300000, OWN)));
}

TEST_HARNESS_MAIN
