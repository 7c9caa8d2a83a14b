// SPDX-License-Identifier: GPL-2.0
/*
 * Transactions between two hosts, each a network namespace, over veth: what
 * goes in at one end comes out at the other, whatever the link does, and is
 * executed once.
 */
#include "host.h"

#include "kselftest_harness.h"

#define SERVER_ADDRESS	0x0A510001U	/* 10.81.0.1 */
#define CLIENT_ADDRESS	0x0A510002U
#define SERVER		little_endian(100000, SERVER_ADDRESS)

FIXTURE(link)
{
	int here, there;	/* namespaces: the client's, where the test is, and the server's */
	int server;
};

FIXTURE_VARIANT(link)
{
	int mtu;
};

FIXTURE_VARIANT_ADD(link, mtu_600) { .mtu = 600 };
FIXTURE_VARIANT_ADD(link, mtu_1500) { .mtu = 1500 };
FIXTURE_VARIANT_ADD(link, mtu_9000) { .mtu = 9000 };

/*
 * Both ends of a veth, each in its namespace, with these addresses. Neighbours
 * are known: a link that loses packets is to harm VMTP and not ARP, of which
 * the failure would be another test.
 */
#define END(address, neighbour) \
	"ip addr add 10.81.0." address "/24 dev veth0 && ip link set veth0 up &&" \
	" ip neigh add 10.81.0." neighbour " lladdr 02:00:00:00:00:0" neighbour " dev veth0 nud permanent"

static int connect_hosts(int here, int there, int mtu)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "ip link add veth0 mtu %d address 02:00:00:00:00:02 type veth"
		 " peer name veth0 mtu %d address 02:00:00:00:00:01 netns /proc/%d/fd/%d && " END("2", "1"),
		 mtu, mtu, getpid(), there);
	if (system(command) || namespace_enter(there) || system(END("1", "2")))
		return -1;
	return namespace_enter(here);
}

static int make_hosts(int *here, int *there, int mtu)
{
	*there = namespace_make();
	*here = namespace_make();
	return *there < 0 || *here < 0 ? -1 : connect_hosts(*here, *there, mtu);
}

static int open_there(int here, int there, __u64 entity)
{
	int fd = namespace_enter(there) ? -1 : open_entity(entity);

	return namespace_enter(here) ? -1 : fd;
}

static long counter_there(int here, int there, const char *name)
{
	long value = namespace_enter(there) ? -1 : counter(name);

	return namespace_enter(here) ? -1 : value;
}

static int shell_there(int here, int there, const char *command)
{
	int result = namespace_enter(there) ? -1 : system(command);

	return namespace_enter(here) ? -1 : result;
}

FIXTURE_SETUP(link)
{
	ASSERT_EQ(0, make_hosts(&self->here, &self->there, variant->mtu));
	self->server = open_there(self->here, self->there, SERVER);
	ASSERT_GE(self->server, 0);
	/* A slow machine loses packets where many come at a time: their backlog has an end. */
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_RESPONSE_RETRIES, 50));
}

FIXTURE_TEARDOWN(link)
{
}

/*
 * A Request of so many octets that is answered by so many; 0, or what is wrong.
 */
static const char *exchange(int fd, size_t request, size_t response, uint64_t seed)
{
	static __thread unsigned char out[VMTP_GROUP_SIZE], in[VMTP_GROUP_SIZE];
	struct vmtp_mcb mcb;
	long octets;

	fill(out, request, seed);
	vmtp_request(&mcb, SERVER, APPLICATION);
	mcb.user[4] = seed;
	mcb.msg_delivery = response;
	octets = vmtp_invoke(fd, &mcb, out, request, in, sizeof(in), 0);
	if (octets < 0)
		return strerror(errno);
	if (mcb.function != VMTP_RESPONSE || vmtp_code(&mcb) != VMTP_OK)
		return vmtp_code_name(mcb.code);
	if (octets != response)
		return "a Response of another size";
	if (mcb.user[4] != seed)
		return "another's Response";
	return is_filled(in, octets, seed + 1) ? NULL : "a damaged Response";
}

/* Shows: 2.13-c D-6-a */
TEST_F(link, every_size_arrives_intact_both_ways)
{
	static const size_t sizes[] = { 0, 1, 7, 8, 511, 512, 513, 1024, 1025, 8191, 16383, 16384 };
	const size_t count = sizeof(sizes) / sizeof(*sizes);
	int fd = open_entity(0), done = 0;
	struct echo echo;

	ASSERT_EQ(0, echo_start(&echo, self->server));
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < count; j++) {
			const char *wrong = exchange(fd, sizes[i], sizes[j], 1000 + done++);

			EXPECT_EQ(NULL, wrong) { TH_LOG("%zu and %zu octets: %s", sizes[i], sizes[j], wrong); }
		}
	}
	echo_stop(&echo);
	EXPECT_EQ(done, echo.served);
	EXPECT_EQ(0, echo.damaged);
}

struct caller {
	pthread_t thread;
	int fd, number, calls;
	const char *wrong;
};

static void *caller_thread(void *argument)
{
	struct caller *caller = argument;

	for (int i = 0; i < caller->calls && !caller->wrong; i++)
		caller->wrong = exchange(caller->fd, (caller->number * 517 + i * 1031) % (VMTP_GROUP_SIZE + 1),
					 (caller->number * 1907 + i * 257) % (VMTP_GROUP_SIZE + 1),
					 caller->number * 1000 + i);
	return NULL;
}

#define CALLERS	32

static struct caller callers[CALLERS];

/* So many transactions of each of CALLERS Clients begin. */
static void call_begin(int calls, int retries)
{
	for (int i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){ .fd = open_entity(0), .number = i + 1, .calls = calls };
		set_option(callers[i].fd, VMTP_OPT_RETRIES, retries);
		pthread_create(&callers[i].thread, NULL, caller_thread, &callers[i]);
	}
}

/* They have ended: how many Clients saw something wrong. */
static int call_end(struct __test_metadata *_metadata)
{
	int wrong = 0;

	for (int i = 0; i < CALLERS; i++) {
		pthread_join(callers[i].thread, NULL);
		EXPECT_EQ(NULL, callers[i].wrong) { TH_LOG("client %d: %s", i, callers[i].wrong); }
		wrong += callers[i].wrong != NULL;
		close(callers[i].fd);
	}
	return wrong;
}

/* Both: so many transactions of each at a time. */
static int call_all(struct __test_metadata *_metadata, int calls, int retries)
{
	call_begin(calls, retries);
	return call_end(_metadata);
}

TEST_F(link, many_clients_at_a_time_get_each_their_own)
{
	struct echo echo;

	ASSERT_EQ(0, echo_start(&echo, self->server));
	EXPECT_EQ(0, call_all(_metadata, 8, 50)) {
		TH_LOG("sent again: %ld here, %ld there; no room: %ld here, %ld there", counter("Retransmissions"),
		       counter_there(self->here, self->there, "Retransmissions"), counter("DropNoRoom"),
		       counter_there(self->here, self->there, "DropNoRoom"));
	}
	echo_stop(&echo);
	EXPECT_EQ(8 * CALLERS, echo.served);
	EXPECT_EQ(0, echo.damaged);
}

/*
 * A server that receives nothing for longer than a Client tries in vain, and has room for a few of the Requests: it is
 * BUSY, and not silent, also to those of which it had taken a part.
 *
 * Shows: 4.8-i
 */
TEST_F(link, clients_of_a_server_without_room_wait_for_it)
{
	int octets = 65536;
	struct echo echo;

	ASSERT_EQ(0, setsockopt(self->server, SOL_SOCKET, SO_RCVBUF, &octets, sizeof(octets)));
	call_begin(1, 2);
	sleep(4);
	EXPECT_GE(counter_there(self->here, self->there, "DropNoRoom"), 1);
	ASSERT_EQ(0, echo_start(&echo, self->server));
	EXPECT_EQ(0, call_end(_metadata));
	echo_stop(&echo);
	EXPECT_EQ(CALLERS, echo.served);
	EXPECT_EQ(0, echo.damaged);
}

/* ---- A link that harms ------------------------------------------------------------ */

FIXTURE(harmful)
{
	int here, there, server;
};

FIXTURE_VARIANT(harmful)
{
	const char *how;
	const char *counted;	/* a counter of the server that must have moved */
};

FIXTURE_VARIANT_ADD(harmful, loss) { .how = "loss 20%", .counted = "Retransmissions" };
FIXTURE_VARIANT_ADD(harmful, duplication) { .how = "duplicate 30%", .counted = "DropDuplicate" };
FIXTURE_VARIANT_ADD(harmful, reordering) { .how = "delay 3ms 3ms", .counted = "InPackets" };
FIXTURE_VARIANT_ADD(harmful, corruption) { .how = "corrupt 20%", .counted = "DropChecksum" };
FIXTURE_VARIANT_ADD(harmful, all_of_it) {
	.how = "loss 10% duplicate 10% corrupt 5% delay 2ms 2ms",
	.counted = "Retransmissions",
};

FIXTURE_SETUP(harmful)
{
	char command[256];

	ASSERT_EQ(0, make_hosts(&self->here, &self->there, 1500));
	snprintf(command, sizeof(command), "tc qdisc add dev veth0 root netem limit 100000 %s", variant->how);
	ASSERT_EQ(0, system(command));
	ASSERT_EQ(0, shell_there(self->here, self->there, command));
	self->server = open_there(self->here, self->there, SERVER);
	ASSERT_GE(self->server, 0);
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_RESPONSE_RETRIES, 50));
}

FIXTURE_TEARDOWN(harmful)
{
}

/* Shows: 2.5.1-b */
TEST_F(harmful, every_transaction_is_executed_once_and_intact)
{
	struct echo echo;

	ASSERT_EQ(0, echo_start(&echo, self->server));
	EXPECT_EQ(0, call_all(_metadata, 4, 50));
	echo_stop(&echo);
	EXPECT_EQ(4 * CALLERS, echo.served);
	EXPECT_EQ(0, echo.damaged);
	EXPECT_GE(counter_there(self->here, self->there, variant->counted), 1);
	TH_LOG("server: %ld in, %ld out, %ld again, %ld duplicates, %ld damaged; client: %ld again",
	       counter_there(self->here, self->there, "InPackets"),
	       counter_there(self->here, self->there, "OutPackets"),
	       counter_there(self->here, self->there, "Retransmissions"),
	       counter_there(self->here, self->there, "DropDuplicate"),
	       counter_there(self->here, self->there, "DropChecksum"), counter("Retransmissions"));
}

TEST_HARNESS_MAIN
