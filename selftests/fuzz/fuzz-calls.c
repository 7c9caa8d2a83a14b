// SPDX-License-Identifier: GPL-2.0
/*
 * System calls of AF_VMTP with structs that no sane program makes, from several
 * threads on the same sockets: pointers to nowhere, lengths beyond everything,
 * undefined flags, control messages cut short. At the end two sockets that did
 * not take part must be able to talk, and no socket may be left.
 */
#include "fuzz.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/time.h>

#define OWN		0x7F000001U	/* 127.0.0.1 */
#define SOCKETS		12
#define THREADS		4
#define ECHO		little_endian(100000, OWN)
#define GROUP		vmtp_entity(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP, 7000, 0xE8000042)

static volatile int sockets[SOCKETS];
static unsigned char *area;		/* 1 MiB, then a page that is not there */
static unsigned char *readonly;
static volatile bool over, finished;
static long calls, successes;

#define AREA	(1 << 20)

/* An address in every kind of memory. */
static __u64 some_pointer(void)
{
	switch (below(8)) {
	case 0:
		return (uintptr_t)area + AREA - below(64);
	case 1:
		return (uintptr_t)readonly;
	case 2:
		/* The program itself lies below. */
		return odd_word() | 0x80000000U;
	case 3:
		return 0xFFFFFFFF00000000ULL | odd_word();
	case 4:
		return 0xFFFF888000000000ULL + odd_word();
	default:
		return (uintptr_t)area + below(AREA / 2);
	}
}

static __u64 some_entity(void)
{
	switch (below(8)) {
	case 0:
		return (__u64)odd_word() << 32 | odd_word();
	case 1:
		return GROUP;
	case 2:
		return VMTP_MANAGER_GROUP;
	case 3:
		return 0;
	case 4:
		return ECHO;
	default:
		return little_endian(70000 + below(SOCKETS), OWN);
	}
}

/* Half of the words are sane. */
static void some_msg(struct vmtp_msg *msg)
{
	*msg = (struct vmtp_msg){
		.mcb = { .server = some_entity(), .client = some_entity(), .code = APPLICATION },
		.segment = (uintptr_t)area,
		.length = below(40000),
		.timeout = 1 + below(50),
	};
	if (once_in(2))
		msg->flags = VMTP_MSG_DONTWAIT;
	for (int i = below(5); i; i--)
		switch (below(9)) {
		case 0:
			msg->segment = some_pointer();
			break;
		case 1:
			msg->length = odd_word();
			break;
		case 2:
			msg->flags ^= 1U << below(once_in(8) ? 32 : 7);
			break;
		case 3:
			msg->mcb.code = odd_word();
			break;
		case 4:
			msg->mcb.flags = fuzz();
			break;
		case 5:
			((__u32 *)msg)[below(sizeof(*msg) / 4)] = odd_word();
			break;
		case 6:
			msg->mcb.coresident = some_entity();
			break;
		case 7:
			msg->mcb.transaction = odd_word();
			break;
		case 8:
			msg->mcb.segment_size = odd_word();
		}
}

static long some_ioctl(int fd)
{
	union {
		struct vmtp_exchange exchange;
		struct vmtp_msg msg;
		struct vmtp_probe probe;
	} *argument = (void *)(area + 2 * sizeof(struct vmtp_exchange) * below(64));
	static const unsigned long commands[] = {
		VMTP_INVOKE, VMTP_INVOKE, VMTP_GETREPLY, VMTP_RECVREQ, VMTP_SENDREPLY, VMTP_FORWARDREQ, VMTP_PROBEENTITY,
		VMTP_REPLYRECV, VMTP_ABORT,
	};
	unsigned long command = ONE_OF(commands);

	if (command == VMTP_PROBEENTITY) {
		argument->probe = (struct vmtp_probe){ .entity = some_entity(), .timeout = 1 + below(50) };
		if (once_in(4))
			argument->probe.auth_domain = odd_word();
	} else {
		some_msg(&argument->exchange.out);
		some_msg(&argument->exchange.in);
	}
	if (once_in(16))
		command ^= 1UL << below(32);
	return ioctl(fd, command, once_in(16) ? (void *)some_pointer() : argument);
}

static long some_option(int fd)
{
	struct vmtp_membership membership = { .group = some_entity(), .permissions = odd_word(), .interface = below(3) };
	int name = once_in(8) ? (int)odd_word() : 1 + (int)below(24), value = odd_word();
	socklen_t length = once_in(4) ? odd_word() : sizeof(value);
	void *at = once_in(8) ? (void *)some_pointer() : &value;

	if (name == VMTP_OPT_JOIN || name == VMTP_OPT_LEAVE) {
		at = &membership;
		length = once_in(4) ? below(40) : sizeof(membership);
	}
	if (once_in(2))
		return setsockopt(fd, SOL_VMTP, name, at, length);
	return getsockopt(fd, SOL_VMTP, name, once_in(8) ? (void *)some_pointer() : area, &length);
}

/* Control messages one behind the other, with lengths that may be wrong. */
static void some_control(struct msghdr *header, unsigned char *control, size_t room)
{
	size_t at = 0;

	for (int i = below(4); i && at + sizeof(struct cmsghdr) + 128 < room; i--) {
		struct cmsghdr *cmsg = (void *)(control + at);
		struct vmtp_msg msg;
		size_t size;

		some_msg(&msg);
		cmsg->cmsg_level = once_in(8) ? (int)odd_word() : SOL_VMTP;
		cmsg->cmsg_type = once_in(8) ? odd_word() : 1 + below(4);
		size = cmsg->cmsg_type == VMTP_MCB ? sizeof(struct vmtp_mcb) : cmsg->cmsg_type == VMTP_COOKIE ? 8 : 4;
		memcpy(CMSG_DATA(cmsg), &msg.mcb, sizeof(msg.mcb));
		cmsg->cmsg_len = once_in(8) ? odd_word() : CMSG_LEN(size);
		at += CMSG_SPACE(size);
	}
	header->msg_control = control;
	header->msg_controllen = once_in(16) ? below(room) : at;
}

static long some_message(int fd)
{
	struct sockaddr_vmtp name = { .svmtp_family = once_in(8) ? odd_word() : AF_VMTP, .svmtp_entity = some_entity() };
	unsigned char control[1024] __attribute__((aligned(16)));
	struct iovec iov[3];
	struct msghdr header = { .msg_iov = iov, .msg_iovlen = below(4) };

	if (once_in(2)) {
		header.msg_name = &name;
		header.msg_namelen = once_in(8) ? below(200) : sizeof(name);
	}
	for (int i = 0; i < 3; i++)
		iov[i] = (struct iovec){ once_in(8) ? (void *)some_pointer() : area, once_in(8) ? odd_word() : below(20000) };
	if (once_in(2)) {
		some_control(&header, control, sizeof(control));
		return sendmsg(fd, &header, (once_in(4) ? fuzz() & ~MSG_OOB : 0) | MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	header.msg_control = control;
	header.msg_controllen = below(sizeof(control));
	return recvmsg(fd, &header, (once_in(4) ? fuzz() : once_in(4) ? MSG_PEEK | MSG_TRUNC : 0) | MSG_DONTWAIT);
}

static long some_name(int fd)
{
	struct sockaddr_vmtp name = { .svmtp_family = once_in(8) ? odd_word() : AF_VMTP, .svmtp_entity = some_entity() };
	socklen_t length = once_in(8) ? odd_word() : sizeof(name);

	((unsigned char *)&name)[below(sizeof(name))] = once_in(4) ? fuzz() : 0;
	switch (below(4)) {
	case 0:
		return bind(fd, (void *)&name, length);
	case 1:
		return connect(fd, (void *)&name, length);
	case 2:
		return getsockname(fd, once_in(8) ? (void *)some_pointer() : (void *)&name, &length);
	default:
		return getpeername(fd, (void *)&name, &length);
	}
}

static long some_other(int fd)
{
	struct pollfd wanted = { .fd = fd, .events = fuzz() };

	switch (below(6)) {
	case 0:
		return shutdown(fd, once_in(4) ? (int)odd_word() : (int)below(3));
	case 1:
		return poll(&wanted, 1, 0);
	case 2:
		return listen(fd, 1);
	case 3:
		return accept(fd, NULL, NULL);
	case 4:
		return recv(fd, (void *)some_pointer(), below(20000), MSG_DONTWAIT);
	default:
		return ioctl(fd, odd_word(), area);
	}
}

/* In place of one that may be in use by another thread at this moment. */
static long replace(int i)
{
	int fd = vmtp_socket(SOCK_CLOEXEC), old;
	struct timeval limit = { .tv_usec = 1000 * (1 + below(50)) };

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (!once_in(4))
		vmtp_bind(fd, little_endian(70000 + i, OWN));
	old = __atomic_exchange_n(&sockets[i], fd, __ATOMIC_SEQ_CST);
	if (old >= 0)
		close(old);
	return 0;
}

static void *thread(void *argument)
{
	fuzz_seed((long)argument);
	while (!over) {
		int i = below(SOCKETS), fd = sockets[i];
		long result;

		switch (below(16)) {
		case 0 ... 7:
			result = some_ioctl(fd);
			break;
		case 8 ... 9:
			result = some_option(fd);
			break;
		case 10 ... 12:
			result = some_message(fd);
			break;
		case 13:
			result = some_name(fd);
			break;
		case 14:
			result = some_other(fd);
			break;
		default:
			result = replace(i);
		}
		__sync_fetch_and_add(&calls, 1);
		if (result >= 0)
			__sync_fetch_and_add(&successes, 1);
	}
	return NULL;
}

static void on_alarm(int number)
{
	(void)number;
}

/* Every call that waits without limit is interrupted: each thread gets the signal in turn. */
static void interrupt(pthread_t *threads)
{
	static int next;

	pthread_kill(threads[next++ % THREADS], SIGALRM);
	usleep(5000);
}

struct server {
	int fd;
	pthread_t thread;
	unsigned long served;
};

/* Answers with what came, and believes nothing of it. */
static void *server_thread(void *argument)
{
	unsigned char *octets = malloc(VMTP_GROUP_SIZE);
	struct server *server = argument;
	struct vmtp_mcb mcb;

	while (!finished) {
		long length = vmtp_recvreq(server->fd, &mcb, octets, VMTP_GROUP_SIZE, 100);

		if (length < 0)
			continue;
		server->served++;
		vmtp_response(&mcb, VMTP_OK);
		/* Its Client may have gone on. */
		vmtp_sendreply(server->fd, &mcb, octets, length);
	}
	free(octets);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_alarm };
	pthread_t threads[THREADS];
	struct budget budget;
	__u64 seed = fuzz_arguments(argc, argv, &budget);
	long shown = now_ms(), code;
	struct server server = { };
	bool well;
	int client;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (namespace_make() < 0) {
		perror("namespace");
		return 1;
	}
	sigaction(SIGALRM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	area = mmap(NULL, AREA + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(area + AREA, 4096);
	readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	server.fd = open_entity(ECHO);
	pthread_create(&server.thread, NULL, server_thread, &server);
	client = open_entity(0);
	for (int i = 0; i < SOCKETS; i++) {
		sockets[i] = -1;
		replace(i);
	}
	for (long i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, thread, (void *)(long)(seed * THREADS + i));
	while (!(budget.packets && calls >= budget.packets) && !(budget.end_ms && now_ms() >= budget.end_ms)) {
		interrupt(threads);
		if (now_ms() - shown > 5000) {
			shown = now_ms();
			printf("%9ld calls, of which %ld succeeded; %lu Requests served\n", calls, successes, server.served);
		}
	}
	over = true;
	for (int i = 0; i < 400; i++)
		interrupt(threads);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < SOCKETS; i++)
		close(sockets[i]);
	printf("seed %llu: %ld calls, of which %ld succeeded; %lu Requests served\n", (unsigned long long)seed, calls,
	       successes, server.served);
	code = call_null(client, ECHO);
	if (code != VMTP_OK)
		printf("✗ a sane socket is not served any more: %ld\n", code);
	finished = true;
	pthread_join(server.thread, NULL);
	close(server.fd);
	close(client);
	if (lines_of("entities"))
		printf("✗ %d entities are left\n", lines_of("entities"));
	well = code == VMTP_OK && !lines_of("entities");
	if (!server.served || successes * 50 < calls) {
		printf("✗ too little of it had sense\n");
		well = false;
	}
	return well ? 0 : 1;
}
