// SPDX-License-Identifier: GPL-2.0
/*
 * Many entities and many Clients at a time in a small machine, and what one of
 * them takes of its memory.
 */
#include "wire.h"

#include <sys/resource.h>

#include "kselftest_harness.h"

#define OWN		0x7F000001U	/* 127.0.0.1 */
#define ENTITIES	10000
#define CLIENTS		1000
#define CLIENTS_SLOWLY	200	/* in the debug kernel, where each of their packets costs ten times as much */

/* Octets that an idle entity may take, object and all beyond its socket, and a record of a remote Client. */
#define ENTITY_MAX	512
#define RECORD_MAX	512

/*
 * Octets of the kernel's objects of all kinds. Of what was freed lately some is
 * still counted, so two looks are compared over many objects.
 */
static long slab(void)
{
	FILE *file = fopen("/proc/slabinfo", "r");
	char line[256], name[64];
	long sum = 0, active, all, size;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %ld %ld %ld", name, &active, &all, &size) == 4)
			sum += active * size;
	if (file)
		fclose(file);
	return sum;
}

/* The same when what other tests have left is gone: namespaces and sockets are freed some time after their end. */
static long settled(void)
{
	long before, now = slab();
	int quiet = 0;

	while (quiet < 5) {
		usleep(100000);
		before = now;
		now = slab();
		quiet = before - now < 65536 ? quiet + 1 : 0;
	}
	return now;
}

/* Octets of each object of a cache, exactly; -1 if there is no such cache. */
static long object_size(const char *cache)
{
	char path[80];
	long octets = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/object_size", cache);
	file = fopen(path, "r");
	if (!file)
		return -1;
	if (fscanf(file, "%ld", &octets) != 1)
		octets = -1;
	fclose(file);
	return octets;
}

/* The debug kernel's objects have red zones and shadows, and its locks are many times as large. */
static bool is_debug_kernel(void)
{
	return !access("/sys/kernel/debug/kmemleak", F_OK);
}

FIXTURE(host)
{
	int *fds;
};

FIXTURE_SETUP(host)
{
	struct rlimit files = { ENTITIES + 100, ENTITIES + 100 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	ASSERT_GE(namespace_make(), 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->fds = calloc(ENTITIES, sizeof(int));
}

FIXTURE_TEARDOWN(host)
{
	free(self->fds);
}

TEST_F_TIMEOUT(host, ten_thousand_entities_are_bound_and_found, 120)
{
	long before, sockets, entities;
	struct vmtp_probe state;

	before = settled();
	for (int i = 0; i < ENTITIES; i++) {
		self->fds[i] = vmtp_socket(0);
		ASSERT_GE(self->fds[i], 0);
	}
	sockets = slab();
	for (int i = 0; i < ENTITIES; i++) {
		ASSERT_EQ(0, vmtp_bind(self->fds[i], little_endian(100000 + i, OWN)));
	}
	entities = slab();
	TH_LOG("%ld octets a socket, and %ld an idle entity", (sockets - before) / ENTITIES,
	       (entities - sockets) / ENTITIES);
	EXPECT_GT((entities - sockets) / ENTITIES, 0);
	EXPECT_LE((entities - sockets) / ENTITIES, is_debug_kernel() ? 8 * ENTITY_MAX : ENTITY_MAX);
	TH_LOG("%ld octets the object of an entity", object_size("vmtp_entity"));
	EXPECT_GT(object_size("vmtp_entity"), 0);
	EXPECT_LE(object_size("vmtp_entity"), is_debug_kernel() ? 8 * ENTITY_MAX : ENTITY_MAX);
	for (int i = 0; i < ENTITIES; i += 997) {
		ASSERT_EQ(0, vmtp_probeentity(self->fds[0], little_endian(100000 + i, OWN), &state, LONG_MS));
		EXPECT_EQ(VMTP_OK, state.code);
	}
	for (int i = 0; i < ENTITIES; i++)
		close(self->fds[i]);
}

/* The Clients are on another host, which is the test: here only the records of them remain. */
TEST_F_TIMEOUT(host, a_record_of_a_remote_client_is_small, 120)
{
	int tun = link_make(1500), server;
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_GE(tun, 0);
	server = open_entity(little_endian(99999, HOST));
	ASSERT_GE(server, 0);
	for (int i = 0; i < CLIENTS; i++) {
		request_packet(&request, little_endian(100000 + i, PEER), little_endian(99999, HOST), 1);
		ASSERT_TRUE(send_packet(tun, &request));
		ASSERT_EQ(0, vmtp_recvreq(server, &mcb, NULL, 0, LONG_MS));
		vmtp_response(&mcb, VMTP_OK);
		ASSERT_EQ(0, vmtp_sendreply(server, &mcb, NULL, 0));
		drain(tun);
	}
	EXPECT_EQ(CLIENTS, counter("RecordsMade"));
	TH_LOG("%ld octets a record", object_size("vmtp_remote"));
	EXPECT_GT(object_size("vmtp_remote"), 0);
	EXPECT_LE(object_size("vmtp_remote"), is_debug_kernel() ? 8 * RECORD_MAX : RECORD_MAX);
	close(server);
	close(tun);
}

TEST_F_TIMEOUT(host, a_thousand_clients_wait_at_a_time_and_each_is_answered, 120)
{
	int clients = is_debug_kernel() ? CLIENTS_SLOWLY : CLIENTS;
	struct vmtp_mcb *held = calloc(clients, sizeof(*held)), mcb;
	int room = 16 << 20, server;
	long before, records, made;

	/* The machine's own namespace: others may have less of its memory. */
	ASSERT_EQ(0, namespace_enter(open("/proc/1/ns/net", O_RDONLY | O_CLOEXEC)));
	/* All of them at once fit the queue of the loopback device, which takes 1,000 packets by default. */
	ASSERT_EQ(0, system("echo 10000 >/proc/sys/net/core/netdev_max_backlog"));
	made = counter("RecordsMade");
	server = open_entity(little_endian(99999, OWN));
	ASSERT_GE(server, 0);
	ASSERT_EQ(0, set_option(server, VMTP_OPT_PROBE_CLIENTS, VMTP_PROBE_NEVER));
	ASSERT_EQ(0, setsockopt(server, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)));
	ASSERT_EQ(0, set_option(server, VMTP_OPT_REQUEST_QUEUE, clients));
	for (int i = 0; i < clients; i++) {
		self->fds[i] = open_entity(little_endian(100000 + i, OWN));
		ASSERT_GE(self->fds[i], 0);
		/* In a slow kernel they wait for each other's packets as well: that is no silence. */
		ASSERT_EQ(0, set_option(self->fds[i], VMTP_OPT_RETRIES, 30));
	}
	before = settled();
	for (int i = 0; i < clients; i++) {
		vmtp_request(&mcb, little_endian(99999, OWN), APPLICATION + i);
		ASSERT_EQ(0, start(self->fds[i], &mcb, NULL, 0));
	}
	for (int i = 0; i < clients; i++) {
		ASSERT_EQ(0, vmtp_recvreq(server, &held[i], NULL, 0, LONG_MS)) {
			TH_LOG("after %d Requests; %ld had no room, %ld no memory", i, counter("DropNoRoom"),
			       counter("DropNoMemory"));
		}
	}
	records = slab();
	TH_LOG("%ld octets a transaction in progress, at both ends", (records - before) / clients);
	EXPECT_EQ(made + clients, counter("RecordsMade"));
	for (int i = clients - 1; i >= 0; i--) {
		vmtp_response(&held[i], held[i].code);
		ASSERT_EQ(0, vmtp_sendreply(server, &held[i], NULL, 0));
	}
	for (int i = 0; i < clients; i++) {
		ASSERT_EQ(0, vmtp_getreply(self->fds[i], &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(APPLICATION + i, mcb.code);
		close(self->fds[i]);
	}
	close(server);
	free(held);
}

TEST_HARNESS_MAIN
