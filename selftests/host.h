/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tests of sockets share: network namespaces, entities, servers in
 * threads, counters, and ways to wait for a thing to happen.
 *
 * A socket belongs to the namespace in which it was made, so one process can
 * hold both ends: it enters a namespace, opens sockets there, and leaves.
 */
#ifndef HOST_H
#define HOST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vmtp.h>

#define APPLICATION	(VMTP_CODE_APPLICATION | 1)	/* a code of nobody's */
#define LONG_MS		20000	/* for what happens at once unless something is wrong */

/* For tests: a call fails, and by which errno. */
#define EXPECT_ERRNO(error, call) do { \
	errno = 0; \
	EXPECT_EQ(-1, (long)(call)) { TH_LOG("%s succeeds", #call); } \
	EXPECT_EQ(error, errno) { TH_LOG("%s: %s", #call, strerror(errno)); } \
} while (0)

/* ---- Namespaces ------------------------------------------------------------ */

static inline void loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (ioctl(fd, SIOCSIFFLAGS, &ifr))
		perror("lo");
	close(fd);
}

/* Makes a network namespace and enters it; the result is for namespace_enter. */
static inline int namespace_make(void)
{
	if (unshare(CLONE_NEWNET))
		return -1;
	loopback_up();
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static inline int namespace_enter(int fd)
{
	return setns(fd, CLONE_NEWNET);
}

/* A counter of /proc/net/vmtp/snmp in the present namespace, without "Vmtp"; -1 if there is none. */
static inline long counter(const char *name)
{
	FILE *file = fopen("/proc/thread-self/net/vmtp/snmp", "r");
	char line[128], found[64];
	long value, result = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Vmtp%59s %ld", found, &value) == 2 && !strcmp(found, name))
			result = value;
	if (file)
		fclose(file);
	return result;
}

/* Sets net.vmtp.NAME of the present namespace. */
static inline int setting(const char *name, int value)
{
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/sys/net/vmtp/%s", name);
	file = fopen(path, "w");
	if (!file)
		return -1;
	fprintf(file, "%d\n", value);
	return fclose(file);
}

enum probing { PROBE_AUTO, PROBE_ALWAYS, PROBE_NEVER };	/* net.vmtp.probe_clients */

/* ---- Sockets --------------------------------------------------------------- */

static inline __u64 little_endian(__u32 discriminator, __u32 address)
{
	return vmtp_entity(VMTP_ENTITY_LEE, discriminator, address);
}

/* A socket that is this entity of a domain, or -1 with errno. */
static inline int open_entity_in(__u16 domain, __u64 entity)
{
	int fd = vmtp_socket(SOCK_CLOEXEC), error;

	if (fd >= 0 && vmtp_bind_in(fd, domain, entity)) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* The same in Domain 1. */
static inline int open_entity(__u64 entity)
{
	return open_entity_in(VMTP_DOMAIN_INTERNET, entity);
}

/* Lines of a table of /proc/net/vmtp, its first left out. */
static inline int lines_of(const char *table)
{
	char path[64], line[512];
	int count = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/thread-self/net/vmtp/%s", table);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		count++;
	if (file)
		fclose(file);
	return count;
}

static inline __u64 entity_of(int fd)
{
	uint64_t entity = 0;

	vmtp_getentity(fd, &entity);
	return entity;
}

static inline int set_option(int fd, int option, int value)
{
	return setsockopt(fd, SOL_VMTP, option, &value, sizeof(value));
}

/* The value, or -1 with errno. */
static inline int get_option(int fd, int option)
{
	int value = 0;
	socklen_t length = sizeof(value);

	return getsockopt(fd, SOL_VMTP, option, &value, &length) ? -1 : value;
}

/* Starts a transaction without waiting. */
static inline int start(int fd, const struct vmtp_mcb *mcb, const void *segment, size_t length)
{
	struct vmtp_exchange exchange = {
		.out = {
			.mcb = *mcb,
			.segment = (uintptr_t)segment,
			.length = length,
			.flags = VMTP_MSG_START,
		},
	};

	return ioctl(fd, VMTP_INVOKE, &exchange);
}

static inline int start_null(int fd, __u64 server)
{
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, server, APPLICATION);
	return start(fd, &mcb, NULL, 0);
}

/* The code of a transaction without data, or -1 with errno. */
static inline long call_null(int fd, __u64 server)
{
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, server, APPLICATION);
	return vmtp_invoke(fd, &mcb, NULL, 0, NULL, 0, 0) < 0 ? -1 : (long)vmtp_code(&mcb);
}

/* ---- Segments -------------------------------------------------------------- */

/* Octets that differ from those of every other seed and from themselves moved. */
static inline void fill(unsigned char *to, size_t octets, uint64_t seed)
{
	uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;

	for (size_t i = 0; i < octets; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		to[i] = (unsigned char)(state >> 32);
	}
}

static inline bool is_filled(const unsigned char *with, size_t octets, uint64_t seed)
{
	unsigned char *wanted = malloc(octets + 1);
	bool same;

	fill(wanted, octets, seed);
	same = !memcmp(with, wanted, octets);
	free(wanted);
	return same;
}

/* ---- Waiting --------------------------------------------------------------- */

static inline long now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000L + time.tv_nsec / 1000000;
}

/* Whether these events (and nothing is said of others) come in time. */
static inline bool comes(int fd, short events, int timeout_ms)
{
	struct pollfd wanted = { .fd = fd, .events = events };

	return poll(&wanted, 1, timeout_ms) == 1 && (wanted.revents & events);
}

/* What poll says at once. */
static inline short ready(int fd)
{
	struct pollfd all = { .fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP };

	poll(&all, 1, 0);
	return all.revents;
}

/* Waits until a thread of this process sleeps in a system call of this number. */
static inline bool wait_until_blocked(pid_t thread, long number)
{
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/syscall", thread);
	for (long end = now_ms() + LONG_MS; now_ms() < end; sched_yield()) {
		FILE *file = fopen(path, "r");
		long at = -1;

		if (file && fgets(line, sizeof(line), file) && sscanf(line, "%ld ", &at) == 1 && at == number) {
			fclose(file);
			return true;
		}
		if (file)
			fclose(file);
	}
	return false;
}

static inline pid_t thread_id(void)
{
	return syscall(SYS_gettid);
}

/* A thread in a call that waits: the call's result is below 0 if it fails. */
struct waiter {
	pthread_t thread;
	pid_t id;
	long (*call)(void *argument);
	void *argument;
	int error;
	bool over;
};

static inline void *waiter_thread(void *argument)
{
	struct waiter *waiter = argument;

	__atomic_store_n(&waiter->id, thread_id(), __ATOMIC_RELEASE);
	waiter->error = waiter->call(waiter->argument) < 0 ? errno : 0;
	__atomic_store_n(&waiter->over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Whether it sleeps in the system call of this number now. */
static inline bool waiter_start_in(struct waiter *waiter, long (*call)(void *argument), void *argument, long number)
{
	*waiter = (struct waiter){ .call = call, .argument = argument };
	if (pthread_create(&waiter->thread, NULL, waiter_thread, waiter))
		return false;
	while (!__atomic_load_n(&waiter->id, __ATOMIC_ACQUIRE))
		sched_yield();
	return wait_until_blocked(waiter->id, number);
}

/* Whether it sleeps in an ioctl now. */
static inline bool waiter_start(struct waiter *waiter, long (*call)(void *argument), void *argument)
{
	return waiter_start_in(waiter, call, argument, SYS_ioctl);
}

/* For a waiter: a Request without data. */
static inline long takes_a_request(void *server)
{
	struct vmtp_mcb mcb;

	return vmtp_recvreq(*(int *)server, &mcb, NULL, 0, LONG_MS);
}

/* For a waiter: what comes of a transaction. */
static inline long takes_a_reply(void *client)
{
	struct vmtp_mcb mcb;

	return vmtp_getreply(*(int *)client, &mcb, NULL, 0, LONG_MS);
}

/* For a waiter: until there is something to receive at this socket. */
static inline long polls(void *fd)
{
	return comes(*(int *)fd, POLLIN, LONG_MS) ? 0 : -1;
}

static inline bool waiter_is_over(const struct waiter *waiter)
{
	return __atomic_load_n(&waiter->over, __ATOMIC_ACQUIRE);
}

/* Waits for the thread: the errno of its call, or 0. */
static inline int waiter_end(struct waiter *waiter)
{
	pthread_join(waiter->thread, NULL);
	return waiter->error;
}

/* ---- Servers --------------------------------------------------------------- */

/*
 * A thread that answers every Request with code 0, the user data it came with,
 * and as many octets as msg_delivery says (or those it came with, if that is
 * ECHO_SEGMENT). Ends when its socket is shut down.
 */
#define ECHO_SEGMENT	0xFFFFFFFFU

struct echo {
	int fd;
	pthread_t thread;
	unsigned long served;
	unsigned long damaged;	/* Requests whose segment was not fill(user[4]) */
};

static inline void *echo_thread(void *argument)
{
	unsigned char *in = malloc(VMTP_GROUP_SIZE), *out = malloc(VMTP_GROUP_SIZE);
	struct echo *echo = argument;
	struct vmtp_mcb mcb;
	long octets;

	do {
		octets = vmtp_recvreq(echo->fd, &mcb, in, VMTP_GROUP_SIZE, 0);
	} while (octets < 0 && errno == EINTR);
	while (octets >= 0) {
		__u32 user[5], wanted = mcb.msg_delivery;
		const unsigned char *answer = in;
		int sent;

		if (!is_filled(in, octets, mcb.user[4]))
			echo->damaged++;
		echo->served++;
		memcpy(user, mcb.user, sizeof(user));
		if (wanted != ECHO_SEGMENT) {
			answer = out;
			fill(out, wanted, user[4] + 1);
		} else {
			wanted = octets;
		}
		vmtp_response(&mcb, VMTP_OK);
		memcpy(mcb.user, user, sizeof(user));
		octets = vmtp_replyrecv_sent(echo->fd, &mcb, answer, wanted, in, VMTP_GROUP_SIZE, 0, &sent);
		/*
		 * The Client may have gone on meanwhile; then there is nobody to answer. And system() in another thread
		 * is a signal, now and then.
		 */
		while (octets < 0 && (errno == EINTR || (errno == ENOTCONN && !sent))) {
			sent = 1;
			octets = vmtp_recvreq(echo->fd, &mcb, in, VMTP_GROUP_SIZE, 0);
		}
	}
	free(in);
	free(out);
	return NULL;
}

static inline int echo_start(struct echo *echo, int fd)
{
	*echo = (struct echo){ .fd = fd };
	return pthread_create(&echo->thread, NULL, echo_thread, echo);
}

/* Waits until the thread has gone; closes the socket. */
static inline void echo_stop(struct echo *echo)
{
	shutdown(echo->fd, SHUT_RDWR);
	pthread_join(echo->thread, NULL);
	close(echo->fd);
}

#endif /* HOST_H */
