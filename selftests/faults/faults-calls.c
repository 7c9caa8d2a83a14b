// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation of every system call of a socket fails once: the call says
 * so or does without, nothing is lost or half done, and what the call was for
 * can be had by calling again.
 */
#include "faults.h"

#include <sys/klog.h>
#include <sys/mman.h>

#include "kselftest_harness.h"

#define OWN	0x7F000001U	/* 127.0.0.1 */
#define SERVER	little_endian(100001, OWN)
#define OTHER_SERVER	little_endian(100002, OWN)
#define OCTETS	20000		/* two packet groups */

FIXTURE(calls)
{
	int server, client;
	unsigned char segment[OCTETS], got[OCTETS];
};

FIXTURE_SETUP(calls)
{
	faults_prepare();
	ASSERT_GE(namespace_make(), 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->server = open_entity(SERVER);
	self->client = open_entity(0);
	ASSERT_GE(self->server, 0);
	ASSERT_GE(self->client, 0);
	/* Opened without faults. */
	faults_arm(0);
	fill(self->segment, OCTETS, 1);
}

FIXTURE_TEARDOWN(calls)
{
	close(self->server);
	close(self->client);
}

/* The Request that is to be received next, whole. */
static long receive(int fd, struct vmtp_mcb *mcb, unsigned char *got)
{
	memset(got, 0, OCTETS);
	return vmtp_recvreq(fd, mcb, got, OCTETS, LONG_MS);
}

static long get(int fd, struct vmtp_mcb *mcb, unsigned char *got)
{
	memset(got, 0, OCTETS);
	return vmtp_getreply(fd, mcb, got, OCTETS, LONG_MS);
}

/* Starts a transaction that takes an answer of OCTETS. */
static int start_large(int fd, __u64 server, const void *segment, size_t length)
{
	struct vmtp_exchange exchange = {
		.out = {
			.mcb = { .server = server, .code = APPLICATION },
			.segment = (uintptr_t)segment,
			.length = length,
			.flags = VMTP_MSG_START,
		},
		.in = { .length = OCTETS },
	};

	return ioctl(fd, VMTP_INVOKE, &exchange);
}

static long bound(__u64 entity)
{
	int fd = open_entity(entity), error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return fd < 0 ? -1 : 0;
}

/* Entities of the namespace. */
static long entities(void)
{
	FILE *file = fopen("/proc/thread-self/net/vmtp/entities", "r");
	long lines = -1;
	int c;

	while (file && (c = fgetc(file)) != EOF)
		lines += c == '\n';
	if (file)
		fclose(file);
	return lines;
}

TEST_F_TIMEOUT(calls, socket_and_bind, 200)
{
	const __u64 entity = little_endian(100010, OWN);

	SWEEP("bind", {}, bound(entity), ASSERT_EQ(2, entities()));
	SWEEP("bind to any", {}, bound(0), ASSERT_EQ(2, entities()));
	/* Nothing of a failed bind is left. */
	EXPECT_EQ(0, bound(entity));
}

static long use_procfs(const char *name)
{
	char path[64], text[4096];
	long result;
	int fd;

	snprintf(path, sizeof(path), "/proc/thread-self/net/vmtp/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	result = read(fd, text, sizeof(text));
	close(fd);
	return result;
}

TEST_F_TIMEOUT(calls, options_and_files, 200)
{
	struct vmtp_membership membership = {
		.group = vmtp_entity(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP, 7000, 0xE8000042),
		.interface = 1,
	};
	static const char *const files[] = { "entities", "transactions", "groups", "hosts", "places", "snmp" };
	struct vmtp_peer_info info;
	socklen_t length = sizeof(info);

	ASSERT_EQ(0, start_null(self->client, SERVER));
	SWEEP("join", {}, setsockopt(self->server, SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership)), {
		/* It is a member or it is none. */
		EXPECT_EQ(result, setsockopt(self->server, SOL_VMTP, VMTP_OPT_LEAVE, &membership, sizeof(membership)));
	});
	SWEEP("leave", {
		ASSERT_EQ(0, setsockopt(self->server, SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership)));
	}, setsockopt(self->server, SOL_VMTP, VMTP_OPT_LEAVE, &membership, sizeof(membership)), {
		if (result) {
			ASSERT_EQ(0, setsockopt(self->server, SOL_VMTP, VMTP_OPT_LEAVE, &membership,
						sizeof(membership)));
		}
	});
	SWEEP("set an option", {}, set_option(self->server, VMTP_OPT_RETRIES, n % 200), {
		if (!result) {
			EXPECT_EQ(n % 200, get_option(self->server, VMTP_OPT_RETRIES));
		}
	});
	SWEEP("ask for the peer", info = (struct vmtp_peer_info){ .entity = SERVER },
	      getsockopt(self->server, SOL_VMTP, VMTP_OPT_PEER, &info, &length), {});
	for (int i = 0; i < 6; i++)
		SWEEP(files[i], {}, use_procfs(files[i]), {});
}

TEST_F_TIMEOUT(calls, a_request_is_sent_whole_or_not_at_all, 200)
{
	struct vmtp_mcb mcb;

	SWEEP("invoke", {}, start_large(self->client, SERVER, self->segment, OCTETS), {
		/* If it did not start another can. */
		if (result) {
			ASSERT_EQ(0, start_large(self->client, SERVER, self->segment, OCTETS));
		}
		ASSERT_EQ(OCTETS, receive(self->server, &mcb, self->got)) { TH_LOG("place %d", n); }
		ASSERT_EQ(0, memcmp(self->segment, self->got, OCTETS));
		vmtp_response(&mcb, APPLICATION);
		ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
		ASSERT_EQ(0, get(self->client, &mcb, self->got));
		ASSERT_EQ(APPLICATION, mcb.code);
	});
	EXPECT_EQ(counter("TransactionsStarted"), counter("TransactionsAnswered"));
	EXPECT_EQ(counter("RequestsDelivered"), counter("TransactionsAnswered"));
}

TEST_F_TIMEOUT(calls, what_cannot_be_received_stays, 200)
{
	struct vmtp_mcb mcb;

	SWEEP("recvreq", {
		ASSERT_EQ(0, start_large(self->client, SERVER, self->segment, OCTETS));
		ASSERT_TRUE(comes(self->server, POLLIN, LONG_MS));
	}, receive(self->server, &mcb, self->got), {
		if (result < 0)
			result = receive(self->server, &mcb, self->got);
		ASSERT_EQ(OCTETS, result);
		ASSERT_EQ(0, memcmp(self->segment, self->got, OCTETS));
		vmtp_response(&mcb, APPLICATION);
		ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
		ASSERT_EQ(0, get(self->client, &mcb, self->got));
	});
	SWEEP("getreply", {
		ASSERT_EQ(0, start_large(self->client, SERVER, NULL, 0));
		ASSERT_EQ(0, receive(self->server, &mcb, self->got));
		vmtp_response(&mcb, APPLICATION);
		ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, self->segment, OCTETS));
		ASSERT_TRUE(comes(self->client, POLLIN, LONG_MS));
	}, get(self->client, &mcb, self->got), {
		if (result < 0)
			result = get(self->client, &mcb, self->got);
		ASSERT_EQ(OCTETS, result);
		ASSERT_EQ(0, memcmp(self->segment, self->got, OCTETS));
	});
}

TEST_F_TIMEOUT(calls, what_cannot_be_answered_can_be_answered_again, 200)
{
	struct vmtp_mcb mcb, answer;

	for (size_t octets = 0; octets <= OCTETS; octets += OCTETS) {
		SWEEP("sendreply", {
			ASSERT_EQ(0, start_large(self->client, SERVER, NULL, 0));
			ASSERT_EQ(0, receive(self->server, &answer, self->got));
			vmtp_response(&answer, APPLICATION);
		}, vmtp_sendreply(self->server, &answer, self->segment, octets), {
			if (result) {
				ASSERT_EQ(0, vmtp_sendreply(self->server, &answer, self->segment, octets));
			}
			ASSERT_EQ(octets, get(self->client, &mcb, self->got));
			ASSERT_EQ(0, memcmp(self->segment, self->got, octets));
		});
	}
	EXPECT_EQ(counter("TransactionsStarted"), counter("TransactionsAnswered"));
}

TEST_F_TIMEOUT(calls, replyrecv_tells_what_of_it_was_done, 200)
{
	int other = open_entity(0), sent = 0;
	struct vmtp_mcb mcb, reply;

	SWEEP("replyrecv", {
		ASSERT_EQ(0, start_large(self->client, SERVER, NULL, 0));
		ASSERT_EQ(0, receive(self->server, &reply, self->got));
		ASSERT_EQ(0, start_large(other, SERVER, self->segment, OCTETS));
		ASSERT_TRUE(comes(self->server, POLLIN, LONG_MS));
		vmtp_response(&reply, APPLICATION);
		mcb = reply;
	}, vmtp_replyrecv_sent(self->server, &mcb, self->segment, OCTETS, self->got, OCTETS, LONG_MS, &sent), {
		if (result < 0) {
			if (!sent && vmtp_sendreply(self->server, &reply, self->segment, OCTETS)) {
				/* What tells could not be told either: it had gone. */
				ASSERT_EQ(ENOTCONN, errno);
			}
			result = receive(self->server, &mcb, self->got);
		}
		ASSERT_EQ(OCTETS, result);
		ASSERT_EQ(0, memcmp(self->segment, self->got, OCTETS));
		vmtp_response(&mcb, APPLICATION);
		ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
		ASSERT_EQ(OCTETS, get(self->client, &mcb, self->got));
		ASSERT_EQ(0, get(other, &mcb, self->got));
	});
	close(other);
}

TEST_F_TIMEOUT(calls, forward_and_probe, 200)
{
	int other = open_entity(OTHER_SERVER);
	struct vmtp_mcb mcb, answer;
	struct vmtp_probe state;

	SWEEP("forward", {
		ASSERT_EQ(0, start_large(self->client, SERVER, self->segment, OCTETS));
		ASSERT_EQ(OCTETS, receive(self->server, &mcb, self->got));
	}, vmtp_forward(self->server, &mcb, OTHER_SERVER, self->segment, OCTETS), {
		if (result) {
			ASSERT_EQ(0, vmtp_forward(self->server, &mcb, OTHER_SERVER, self->segment, OCTETS));
		}
		ASSERT_EQ(OCTETS, receive(other, &answer, self->got));
		ASSERT_EQ(0, memcmp(self->segment, self->got, OCTETS));
		vmtp_response(&answer, APPLICATION);
		ASSERT_EQ(0, vmtp_sendreply(other, &answer, NULL, 0));
		ASSERT_EQ(0, get(self->client, &mcb, self->got));
		ASSERT_EQ(APPLICATION, mcb.code);
	});
	SWEEP("probe", {}, vmtp_probeentity(self->client, SERVER, &state, LONG_MS), {
		if (!result) {
			EXPECT_EQ(VMTP_OK, state.code);
		}
	});
	close(other);
}

/* An ordinary message: MCB and cookie in control messages. */
struct ordinary {
	struct msghdr header;
	struct iovec iov;
	struct sockaddr_vmtp name;
	char control[256];
};

static void ordinary(struct ordinary *message, void *segment, size_t length)
{
	*message = (struct ordinary){ .iov = { segment, length } };
	message->name = (struct sockaddr_vmtp){ .svmtp_family = AF_VMTP, .svmtp_entity = SERVER };
	message->header = (struct msghdr){
		.msg_name = &message->name,
		.msg_namelen = sizeof(message->name),
		.msg_iov = &message->iov,
		.msg_iovlen = 1,
		.msg_control = message->control,
		.msg_controllen = sizeof(message->control),
	};
}

TEST_F_TIMEOUT(calls, sendmsg_and_recvmsg, 200)
{
	struct ordinary out, in;
	struct cmsghdr *cmsg;
	struct vmtp_mcb mcb;

	SWEEP("sendmsg", {
		ordinary(&out, self->segment, OCTETS);
		out.header.msg_controllen = CMSG_SPACE(sizeof(__u64));
		cmsg = CMSG_FIRSTHDR(&out.header);
		cmsg->cmsg_level = SOL_VMTP;
		cmsg->cmsg_type = VMTP_COOKIE;
		cmsg->cmsg_len = CMSG_LEN(sizeof(__u64));
	}, sendmsg(self->client, &out.header, 0), {
		if (result < 0) {
			ASSERT_EQ(OCTETS, sendmsg(self->client, &out.header, 0));
		}
		ASSERT_EQ(OCTETS, receive(self->server, &mcb, self->got));
		ASSERT_EQ(0, memcmp(self->segment, self->got, OCTETS));
		vmtp_response(&mcb, APPLICATION);
		ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
		ASSERT_EQ(0, get(self->client, &mcb, self->got));
	});
	SWEEP("recvmsg", {
		ASSERT_EQ(0, start_large(self->client, SERVER, self->segment, OCTETS));
		ASSERT_TRUE(comes(self->server, POLLIN, LONG_MS));
		ordinary(&in, self->got, OCTETS);
		/* The name is copied when the message has been taken: for every family what fails then is lost. */
		in.header.msg_name = NULL;
		memset(self->got, 0, OCTETS);
	}, recvmsg(self->server, &in.header, 0), {
		if (result < 0) {
			ordinary(&in, self->got, OCTETS);
			result = recvmsg(self->server, &in.header, MSG_DONTWAIT);
		}
		ASSERT_EQ(OCTETS, result);
		ASSERT_EQ(0, memcmp(self->segment, self->got, OCTETS));
		/* What is received without its control block could not be answered. */
		cmsg = CMSG_FIRSTHDR(&in.header);
		ASSERT_NE(NULL, cmsg);
		ASSERT_EQ(VMTP_MCB, cmsg->cmsg_type);
		memcpy(&mcb, CMSG_DATA(cmsg), sizeof(mcb));
		vmtp_response(&mcb, APPLICATION);
		ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
		ASSERT_EQ(0, get(self->client, &mcb, self->got));
	});
}

/* Makes a namespace in a process of its own, which is left at once: the from-th allocation fails. */
static long unshared(int from)
{
	int status;
	pid_t child = fork();

	if (!child) {
		int failed, left;

		faults_arm(from);
		failed = unshare(CLONE_NEWNET);
		left = faults_disarm();
		if (left)
			_exit(1);
		_exit(failed && is_shortage(errno) ? 2 : failed ? 3 : 4);
	}
	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The kernel's log says where the n-th allocation begins. */
static int log_mark(int n)
{
	char text[32];
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	int length = snprintf(text, sizeof(text), "allocation %d\n", n);
	int result = fd >= 0 && write(fd, text, length) == length ? 0 : -1;

	if (fd >= 0)
		close(fd);
	return result;
}

/* Whether what failed since that mark was asked for by the module: it is on the stack that the log shows. */
static bool failed_in_module(int n)
{
	static char text[32768];
	char mark[32];
	const char *from;
	int length = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, text, sizeof(text) - 1);

	if (length < 0)
		return false;
	text[length] = '\0';
	snprintf(mark, sizeof(mark), "allocation %d\n", n);
	from = strstr(text, mark);
	return from && strstr(from, "[vmtp]");
}

/* How many allocations a namespace takes. */
static int namespace_places(void)
{
	int *places = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child = fork();
	int result;

	if (!child) {
		faults_arm(1000000);
		if (!unshare(CLONE_NEWNET))
			*places = 1000000 - faults_disarm();
		_exit(0);
	}
	waitpid(child, NULL, 0);
	result = *places;
	munmap(places, 4096);
	return result;
}

TEST_F_TIMEOUT(calls, a_namespace_is_made_or_not, 400)
{
	int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int first = open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC);
	int places, ours = 0, told = 0;

	/* The module's part, of two domains, comes before that of devices. There is one then, lo. */
	ASSERT_EQ(0, namespace_enter(first));
	ASSERT_EQ(0, system("echo 1 >/proc/sys/net/core/fb_tunnels_only_for_init_net"));
	ASSERT_EQ(0, namespace_enter(own));
	places = namespace_places();
	ASSERT_LT(100, places);
	faults_tell(true);
	for (int n = places > 450 ? places - 450 : 1; n <= places + 2; n++) {
		bool our;
		long result;

		ASSERT_EQ(0, log_mark(n));
		result = unshared(n);
		our = failed_in_module(n);
		/* The kernel's register_netdevice() tells EINVAL where it has no memory for the name of lo. */
		EXPECT_TRUE(result == 1 || result == 2 || result == 4 || (result == 3 && !our)) {
			TH_LOG("allocation %d of %d, %s: %ld", n, places, our ? "ours" : "the kernel's", result);
		}
		ours += our;
		told += our && result == 2;
	}
	faults_tell(false);
	TH_LOG("a namespace: %d places, %d of the module, %d of these told", places, ours, told);
	EXPECT_LT(20, ours);
	EXPECT_LT(20, told);
	ASSERT_GE(namespace_make(), 0);
	EXPECT_EQ(0, bound(SERVER));
}

TEST_HARNESS_MAIN
