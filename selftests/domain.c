// SPDX-License-Identifier: GPL-2.0
/*
 * Domain 3 beside Domain 1 (RFC 1045, 2.2, IV.2, IV.4): how a host comes to its
 * identifiers there, seen by a peer that is not the module; what is separate;
 * and three hosts that know nothing of each other but what the protocol tells.
 */
#include "manage.h"
#include "hosts.h"

#include "kselftest_harness.h"

#define LOCAL		VMTP_DOMAIN_LOCAL
#define BLOCK(entity)	((entity) & ~0xFFULL)
#define PROBES		4	/* R of IV.4 */
#define FAR		0x2BBBBBBBBBBBBB07ULL	/* an entity of the raw peer, without an address */
#define GROUP		(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP | 0x0ABBCCDD00112233ULL)

/* A thread that binds a socket in Domain 3. */
struct binder {
	pthread_t thread;
	pid_t id;
	int fd, error;
};

static void *bind_thread(void *argument)
{
	struct binder *binder = argument;

	__atomic_store_n(&binder->id, thread_id(), __ATOMIC_RELEASE);
	binder->error = vmtp_bind_in(binder->fd, LOCAL, 0) ? errno : 0;
	return NULL;
}

static int binder_start(struct binder *binder)
{
	*binder = (struct binder){ .fd = vmtp_socket(SOCK_CLOEXEC) };
	return pthread_create(&binder->thread, NULL, bind_thread, binder);
}

/* A socket of Domain 3, or -1 with errno. */
static int open_local(__u64 entity)
{
	return open_entity_in(LOCAL, entity);
}

static __u16 domain_of(const struct packet *packet)
{
	return packet->frame >> W_DOMAIN & 0x1FFF;
}

static void in_local(struct packet *packet)
{
	packet->frame = (packet->frame & ~(0x1FFFU << W_DOMAIN)) | LOCAL << W_DOMAIN;
}

static __u64 probed_block(const struct packet *packet)
{
	return (__u64)packet->user[0] << 32 | packet->user[1];
}

static bool is_block_probe(const struct packet *packet)
{
	return !(packet->control & C_RESPONSE) && PROCEDURE(packet->code) == PROC(PROBE_ENTITY_BLOCK);
}

/* The next ProbeEntityBlock that the host sends. */
static bool next_block_probe(int tun, struct packet *packet, int timeout_ms)
{
	while (receive_packet(tun, packet, timeout_ms))
		if (is_block_probe(packet))
			return true;
	return false;
}

/* The raw peer has the block, or says that it has another. */
static bool object(int tun, const struct packet *probe, __u64 block)
{
	struct packet packet;

	response_packet(&packet, probe, FAR);
	packet.source = PEER;
	in_local(&packet);
	packet.user[0] = block >> 32;
	packet.user[1] = block;
	return send_packet(tun, &packet);
}

FIXTURE(host)
{
	int tun;
	unsigned char segment[VMTP_GROUP_SIZE];
};

FIXTURE_SETUP(host)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	fill(self->segment, sizeof(self->segment), 1);
}

FIXTURE_TEARDOWN(host)
{
	close(self->tun);
}

/* ---- Allocation ---------------------------------------------------------------------------------- */

/* Shows: IV.4-a IV.4-b IV.4-c */
TEST_F(host, a_block_is_probed_by_the_default_client_and_taken_when_nobody_objects)
{
	struct packet packet, answer;
	struct binder binder;
	__u64 block = 0, own;
	int fds[256];

	ASSERT_EQ(0, binder_start(&binder));
	for (int i = 0; i < PROBES; i++) {
		ASSERT_TRUE(next_block_probe(self->tun, &packet, LONG_MS));
		EXPECT_EQ(LOCAL, domain_of(&packet));
		EXPECT_EQ(MANAGERS, packet.destination);
		EXPECT_EQ(1, packet.ttl);
		EXPECT_EQ(VMTP_DEFAULT_LECLIENT, packet.client);
		EXPECT_EQ(0, packet.transaction);
		EXPECT_EQ(VMTP_MANAGER_GROUP, packet.server);
		EXPECT_EQ(VMTP_PROC_PROBE_ENTITY_BLOCK, packet.code);
		if (!i)
			block = probed_block(&packet);
		EXPECT_EQ(block, probed_block(&packet));
		EXPECT_EQ(0, block & 0xFF);
		EXPECT_EQ(VMTP_ENTITY_LEE, block & 0xF000000000000000ULL);
	}
	ASSERT_EQ(0, pthread_join(binder.thread, NULL));
	ASSERT_EQ(0, binder.error);
	EXPECT_FALSE(next_block_probe(self->tun, &packet, 200));
	own = entity_of(binder.fd);
	EXPECT_EQ(block, BLOCK(own));

	/* It is reserved, and others are told so, in Domain 3. */
	manage_packet(&packet, VMTP_PROC_PROBE_ENTITY_BLOCK, one(block));
	packet.client = VMTP_DEFAULT_BECLIENT;
	packet.destination = MANAGERS;
	EXPECT_FALSE(answer_of(self->tun, &packet, &answer, 100));
	in_local(&packet);
	ASSERT_TRUE(answer_of(self->tun, &packet, &answer, LONG_MS));
	EXPECT_EQ(VMTP_OK, answer.code);
	EXPECT_EQ(LOCAL, domain_of(&answer));
	EXPECT_EQ(block, (__u64)answer.user[0] << 32 | answer.user[1]);
	/* By one of its own identifiers: the manager's is of the block too. */
	EXPECT_EQ(block, BLOCK(answer.server));
	EXPECT_NE(own, answer.server);

	/* All of them are given out before those of another, which is claimed meanwhile, now by the manager itself. */
	for (int i = 0; i < 256; i++) {
		fds[i] = open_local(0);
		ASSERT_GE(fds[i], 0);
		EXPECT_EQ(i < 254, BLOCK(entity_of(fds[i])) == block) { TH_LOG("%d", i); }
	}
	ASSERT_TRUE(next_block_probe(self->tun, &packet, LONG_MS));
	EXPECT_EQ(answer.server, packet.client);
	EXPECT_EQ(BLOCK(entity_of(fds[255])), probed_block(&packet));
	EXPECT_EQ(2, counter("BlocksTaken"));
	for (int i = 0; i < 256; i++)
		close(fds[i]);
	close(binder.fd);
}

/* Answers to a ProbeEntityBlock of the raw peer within so many ms. */
static int answers(int tun, const struct packet *probe, int timeout_ms)
{
	struct packet packet;
	int count = 0;

	while (receive_packet(tun, &packet, timeout_ms))
		count += (packet.control & C_RESPONSE) && packet.client == probe->client &&
			 packet.transaction == probe->transaction && packet.user[0] == probe->user[0];
	return count;
}

/* Shows: IV.4-d */
TEST_F(host, an_objection_is_repeated_until_its_host_asks_again)
{
	int fd = open_local(0), count;
	struct packet probe;

	ASSERT_GE(fd, 0);
	manage_packet(&probe, VMTP_PROC_PROBE_ENTITY_BLOCK, one(BLOCK(entity_of(fd))));
	probe.client = VMTP_DEFAULT_BECLIENT;
	probe.transaction = 0;
	probe.destination = MANAGERS;
	probe.frame |= W_MPG;
	in_local(&probe);
	drain(self->tun);
	ASSERT_TRUE(send_packet(self->tun, &probe));
	EXPECT_EQ(3, answers(self->tun, &probe, 500));
	/* It asks again at once, three times: each is answered, and the last one's answer repeated, not all (unless the
	 * machine stood still in between). */
	for (int i = 0; i < 3; i++)
		ASSERT_TRUE(send_packet(self->tun, &probe));
	count = answers(self->tun, &probe, 500);
	EXPECT_TRUE(count >= 5 && count < 9) { TH_LOG("%d answers", count); }
	/* It asks about another block: it has heard. */
	ASSERT_TRUE(send_packet(self->tun, &probe));
	probe.user[0] ^= 1;
	ASSERT_TRUE(send_packet(self->tun, &probe));
	probe.user[0] ^= 1;
	count = answers(self->tun, &probe, 500);
	EXPECT_TRUE(count >= 1 && count < 3) { TH_LOG("%d answers", count); }
	/* What is asked by unicast is answered once. */
	probe.destination = HOST;
	probe.frame &= ~W_MPG;
	ASSERT_TRUE(send_packet(self->tun, &probe));
	EXPECT_EQ(1, answers(self->tun, &probe, 300));
	close(fd);
}

/* Shows: IV.4-a III-0103-b */
TEST_F(host, a_conflict_leads_to_another_block)
{
	__u64 taken[4] = { 0 };
	struct packet packet;
	struct binder binder;

	ASSERT_EQ(0, binder_start(&binder));
	/* The first, second and last Probe of three blocks is objected to; an answer about another block says nothing. */
	for (int i = 0; i < 3; i++) {
		int heard = i == 2 ? PROBES - 1 : i;

		for (int count = 0; count <= heard; count++) {
			ASSERT_TRUE(next_block_probe(self->tun, &packet, LONG_MS));
			if (!count)
				taken[i] = probed_block(&packet);
			EXPECT_EQ(taken[i], probed_block(&packet));
			ASSERT_TRUE(object(self->tun, &packet, count == heard ? taken[i] : taken[i] + 0x100));
		}
		EXPECT_TRUE(!i || taken[i] != taken[i - 1]);
	}
	for (int count = 0; count < PROBES; count++)
		ASSERT_TRUE(next_block_probe(self->tun, &packet, LONG_MS));
	ASSERT_EQ(0, pthread_join(binder.thread, NULL));
	ASSERT_EQ(0, binder.error);
	for (int i = 0; i < 3; i++)
		EXPECT_NE(taken[i], BLOCK(entity_of(binder.fd)));
	EXPECT_EQ(3, counter("BlocksObjected"));
	close(binder.fd);
}

TEST_F(host, whoever_has_every_block_makes_bind_fail_and_not_last)
{
	struct packet packet;
	struct binder binder;
	int blocks = 0;

	ASSERT_EQ(0, binder_start(&binder));
	while (next_block_probe(self->tun, &packet, 500)) {
		ASSERT_LT(blocks++, 100);
		ASSERT_TRUE(object(self->tun, &packet, probed_block(&packet)));
	}
	ASSERT_EQ(0, pthread_join(binder.thread, NULL));
	EXPECT_EQ(EADDRNOTAVAIL, binder.error);
	EXPECT_EQ(8, blocks);
	/* The next call begins anew. */
	EXPECT_EQ(0, vmtp_bind_in(binder.fd, LOCAL, 0));
	close(binder.fd);
}

static void on_signal(int signal)
{
}

TEST_F(host, a_signal_ends_the_wait_for_objections)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct packet packet;
	struct binder binder;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_EQ(0, binder_start(&binder));
	ASSERT_TRUE(next_block_probe(self->tun, &packet, LONG_MS));
	ASSERT_EQ(0, pthread_kill(binder.thread, SIGUSR1));
	ASSERT_EQ(0, pthread_join(binder.thread, NULL));
	EXPECT_EQ(EINTR, binder.error);
	EXPECT_EQ(0, counter("BlocksTaken"));
	close(binder.fd);
}

/* Two that come at once have one block. */
TEST_F(host, all_who_wait_get_identifiers_of_one_block)
{
	struct binder binders[8];

	for (int i = 0; i < 8; i++)
		ASSERT_EQ(0, binder_start(&binders[i]));
	for (int i = 0; i < 8; i++) {
		ASSERT_EQ(0, pthread_join(binders[i].thread, NULL));
		ASSERT_EQ(0, binders[i].error);
		EXPECT_EQ(BLOCK(entity_of(binders[0].fd)), BLOCK(entity_of(binders[i].fd)));
		for (int j = 0; j < i; j++)
			EXPECT_NE(entity_of(binders[j].fd), entity_of(binders[i].fd));
	}
	EXPECT_EQ(1, counter("BlocksTaken"));
	for (int i = 0; i < 8; i++)
		close(binders[i].fd);
}

/* ---- Two domains ----------------------------------------------------------------------------------- */

/* Shows: 2.2-a */
TEST_F(host, one_identifier_in_two_domains_is_two_entities)
{
	__u64 entity = little_endian(100000, HOST);
	int fds[2] = { open_entity(entity), open_local(entity) };
	struct sockaddr_vmtp name;
	socklen_t length;
	struct packet packet, answer;
	struct vmtp_mcb mcb;

	ASSERT_GE(fds[0], 0);
	ASSERT_GE(fds[1], 0);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, fcntl(fds[i], F_SETFL, O_NONBLOCK));
		length = sizeof(name);
		ASSERT_EQ(0, getsockname(fds[i], (void *)&name, &length));
		EXPECT_EQ(i ? LOCAL : VMTP_DOMAIN_INTERNET, name.svmtp_domain);
	}
	/* The same Client and Transaction in both: neither is a duplicate of the other. */
	for (int i = 0; i < 2; i++) {
		request_packet(&packet, little_endian(200000, PEER), entity, 9);
		if (i)
			in_local(&packet);
		ASSERT_TRUE(send_packet(self->tun, &packet));
		EXPECT_EQ(0, vmtp_recvreq(fds[i], &mcb, NULL, 0, 0));
		EXPECT_ERRNO(EAGAIN, vmtp_recvreq(fds[!i], &mcb, NULL, 0, 0));
		/* Again, of each: each is a duplicate of its own. */
		ASSERT_TRUE(send_packet(self->tun, &packet));
		EXPECT_ERRNO(EAGAIN, vmtp_recvreq(fds[i], &mcb, NULL, 0, 0));
	}
	/* And each answers in its own domain. */
	for (int i = 0; i < 2; i++) {
		memset(&mcb, 0, sizeof(mcb));
		mcb.client = little_endian(200000, PEER);
		mcb.transaction = 9;
		vmtp_response(&mcb, VMTP_OK);
		drain(self->tun);
		ASSERT_EQ(0, vmtp_sendreply(fds[i], &mcb, NULL, 0));
		ASSERT_TRUE(receive_packet(self->tun, &answer, LONG_MS));
		EXPECT_TRUE(answer.control & C_RESPONSE);
		EXPECT_EQ(i ? LOCAL : VMTP_DOMAIN_INTERNET, domain_of(&answer));
	}
	/* One goes; the other stays. */
	close(fds[0]);
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, probed(self->tun, entity));
	probe_packet(&packet, MANAGED_CLIENT, entity, entity, 1, 77);
	in_local(&packet);
	ASSERT_TRUE(answer_of(self->tun, &packet, &answer, LONG_MS));
	EXPECT_EQ(VMTP_OK, answer.code);
	close(fds[1]);
}

TEST_F(host, a_socket_is_in_one_domain)
{
	struct sockaddr_vmtp name = {
		.svmtp_family = AF_VMTP, .svmtp_domain = LOCAL, .svmtp_entity = FAR,
	};
	int fd = open_entity(0), local_fd = open_local(0);
	__u64 own;

	EXPECT_ERRNO(EINVAL, connect(fd, (void *)&name, sizeof(name)));
	EXPECT_EQ(0, connect(local_fd, (void *)&name, sizeof(name)));
	name.svmtp_domain = 0;
	EXPECT_EQ(0, connect(fd, (void *)&name, sizeof(name)));
	name.svmtp_domain = 2;
	EXPECT_ERRNO(EINVAL, connect(fd, (void *)&name, sizeof(name)));
	close(fd);
	/* What is not bound yet becomes an entity of the domain that is named. */
	fd = vmtp_socket(0);
	name.svmtp_domain = LOCAL;
	ASSERT_EQ(0, connect(fd, (void *)&name, sizeof(name)));
	EXPECT_EQ(BLOCK(entity_of(local_fd)), BLOCK(entity_of(fd)));
	close(fd);
	close(local_fd);
	/* An identifier of its own choice is the administrator's there: none of it says that it is this host's. */
	ASSERT_EQ(0, syscall(SYS_setresuid, -1, 1000, -1));
	EXPECT_ERRNO(EACCES, open_local(little_endian(100000, HOST)));
	fd = open_local(0);
	EXPECT_GE(fd, 0);
	own = entity_of(fd);
	close(fd);
	/* But it may have again what it had. */
	fd = open_local(own);
	EXPECT_GE(fd, 0);
	close(fd);
	ASSERT_EQ(0, syscall(SYS_setresuid, -1, 0, -1));
}

/* Shows: III-0104-a */
TEST_F(host, the_host_says_that_it_is_in_both_domains)
{
	struct packet packet, answer;

	for (int i = 0; i < 2; i++) {
		manage_packet(&packet, VMTP_PROC_QUERY_VMTP_NODE, one(0));
		if (i)
			in_local(&packet);
		ASSERT_TRUE(answer_of(self->tun, &packet, &answer, LONG_MS));
		ASSERT_EQ(VMTP_OK, PROCEDURE(answer.code));
		EXPECT_EQ(2, answer.user[3]);
		EXPECT_EQ(1, answer.user[4]);
		ASSERT_EQ(12, answer.segment_size);
		EXPECT_EQ(1, get32(answer.data));
		EXPECT_EQ(3, get32(answer.data + 4));
		EXPECT_EQ(1, get32(answer.data + 8));
	}
}

/* Shows: D-14-a */
TEST_F(host, an_entity_whose_identifier_names_no_host_is_found_by_a_probe)
{
	int fd = open_local(0);
	struct packet packet, probe;
	struct vmtp_mcb mcb;

	ASSERT_GE(fd, 0);
	drain(self->tun);
	/* Its low 32 bits look like an address, and are none. */
	ASSERT_EQ(0, start_null(fd, VMTP_ENTITY_LEE | 0x0777777700000000ULL | OTHER));
	ASSERT_TRUE(receive_packet(self->tun, &probe, LONG_MS));
	ASSERT_TRUE(is_probe(&probe));
	EXPECT_EQ(MANAGERS, probe.destination);
	EXPECT_EQ(LOCAL, domain_of(&probe));
	response_packet(&packet, &probe, FAR);
	packet.source = PEER;
	in_local(&packet);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	EXPECT_EQ(PEER, packet.destination);
	EXPECT_EQ(LOCAL, domain_of(&packet));
	EXPECT_EQ(entity_of(fd), packet.client);
	response_packet(&probe, &packet, 0);
	in_local(&probe);
	ASSERT_TRUE(send_packet(self->tun, &probe));
	ASSERT_EQ(0, vmtp_getreply(fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
	close(fd);
}

/* Groups are of a domain, and so are their members. */
TEST_F(host, a_group_has_members_of_its_own_domain_only)
{
	struct vmtp_membership membership = { .group = GROUP };
	int fds[2] = { open_entity(0), open_local(0) };
	struct packet packet;
	struct vmtp_mcb mcb;

	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, setsockopt(fds[i], SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership)));
		ASSERT_EQ(0, fcntl(fds[i], F_SETFL, O_NONBLOCK));
	}
	for (int i = 0; i < 2; i++) {
		request_packet(&packet, little_endian(200000 + i, PEER), GROUP, 9);
		packet.destination = 0xE8BBCCDD;	/* 232.X.X.X of the discriminator, as in Domain 1 */
		packet.frame |= W_MPG;
		if (i)
			in_local(&packet);
		ASSERT_TRUE(send_packet(self->tun, &packet));
		EXPECT_EQ(0, vmtp_recvreq(fds[i], &mcb, NULL, 0, 0));
		EXPECT_ERRNO(EAGAIN, vmtp_recvreq(fds[!i], &mcb, NULL, 0, 0));
	}
	close(fds[0]);
	close(fds[1]);
}

/* ---- Three hosts ----------------------------------------------------------------------------------- */

FIXTURE(three)
{
	struct hosts hosts;
	int client;
	struct echo servers[3];
	__u64 entities[3];
};

static int open_local_at(const struct hosts *hosts, int host)
{
	int fd = hosts_enter(hosts, host) ? -1 : open_local(0);

	return hosts_enter(hosts, 0) ? -1 : fd;
}

FIXTURE_SETUP(three)
{
	ASSERT_EQ(0, hosts_make(&self->hosts, 3));
	for (int i = 0; i < 3; i++) {
		int fd = open_local_at(&self->hosts, i);

		ASSERT_GE(fd, 0);
		self->entities[i] = entity_of(fd);
		ASSERT_EQ(0, set_option(fd, VMTP_OPT_PROBE_CLIENTS, VMTP_PROBE_NEVER));
		ASSERT_EQ(0, echo_start(&self->servers[i], fd));
	}
	self->client = open_local_at(&self->hosts, 0);
	ASSERT_GE(self->client, 0);
}

FIXTURE_TEARDOWN(three)
{
	for (int i = 0; i < 3; i++)
		echo_stop(&self->servers[i]);
	close(self->client);
	hosts_end(&self->hosts);
}

/* Shows: 2.2-a */
TEST_F(three, hosts_that_know_nothing_of_each_other_have_different_blocks_and_find_each_other)
{
	unsigned char out[9000], in[9000];
	struct vmtp_mcb mcb;

	fill(out, sizeof(out), 3);
	for (int i = 0; i < 3; i++) {
		for (int j = 0; j < i; j++)
			EXPECT_NE(BLOCK(self->entities[i]), BLOCK(self->entities[j]));
		vmtp_request(&mcb, self->entities[i], APPLICATION);
		mcb.user[4] = 3;
		mcb.msg_delivery = sizeof(in);
		ASSERT_EQ(sizeof(in), vmtp_invoke(self->client, &mcb, out, sizeof(out), in, sizeof(in), 0));
		EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
		EXPECT_TRUE(is_filled(in, sizeof(in), 4));
		EXPECT_EQ(1, self->servers[i].served);
		EXPECT_EQ(0, self->servers[i].damaged);
	}
	/* Nobody else has such an entity. */
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, call_null(self->client, FAR));
}

TEST_F(three, a_group_of_the_domain_has_members_on_every_host)
{
	struct vmtp_membership membership = { .group = GROUP };
	__u64 answered[3] = { 0 };
	struct vmtp_mcb mcb;

	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, setsockopt(self->servers[i].fd, SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership)));
	vmtp_request(&mcb, GROUP, APPLICATION);
	mcb.code |= VMTP_MRD;
	ASSERT_EQ(0, vmtp_invoke(self->client, &mcb, NULL, 0, NULL, 0, 0));
	answered[0] = mcb.server;
	for (int i = 1; i < 3; i++) {
		ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
		answered[i] = mcb.server;
	}
	for (int i = 0; i < 3; i++)
		EXPECT_TRUE(answered[0] == self->entities[i] || answered[1] == self->entities[i] ||
			    answered[2] == self->entities[i]);
}

TEST_F(three, an_entity_of_the_domain_moves_and_is_found_again)
{
	unsigned char data[65536];
	struct vmtp_image image = {
		.data = (uintptr_t)data, .length = sizeof(data), .timeout = LONG_MS,
	};
	__u64 entity = self->entities[1];
	int old, fd;

	ASSERT_EQ(VMTP_OK, call_null(self->client, entity));
	old = dup(self->servers[1].fd);
	ASSERT_EQ(0, ioctl(old, VMTP_EXPORT, &image));
	ASSERT_EQ(0, hosts_enter(&self->hosts, 2));
	fd = vmtp_socket(0);
	image.length = image.used;
	ASSERT_EQ(0, ioctl(fd, VMTP_IMPORT, &image));
	ASSERT_EQ(0, hosts_enter(&self->hosts, 0));
	ASSERT_EQ(0, ioctl(old, VMTP_MOVED));
	close(old);
	echo_stop(&self->servers[1]);
	ASSERT_EQ(0, echo_start(&self->servers[1], fd));
	EXPECT_EQ(entity, entity_of(fd));
	EXPECT_EQ(VMTP_OK, call_null(self->client, entity));
	EXPECT_EQ(1, self->servers[1].served);
	EXPECT_EQ(entity, self->entities[1]);
}

TEST_HARNESS_MAIN
