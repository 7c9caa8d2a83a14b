// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that are passed on from host to host (RFC 1045, 2.9): the Client sees
 * one transaction, whatever the length of the chain, and whatever is lost of it.
 */
#include "hosts.h"

#include "kselftest_harness.h"

#define CHAIN		18	/* two more than can be under one name */
#define LINK_OF(i)	little_endian(100000 + (i), ADDRESS_OF((i) % 3))
#define CALLS		40

/* A server that passes every Request on, or answers it if there is nobody after it. */
struct link {
	int fd;
	__u64 next;
	pthread_t thread;
	unsigned long requests, twice, damaged;
	__u8 forward_count;
	__u64 client;
	unsigned char seen[CALLS];
};

static void *serve(void *argument)
{
	static __thread unsigned char data[VMTP_GROUP_SIZE];
	struct link *link = argument;
	struct vmtp_mcb mcb;
	long octets;

	for (;;) {
		__u32 call;

		octets = vmtp_recvreq(link->fd, &mcb, data, sizeof(data), 0);
		/* system() of another thread is a signal, now and then. */
		if (octets < 0 && errno == EINTR)
			continue;
		if (octets < 0)
			break;
		call = mcb.user[3];
		link->requests++;
		link->forward_count = mcb.forward_count;
		link->client = mcb.client;
		link->damaged += !is_filled(data, octets, call);
		if (call < CALLS && link->seen[call]++)
			link->twice++;
		if (link->next) {
			vmtp_forward(link->fd, &mcb, link->next, data, octets);
			continue;
		}
		vmtp_response(&mcb, VMTP_OK);
		mcb.user[0] = call;
		/* The Client may have given up. */
		vmtp_sendreply(link->fd, &mcb, data, octets);
	}
	return NULL;
}

FIXTURE(chain)
{
	struct hosts hosts;
	int client;
	struct link links[CHAIN];
};

FIXTURE_SETUP(chain)
{
	ASSERT_EQ(0, hosts_make(&self->hosts, 3));
	for (int i = 2; i >= 0; i--) {
		ASSERT_EQ(0, hosts_enter(&self->hosts, i));
		ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	}
	self->client = open_entity(0);
	ASSERT_GE(self->client, 0);
	memset(self->links, 0, sizeof(self->links));
	for (int i = 0; i < CHAIN; i++) {
		self->links[i].fd = hosts_open(&self->hosts, i % 3, LINK_OF(i));
		ASSERT_GE(self->links[i].fd, 0);
	}
}

FIXTURE_TEARDOWN(chain)
{
	for (int i = 0; i < CHAIN; i++) {
		struct link *link = &self->links[i];

		if (link->thread) {
			shutdown(link->fd, SHUT_RDWR);
			pthread_join(link->thread, NULL);
		}
		close(link->fd);
	}
	close(self->client);
	hosts_end(&self->hosts);
}

/* The first so many servers are a chain. */
static int start_chain(struct link *links, int length)
{
	for (int i = 0; i < length; i++) {
		links[i].next = i + 1 < length ? LINK_OF(i + 1) : 0;
		if (pthread_create(&links[i].thread, NULL, serve, &links[i]))
			return -1;
	}
	return 0;
}

/* One call of the first server. The code, or -1 if the Response is not that of the call. */
static long call_chain(int fd, __u32 call, size_t octets, struct vmtp_mcb *mcb)
{
	static unsigned char out[VMTP_GROUP_SIZE], in[VMTP_GROUP_SIZE];
	long got;

	fill(out, octets, call);
	vmtp_request(mcb, LINK_OF(0), APPLICATION);
	mcb->user[3] = call;
	got = vmtp_invoke(fd, mcb, out, octets, in, sizeof(in), 0);
	if (got < 0)
		return -1;
	if (vmtp_code(mcb) == VMTP_OK && (got != (long)octets || !is_filled(in, got, call) || mcb->user[0] != call))
		return -1;
	return vmtp_code(mcb);
}

/* Shows: 2.9-a D-24-a D-24-b */
TEST_F(chain, of_fifteen_forwards_the_last_server_answers_and_the_next_is_nested)
{
	static const int lengths[] = { 2, 3, 16, 17, 18 };
	struct vmtp_mcb mcb;

	for (int i = 0; i < 5; i++) {
		int length = lengths[i];
		struct link *last = &self->links[length - 1];

		ASSERT_EQ(0, start_chain(self->links, length));
		for (__u32 call = 0; call < 2; call++) {
			ASSERT_EQ(VMTP_OK, call_chain(self->client, call, call ? 9000 : 0, &mcb)) { TH_LOG("%d servers", length); }
			if (length <= 16) {
				EXPECT_EQ(LINK_OF(length - 1), mcb.server);
				EXPECT_EQ(length - 1, last->forward_count);
				EXPECT_EQ(entity_of(self->client), last->client);
			} else {
				/* The sixteenth calls the next in a name of its own, and answers what comes of it. */
				EXPECT_EQ(LINK_OF(15), mcb.server);
				EXPECT_EQ(15, self->links[15].forward_count);
				EXPECT_EQ(length - 17, last->forward_count);
				EXPECT_NE(entity_of(self->client), last->client);
			}
		}
		for (int j = 0; j < length; j++) {
			struct link *link = &self->links[j];

			EXPECT_EQ(2, link->requests) { TH_LOG("server %d of %d", j, length); }
			EXPECT_EQ(0, link->twice + link->damaged);
			shutdown(link->fd, SHUT_RDWR);
			pthread_join(link->thread, NULL);
			close(link->fd);
			*link = (struct link){ .fd = hosts_open(&self->hosts, j % 3, LINK_OF(j)) };
			ASSERT_GE(link->fd, 0);
		}
	}
}

TEST_F(chain, a_forwarded_request_that_is_nested_for_a_group_is_answered_by_the_forwarder)
{
	__u64 group = VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP | 0x0012345600000000ULL | ADDRESS_OF(1);
	struct vmtp_membership membership = { .group = group };
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, setsockopt(self->links[1].fd, SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership)));
	self->links[1].next = LINK_OF(2);
	for (int i = 1; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&self->links[i].thread, NULL, serve, &self->links[i]));
	vmtp_request(&mcb, group, APPLICATION);
	ASSERT_EQ(0, vmtp_invoke(self->client, &mcb, NULL, 0, NULL, 0, 0));
	EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
	EXPECT_EQ(LINK_OF(1), mcb.server);
	EXPECT_EQ(1, self->links[2].requests);
	EXPECT_EQ(0, self->links[2].forward_count);
}

/* ---- What is lost -------------------------------------------------------------------------------------- */

/* A lossy network between five servers on three hosts: nothing is executed twice, nothing is answered that was not. */
TEST_F_TIMEOUT(chain, loss_of_any_packet_of_the_chain_is_made_good_or_told, 120)
{
	static unsigned char data[6000];
	int failed = 0, length = 5, clients[CALLS];
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_chain(self->links, length));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, hosts_loss(&self->hosts, i, "15%"));
	/* All at once: a transaction that has to be repeated takes its time. */
	for (__u32 call = 0; call < CALLS; call++) {
		clients[call] = open_entity(0);
		ASSERT_GE(clients[call], 0);
		vmtp_request(&mcb, LINK_OF(0), APPLICATION);
		mcb.user[3] = call;
		fill(data, sizeof(data), call);
		ASSERT_EQ(0, start(clients[call], &mcb, data, call % 2 ? sizeof(data) : 0));
	}
	for (__u32 call = 0; call < CALLS; call++) {
		long octets = vmtp_getreply(clients[call], &mcb, data, sizeof(data), 3 * LONG_MS);

		ASSERT_GE(octets, 0);
		ASSERT_NE(VMTP_USER_TIMEOUT, vmtp_code(&mcb)) { TH_LOG("call %u is lost without an error", call); }
		failed += vmtp_code(&mcb) != VMTP_OK;
		if (vmtp_code(&mcb) == VMTP_OK) {
			EXPECT_EQ(call % 2 ? sizeof(data) : 0, octets);
			EXPECT_TRUE(is_filled(data, octets, call));
			EXPECT_EQ(call, mcb.user[0]);
			EXPECT_EQ(1, self->links[length - 1].seen[call]);
		}
		close(clients[call]);
	}
	for (int i = 0; i < length; i++) {
		EXPECT_EQ(0, self->links[i].twice) { TH_LOG("server %d", i); }
		EXPECT_EQ(0, self->links[i].damaged);
	}
	TH_LOG("%d of %d transactions failed with a code", failed, CALLS);
	EXPECT_GE(CALLS / 4, failed);
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, hosts_loss(&self->hosts, i, "0%"));
}

/* One Request, taken and passed on to the server on host 2. */
static int pass_on(struct link *links, struct vmtp_mcb *mcb)
{
	if (vmtp_recvreq(links[1].fd, mcb, NULL, 0, LONG_MS) < 0)
		return -1;
	return vmtp_forward(links[1].fd, mcb, LINK_OF(2), NULL, 0);
}

TEST_F(chain, a_forwarder_that_dies_when_the_request_has_arrived_is_not_needed)
{
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_null(self->client, LINK_OF(1)));
	ASSERT_EQ(0, pass_on(self->links, &mcb));
	ASSERT_EQ(0, vmtp_recvreq(self->links[2].fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(1, mcb.forward_count);
	/* Its process, and then all of its host. */
	close(self->links[1].fd);
	self->links[1].fd = -1;
	ASSERT_EQ(0, hosts_loss(&self->hosts, 1, "100%"));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->links[2].fd, &mcb, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
	EXPECT_EQ(LINK_OF(2), mcb.server);
}

TEST_F(chain, a_forwarder_that_dies_before_the_request_has_arrived_is_told_of)
{
	struct vmtp_mcb mcb, late;

	/* What it passes on is lost, and its process goes. */
	ASSERT_EQ(0, hosts_loss(&self->hosts, 2, "100%"));
	ASSERT_EQ(0, start_null(self->client, LINK_OF(1)));
	ASSERT_EQ(0, pass_on(self->links, &mcb));
	close(self->links[1].fd);
	self->links[1].fd = -1;
	ASSERT_EQ(0, hosts_loss(&self->hosts, 2, "0%"));
	/* Its host still has the Request, or says that nobody has it: the transaction ends either way. */
	if (vmtp_recvreq(self->links[2].fd, &late, NULL, 0, 2000) >= 0) {
		vmtp_response(&late, VMTP_OK);
		ASSERT_EQ(0, vmtp_sendreply(self->links[2].fd, &late, NULL, 0));
	}
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_TRUE(vmtp_code(&mcb) == VMTP_OK || vmtp_code(&mcb) == VMTP_NONEXISTENT_ENTITY) {
		TH_LOG("%s", vmtp_code_name(vmtp_code(&mcb)));
	}
}

TEST_F_TIMEOUT(chain, a_host_of_the_chain_that_is_gone_is_a_failure_of_the_transaction, 90)
{
	struct vmtp_mcb mcb;

	/* The one that is to answer: the forwarder gives up, and tells. */
	ASSERT_EQ(0, hosts_loss(&self->hosts, 2, "100%"));
	ASSERT_EQ(0, start_null(self->client, LINK_OF(1)));
	ASSERT_EQ(0, pass_on(self->links, &mcb));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, 3 * LONG_MS));
	EXPECT_EQ(VMTP_FAILURE, mcb.function);
	EXPECT_NE(VMTP_OK, vmtp_code(&mcb));
	EXPECT_NE(VMTP_USER_TIMEOUT, vmtp_code(&mcb));
	TH_LOG("the last host gone: %s", vmtp_code_name(vmtp_code(&mcb)));
	ASSERT_EQ(0, hosts_loss(&self->hosts, 2, "0%"));

	/* The one in the middle, with the Request. */
	ASSERT_EQ(0, start_null(self->client, LINK_OF(1)));
	ASSERT_EQ(0, vmtp_recvreq(self->links[1].fd, &mcb, NULL, 0, LONG_MS));
	ASSERT_EQ(0, hosts_loss(&self->hosts, 1, "100%"));
	ASSERT_EQ(0, vmtp_forward(self->links[1].fd, &mcb, LINK_OF(2), NULL, 0));
	/* It can still send: the Request arrives, and what comes of it is between the other two. */
	ASSERT_EQ(0, vmtp_recvreq(self->links[2].fd, &mcb, NULL, 0, LONG_MS));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->links[2].fd, &mcb, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
}

/* ---- Who passed it on ------------------------------------------------------------------------------------ */

/* Shows: III-0105-a 5.4-d 5.6.4-b */
TEST_F(chain, a_server_can_ask_who_passed_a_request_on)
{
	struct vmtp_exchange ask = { 0 };
	struct vmtp_msg request = { .timeout = LONG_MS };
	struct vmtp_mcb mcb;
	int other = open_entity(0);

	ASSERT_EQ(0, start_null(self->client, LINK_OF(1)));
	ASSERT_EQ(0, pass_on(self->links, &mcb));
	ASSERT_EQ(0, ioctl(self->links[2].fd, VMTP_RECVREQ, &request));
	EXPECT_EQ(1, request.mcb.forward_count);
	/* The manager of the host that it came from, about its Client. */
	vmtp_request(&ask.out.mcb, VMTP_MANAGER_GROUP, VMTP_PROC_GET_REQUEST_FORWARDER & VMTP_CODE_MASK);
	ask.out.mcb.code = VMTP_PROC_GET_REQUEST_FORWARDER;
	ask.out.mcb.user[2] = request.mcb.client >> 32;
	ask.out.mcb.user[3] = request.mcb.client;
	ask.out.host = request.host;
	EXPECT_EQ(htonl(ADDRESS_OF(1)), *(__u32 *)request.host.address);
	ASSERT_EQ(0, ioctl(self->links[2].fd, VMTP_INVOKE, &ask));
	mcb = ask.in.mcb;
	ASSERT_EQ(VMTP_OK, vmtp_code(&mcb));
	EXPECT_EQ(LINK_OF(1), (__u64)mcb.user[0] << 32 | mcb.user[1]);
	EXPECT_EQ((__u64)ADDRESS_OF(1) << 32 | getuid(), (__u64)mcb.user[2] << 32 | mcb.user[3]);
	EXPECT_EQ(1, mcb.user[4]);
	/* Of a Client whose Requests were not passed on nothing is known. */
	ask.out.mcb.user[2] = entity_of(other) >> 32;
	ask.out.mcb.user[3] = entity_of(other);
	ASSERT_EQ(0, ioctl(self->links[2].fd, VMTP_INVOKE, &ask));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, ask.in.mcb.code & VMTP_CODE_MASK);
	close(other);
}

TEST_HARNESS_MAIN
