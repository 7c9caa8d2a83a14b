// SPDX-License-Identifier: GPL-2.0
/*
 * Many entities and many Clients at a time in a small machine, and what one of
 * them takes of its memory.
 */
#include "host.h"

#include <sys/resource.h>

#include "kselftest_harness.h"

#define OWN		0x7F000001U	/* 127.0.0.1 */
#define ENTITIES	10000
#define CLIENTS		1000
#define CLIENTS_SLOWLY	200	/* in the debug kernel, where each of their packets costs ten times as much */

/* Octets of kernel memory in slabs. */
static long slab(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128];
	long kilo = 0;

	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Slab: %ld", &kilo) == 1)
			break;
	fclose(file);
	return kilo * 1024;
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

	before = slab();
	for (int i = 0; i < ENTITIES; i++) {
		self->fds[i] = vmtp_socket(0);
		ASSERT_GE(self->fds[i], 0);
	}
	sockets = slab();
	for (int i = 0; i < ENTITIES; i++) {
		ASSERT_EQ(0, vmtp_bind(self->fds[i], little_endian(100000 + i, OWN)));
	}
	entities = slab();
	TH_LOG("%d octets a socket, and %d an entity", (int)((sockets - before) / ENTITIES),
	       (int)((entities - sockets) / ENTITIES));
	for (int i = 0; i < ENTITIES; i += 997) {
		ASSERT_EQ(0, vmtp_probeentity(self->fds[0], little_endian(100000 + i, OWN), &state, LONG_MS));
		EXPECT_EQ(VMTP_OK, state.code);
	}
	for (int i = 0; i < ENTITIES; i++)
		close(self->fds[i]);
}

TEST_F_TIMEOUT(host, a_thousand_clients_wait_at_a_time_and_each_is_answered, 120)
{
	int clients = access("/sys/kernel/debug/kmemleak", F_OK) ? CLIENTS : CLIENTS_SLOWLY;
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
	before = slab();
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
	TH_LOG("%d octets a transaction in progress, at both ends", (int)((records - before) / clients));
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
