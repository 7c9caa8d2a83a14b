// SPDX-License-Identifier: GPL-2.0
/*
 * The limits of net.vmtp are those of a network namespace: its domains share
 * them, and none of them can take what the other has.
 */
#include "wire.h"

#include "kselftest_harness.h"

#define INTERNET	VMTP_DOMAIN_INTERNET
#define LOCAL		VMTP_DOMAIN_LOCAL
#define SERVER		little_endian(100000, HOST)
#define CLIENT(n)	little_endian(200000 + (n), PEER)

FIXTURE(limits)
{
	int tun;
};

FIXTURE_SETUP(limits)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
}

FIXTURE_TEARDOWN(limits)
{
	close(self->tun);
}

static long number_in(const char *path, const char *format)
{
	FILE *file = fopen(path, "r");
	char line[128];
	long value = -1;

	while (file && value < 0 && fgets(line, sizeof(line), file))
		sscanf(line, format, &value);
	if (file)
		fclose(file);
	return value;
}

static long setting_of(const char *name)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/sys/net/vmtp/%s", name);
	return number_in(path, "%ld");
}

/* Root of this namespace may be anybody of the machine, whose memory it is. */
TEST_F(limits, a_namespace_of_ones_own_has_no_more_than_by_default)
{
	static const char *const limited[] = {
		"records_max", "paths_max", "places_max", "entities_max", "memberships_max", "members_max",
		"created_max", "groups_max",
	};
	long memory = number_in("/proc/meminfo", "MemTotal: %ld kB") << 10;

	for (int i = 0; i < 8; i++) {
		long most = setting_of(limited[i]);

		ASSERT_LT(0, most);
		EXPECT_ERRNO(EINVAL, setting(limited[i], most + 1));
		EXPECT_EQ(0, setting(limited[i], most - 1));
		EXPECT_EQ(0, setting(limited[i], most)) { TH_LOG("%s", limited[i]); }
	}
	/* Octets of a record, of a path and of a place. */
	EXPECT_GE(memory / 32, setting_of("records_max") * 1024 + setting_of("paths_max") * 1024 +
			       setting_of("places_max") * 512);
	/* What takes no memory is its administrator's affair. */
	EXPECT_EQ(0, setting("answers_per_second", 1000000));
	EXPECT_EQ(0, setting("packet_lifetime_ms", 3600000));
}

TEST_F(limits, entities_of_all_domains_are_counted_together)
{
	int fds[4];

	ASSERT_EQ(0, setting("entities_max", 4));
	for (int i = 0; i < 4; i++) {
		fds[i] = open_entity_in(i % 2 ? LOCAL : INTERNET, SERVER + ((__u64)i << 32));
		ASSERT_GE(fds[i], 0);
	}
	EXPECT_EQ(-1, open_entity_in(LOCAL, SERVER + (8ULL << 32)));
	EXPECT_EQ(ENOBUFS, errno);
	EXPECT_EQ(-1, open_entity_in(INTERNET, SERVER + (8ULL << 32)));
	EXPECT_EQ(ENOBUFS, errno);
	/* What one domain gives back the other may have. */
	close(fds[1]);
	fds[1] = open_entity_in(INTERNET, SERVER + (8ULL << 32));
	EXPECT_GE(fds[1], 0);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

TEST_F(limits, the_share_of_a_user_is_of_all_domains)
{
	int status, count = 0;
	pid_t child;

	ASSERT_EQ(0, setting("entities_max", 8));
	child = fork();
	if (!child) {
		if (setresgid(4711, 4711, 4711) || setresuid(4711, 4711, 4711))
			_exit(255);
		while (count < 8 && open_entity_in(count % 2 ? LOCAL : INTERNET, 0) >= 0)
			count++;
		_exit(errno == ENOBUFS ? count : 100 + errno);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(4, WEXITSTATUS(status));
}

static bool ask_in(int tun, __u16 domain, __u32 source, __u64 client)
{
	struct packet packet;

	request_packet(&packet, client, SERVER, 7);
	packet.source = source;
	packet.frame = (packet.frame & ~(0x1FFFU << W_DOMAIN)) | domain << W_DOMAIN;
	return send_packet(tun, &packet);
}

static int records(void)
{
	return lines_of("transactions");
}

TEST_F(limits, one_source_has_its_share_of_the_records_of_all_domains)
{
	int internet = open_entity_in(INTERNET, SERVER), local = open_entity_in(LOCAL, SERVER);

	ASSERT_GE(internet, 0);
	ASSERT_GE(local, 0);
	ASSERT_EQ(0, setting("records_max", 256));
	for (int i = 0; i < 100; i++) {
		ASSERT_TRUE(ask_in(self->tun, INTERNET, PEER, CLIENT(i)));
		ASSERT_TRUE(ask_in(self->tun, LOCAL, PEER, CLIENT(i)));
	}
	EXPECT_EQ(64, records());
	close(internet);
	close(local);
}

/* Each of them may have to be looked at for each of its packets. */
#define OF_ONE	256
#define SERVERS	300

static bool ask_servers(const FIXTURE_DATA(limits) *self, int *fds)
{
	struct packet packet;

	for (int i = 0; i < SERVERS; i++) {
		fds[i] = open_entity(SERVER + ((__u64)i << 32));
		request_packet(&packet, CLIENT(0), entity_of(fds[i]), 7 + i);
		if (fds[i] < 0 || !send_packet(self->tun, &packet))
			return false;
		if (i % 50 == 0)
			drain(self->tun);
	}
	return true;
}

TEST_F(limits, one_client_has_a_limited_number_of_records)
{
	int fds[SERVERS];

	ASSERT_TRUE(ask_servers(self, fds));
	EXPECT_EQ(OF_ONE, records());
	EXPECT_EQ(0, counter("RecordsEvicted"));
	EXPECT_EQ(SERVERS - OF_ONE, counter("DropNoRoom"));
	/* Others have theirs. */
	EXPECT_TRUE(ask_in(self->tun, INTERNET, PEER, CLIENT(1)));
	EXPECT_EQ(OF_ONE + 1, records());
	for (int i = 0; i < SERVERS; i++)
		close(fds[i]);
}

TEST_F(limits, the_oldest_that_may_go_of_a_client_makes_room)
{
	int fds[SERVERS];

	/* They wait for a Probe, and nothing has been executed. */
	ASSERT_EQ(0, setting("probe_clients", PROBE_ALWAYS));
	ASSERT_TRUE(ask_servers(self, fds));
	EXPECT_EQ(OF_ONE, records());
	EXPECT_EQ(SERVERS - OF_ONE, counter("RecordsEvicted"));
	EXPECT_EQ(0, counter("DropNoRoom"));
	for (int i = 0; i < SERVERS; i++)
		close(fds[i]);
}

TEST_F(limits, a_domain_that_is_flooded_leaves_the_other_room)
{
	int internet = open_entity_in(INTERNET, SERVER), local = open_entity_in(LOCAL, SERVER);
	struct vmtp_mcb mcb;

	ASSERT_GE(internet, 0);
	ASSERT_GE(local, 0);
	/* Forged Clients, that wait for their Probes. */
	ASSERT_EQ(0, setting("probe_clients", PROBE_ALWAYS));
	ASSERT_EQ(0, setting("records_max", 200));
	for (int i = 0; i < 400; i++) {
		ASSERT_TRUE(ask_in(self->tun, LOCAL, SOURCE(i), CLIENT(i)));
		if (i % 50 == 0)
			drain(self->tun);
	}
	EXPECT_EQ(200, records());
	EXPECT_EQ(200, counter("RecordsEvicted"));
	/* The table is full, and nothing in it is of Domain 1. */
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	for (int i = 0; i < 10; i++) {
		ASSERT_TRUE(ask_in(self->tun, INTERNET, PEER, CLIENT(1000 + i)));
		ASSERT_EQ(0, vmtp_recvreq(internet, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(CLIENT(1000 + i), mcb.client);
		vmtp_response(&mcb, VMTP_OK);
		ASSERT_EQ(0, vmtp_sendreply(internet, &mcb, NULL, 0));
	}
	EXPECT_EQ(200, records());
	EXPECT_EQ(210, counter("RecordsEvicted"));
	close(internet);
	close(local);
}

TEST_F(limits, hosts_known_in_all_domains_are_counted_together)
{
	int internet = open_entity_in(INTERNET, SERVER), local = open_entity_in(LOCAL, SERVER);
	struct vmtp_mcb mcb;

	ASSERT_GE(internet, 0);
	ASSERT_GE(local, 0);
	ASSERT_EQ(0, setting("paths_max", 8));
	ASSERT_EQ(0, setting("places_max", 8));
	for (int i = 0; i < 40; i++) {
		int fd = i % 2 ? local : internet;

		/* The Client is not where its identifier says. */
		ASSERT_TRUE(ask_in(self->tun, i % 2 ? LOCAL : INTERNET, SOURCE(i), CLIENT(i)));
		ASSERT_EQ(0, vmtp_recvreq(fd, &mcb, NULL, 0, LONG_MS));
	}
	EXPECT_EQ(8, lines_of("hosts"));
	EXPECT_EQ(8, lines_of("places"));
	close(internet);
	close(local);
}

static int records_after(int tun, long asked)
{
	for (long i = 0; i < asked; i++) {
		ask_in(tun, INTERNET, SOURCE(i), CLIENT(i));
		if (i % 50 == 0)
			drain(tun);
	}
	return records();
}

/*
 * They are charged to nobody, and anybody can make namespaces: what one may have they have together. The last test: its
 * namespaces go a while after it.
 */
TEST_F(limits, namespaces_share_what_one_of_them_may_have)
{
	int first = open_entity(SERVER), second, tun, here, there;
	long most = setting_of("records_max");

	ASSERT_GE(first, 0);
	/* However slow the machine is, none goes by itself meanwhile. */
	ASSERT_EQ(0, setting("packet_lifetime_ms", 3600000));
	here = records_after(self->tun, most);
	EXPECT_LT(most * 3 / 4, here);
	EXPECT_GE(most, here);
	ASSERT_GE(namespace_make(), 0);
	tun = link_make(1500);
	ASSERT_GE(tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	second = open_entity(SERVER);
	ASSERT_GE(second, 0);
	/* Some it has in any case. */
	there = records_after(tun, 300);
	EXPECT_LE(64, there);
	EXPECT_GE(most + 64, here + there);
	close(second);
	close(tun);
	close(first);
}

TEST_HARNESS_MAIN
