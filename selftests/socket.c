// SPDX-License-Identifier: GPL-2.0
/*
 * The calls on an AF_VMTP socket, each with what it refuses and by which
 * errno: making one, names, options. The RFC's calls are in socket-calls.c, what
 * waits is in socket-wait.c.
 */
#include "host.h"

#include "kselftest_harness.h"

#define OWN		0x7F000001U	/* 127.0.0.1 */
#define FOREIGN		0x0A090807U
#define NOBODY		65534

FIXTURE(host)
{
	int fd;
};

FIXTURE_SETUP(host)
{
	ASSERT_GE(namespace_make(), 0);
	self->fd = vmtp_socket(0);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(host)
{
	close(self->fd);
}

static struct sockaddr_vmtp name_of(__u64 entity)
{
	return (struct sockaddr_vmtp){ .svmtp_family = AF_VMTP, .svmtp_entity = entity };
}

static int bind_name(int fd, const struct sockaddr_vmtp *name, socklen_t length)
{
	return bind(fd, (const struct sockaddr *)name, length);
}

static int connect_name(int fd, const struct sockaddr_vmtp *name, socklen_t length)
{
	return connect(fd, (const struct sockaddr *)name, length);
}

static int int_option(int fd, int level, int option)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(fd, level, option, &value, &length) ? -1 : value;
}

/* ---- socket ------------------------------------------------------------------ */

/* Shows: VIII-a */
TEST_F(host, a_socket_is_of_this_family_type_and_protocol_and_no_other)
{
	int pair[2], protocols[] = { 0, IPPROTO_VMTP };

	for (int i = 0; i < 2; i++) {
		int fd = socket(AF_VMTP, SOCK_TRANSACT, protocols[i]);

		ASSERT_GE(fd, 0);
		EXPECT_EQ(AF_VMTP, int_option(fd, SOL_SOCKET, SO_DOMAIN));
		EXPECT_EQ(SOCK_TRANSACT, int_option(fd, SOL_SOCKET, SO_TYPE));
		EXPECT_EQ(IPPROTO_VMTP, int_option(fd, SOL_SOCKET, SO_PROTOCOL));
		close(fd);
	}
	EXPECT_ERRNO(ESOCKTNOSUPPORT, socket(AF_VMTP, SOCK_STREAM, 0));
	EXPECT_ERRNO(ESOCKTNOSUPPORT, socket(AF_VMTP, SOCK_DGRAM, 0));
	EXPECT_ERRNO(ESOCKTNOSUPPORT, socket(AF_VMTP, SOCK_SEQPACKET, IPPROTO_VMTP));
	EXPECT_ERRNO(EPROTONOSUPPORT, socket(AF_VMTP, SOCK_TRANSACT, IPPROTO_UDP));
	EXPECT_ERRNO(EOPNOTSUPP, socketpair(AF_VMTP, SOCK_TRANSACT, 0, pair));
	EXPECT_ERRNO(EOPNOTSUPP, listen(self->fd, 1));
	EXPECT_ERRNO(EOPNOTSUPP, accept(self->fd, NULL, NULL));
}

/* ---- bind -------------------------------------------------------------------- */

/* Shows: D-10-a */
TEST_F(host, bind_refuses_what_is_no_name)
{
	struct sockaddr_vmtp name = name_of(little_endian(100000, OWN));
	struct sockaddr_vmtp bad;

	EXPECT_ERRNO(EINVAL, bind_name(self->fd, &name, VMTP_SOCKADDR_MIN - 1));
	EXPECT_ERRNO(EINVAL, bind_name(self->fd, &name, 0));
	EXPECT_ERRNO(EFAULT, bind(self->fd, (void *)8, sizeof(name)));

	bad = name;
	bad.svmtp_family = AF_INET;
	EXPECT_ERRNO(EAFNOSUPPORT, bind_name(self->fd, &bad, sizeof(bad)));
	bad = name;
	bad.svmtp_domain = 2;
	EXPECT_ERRNO(EINVAL, bind_name(self->fd, &bad, sizeof(bad)));
	bad = name;
	bad.svmtp_reserved = 1;
	EXPECT_ERRNO(EINVAL, bind_name(self->fd, &bad, sizeof(bad)));
	bad = name;
	bad.svmtp_entity |= VMTP_ENTITY_RES;
	EXPECT_ERRNO(EINVAL, bind_name(self->fd, &bad, sizeof(bad)));
	bad = name;
	bad.svmtp_entity |= VMTP_ENTITY_GROUP;
	EXPECT_ERRNO(EINVAL, bind_name(self->fd, &bad, sizeof(bad)));
	bad = name;
	bad.svmtp_host.family = AF_INET6;
	EXPECT_ERRNO(EAFNOSUPPORT, bind_name(self->fd, &bad, sizeof(bad)));
	bad = name;
	bad.svmtp_host.family = AF_INET;
	bad.svmtp_host.address[15] = 1;
	EXPECT_ERRNO(EINVAL, bind_name(self->fd, &bad, sizeof(bad)));

	/* None of them has changed anything. */
	EXPECT_EQ(0, entity_of(self->fd));
	EXPECT_EQ(0, bind_name(self->fd, &name, VMTP_SOCKADDR_MIN));
	EXPECT_EQ(name.svmtp_entity, entity_of(self->fd));
}

/* Shows: 2.1-a */
TEST_F(host, one_identifier_is_one_socket_as_long_as_that_is_open)
{
	__u64 entity = little_endian(100000, OWN);
	int other = vmtp_socket(0);

	ASSERT_EQ(0, vmtp_bind(self->fd, entity));
	EXPECT_ERRNO(EADDRINUSE, vmtp_bind(other, entity));
	EXPECT_EQ(0, entity_of(other));
	/* Another type is another entity. */
	EXPECT_EQ(0, vmtp_bind(other, entity & ~VMTP_ENTITY_LEE));
	close(self->fd);
	self->fd = open_entity(entity);
	EXPECT_GE(self->fd, 0);
	close(other);
}

/* Shows: VIII-b */
TEST_F(host, a_socket_is_bound_once)
{
	__u64 entity = little_endian(100000, OWN);

	ASSERT_EQ(0, vmtp_bind(self->fd, entity));
	EXPECT_ERRNO(EINVAL, vmtp_bind(self->fd, entity));
	EXPECT_ERRNO(EINVAL, vmtp_bind(self->fd, entity + (1ULL << 32)));
	EXPECT_ERRNO(EINVAL, vmtp_bind(self->fd, 0));
	EXPECT_EQ(entity, entity_of(self->fd));
}

/* Shows: D-11-a */
TEST_F(host, bind_0_gives_an_identifier_of_this_host_and_byte_order)
{
	__u64 seen[64];

	for (int i = 0; i < 64; i++) {
		int fd = vmtp_socket(0);

		ASSERT_EQ(0, vmtp_bind(fd, 0));
		seen[i] = entity_of(fd);
		EXPECT_EQ(VMTP_ENTITY_LEE, seen[i] & 0xF000000000000000ULL);
		EXPECT_EQ(OWN, vmtp_entity_address(seen[i]));
		close(fd);
		/* Not even after it was closed is one given again. */
		for (int j = 0; j < i; j++) {
			EXPECT_NE(seen[j], seen[i]);
		}
	}
}

/* Shows: D-12-a */
TEST_F(host, a_socket_that_sends_unbound_is_bound_by_it)
{
	EXPECT_EQ(0, entity_of(self->fd));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, call_null(self->fd, little_endian(100001, OWN)));
	EXPECT_EQ(VMTP_ENTITY_LEE, entity_of(self->fd) & 0xF000000000000000ULL);
	EXPECT_EQ(OWN, vmtp_entity_address(entity_of(self->fd)));
	EXPECT_ERRNO(EINVAL, vmtp_bind(self->fd, 0));
}

TEST_F(host, getsockname_is_cut_to_the_room_there_is)
{
	struct sockaddr_vmtp name;
	socklen_t length = VMTP_SOCKADDR_MIN;

	ASSERT_EQ(0, vmtp_bind(self->fd, little_endian(100000, OWN)));
	memset(&name, 0xAA, sizeof(name));
	ASSERT_EQ(0, getsockname(self->fd, (struct sockaddr *)&name, &length));
	EXPECT_EQ(sizeof(name), length);
	EXPECT_EQ(AF_VMTP, name.svmtp_family);
	EXPECT_EQ(VMTP_DOMAIN_INTERNET, name.svmtp_domain);
	EXPECT_EQ(0, name.svmtp_reserved);
	EXPECT_EQ(little_endian(100000, OWN), name.svmtp_entity);
	EXPECT_EQ(0xAAAA, name.svmtp_host.family);
	length = sizeof(name);
	ASSERT_EQ(0, getsockname(self->fd, (struct sockaddr *)&name, &length));
	EXPECT_EQ(0, name.svmtp_host.family);
}

/* The rest of the test as an unprivileged process. */
static bool become_nobody(void)
{
	return !syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) && !syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY);
}

TEST_F(host, the_unprivileged_bind_only_this_hosts_identifiers_above_the_reserved)
{
	int foreign = vmtp_socket(0), low = vmtp_socket(0), after;

	/* Who may do it all. */
	ASSERT_EQ(0, vmtp_bind(low, little_endian(65535, OWN)));
	ASSERT_EQ(0, vmtp_bind(foreign, little_endian(65536, FOREIGN)));
	close(low);
	close(foreign);
	after = vmtp_socket(0);
	ASSERT_TRUE(become_nobody());
	low = vmtp_socket(0);
	ASSERT_GE(low, 0);
	EXPECT_ERRNO(EACCES, vmtp_bind(low, little_endian(65535, OWN)));
	EXPECT_ERRNO(EACCES, vmtp_bind(low, little_endian(1, OWN)));
	EXPECT_ERRNO(EACCES, vmtp_bind(low, little_endian(65536, FOREIGN)));
	EXPECT_ERRNO(EACCES, vmtp_bind(low, little_endian(65536, 0)));
	EXPECT_ERRNO(EACCES, vmtp_bind(low, little_endian(65536, 0xE0000100)));
	EXPECT_ERRNO(EACCES, vmtp_bind(after, little_endian(65536, FOREIGN)));
	EXPECT_EQ(0, vmtp_bind(low, little_endian(65536, OWN)));
	EXPECT_EQ(0, vmtp_bind(after, 0));
}

TEST_F(host, the_first_identifier_of_the_unprivileged_is_a_setting)
{
	ASSERT_EQ(0, setting("unprivileged_discriminator", 1000));
	ASSERT_TRUE(become_nobody());
	EXPECT_ERRNO(EACCES, vmtp_bind(self->fd, little_endian(999, OWN)));
	EXPECT_EQ(0, vmtp_bind(self->fd, little_endian(1000, OWN)));
}

/* ---- connect ------------------------------------------------------------------ */

TEST_F(host, connect_names_the_default_server_and_unspec_takes_it_back)
{
	struct sockaddr_vmtp server = name_of(little_endian(100001, OWN)), got = { };
	struct sockaddr none = { .sa_family = AF_UNSPEC };
	socklen_t length = sizeof(got);
	struct echo echo;

	ASSERT_EQ(0, echo_start(&echo, open_entity(server.svmtp_entity)));
	EXPECT_ERRNO(ENOTCONN, getpeername(self->fd, (struct sockaddr *)&got, &length));
	EXPECT_ERRNO(EDESTADDRREQ, call_null(self->fd, 0));
	EXPECT_ERRNO(EDESTADDRREQ, send(self->fd, "", 1, 0));

	ASSERT_EQ(0, connect_name(self->fd, &server, sizeof(server)));
	ASSERT_EQ(0, getpeername(self->fd, (struct sockaddr *)&got, &length));
	EXPECT_EQ(server.svmtp_entity, got.svmtp_entity);
	EXPECT_EQ(VMTP_OK, call_null(self->fd, 0));

	ASSERT_EQ(0, connect(self->fd, &none, sizeof(none)));
	EXPECT_ERRNO(ENOTCONN, getpeername(self->fd, (struct sockaddr *)&got, &length));
	EXPECT_ERRNO(EDESTADDRREQ, call_null(self->fd, 0));
	/* What it has got it keeps. */
	EXPECT_EQ(VMTP_OK, call_null(self->fd, server.svmtp_entity));
	echo_stop(&echo);
}

TEST_F(host, connect_refuses_what_is_no_server)
{
	struct sockaddr_vmtp name = name_of(0);
	socklen_t length = sizeof(name);

	EXPECT_ERRNO(EINVAL, connect_name(self->fd, &name, sizeof(name)));
	name.svmtp_entity = little_endian(1, OWN) | VMTP_ENTITY_RES;
	EXPECT_ERRNO(EINVAL, connect_name(self->fd, &name, sizeof(name)));
	name.svmtp_entity = little_endian(1, OWN);
	name.svmtp_family = AF_INET;
	EXPECT_ERRNO(EAFNOSUPPORT, connect_name(self->fd, &name, sizeof(name)));
	name.svmtp_family = AF_VMTP;
	EXPECT_ERRNO(EINVAL, connect_name(self->fd, &name, 8));
	EXPECT_ERRNO(ENOTCONN, getpeername(self->fd, (struct sockaddr *)&name, &length));
}

/* ---- Options ------------------------------------------------------------------- */

static const struct {
	int option, usual, least, most;
} numbers[] = {
	{ VMTP_OPT_RETRIES, 5, 0, 255 },
	{ VMTP_OPT_RESPONSE_RETRIES, 5, 0, 255 },
	{ VMTP_OPT_TIMELIMIT, 0, 0, 0x7FFFFFFF },
	{ VMTP_OPT_PRIORITY, 0, 0, 15 },
	{ VMTP_OPT_IDEMPOTENT, 0, 0, 1 },
	{ VMTP_OPT_CHECKSUM, VMTP_CHECKSUM_FULL, VMTP_CHECKSUM_NONE, VMTP_CHECKSUM_FULL },
	{ VMTP_OPT_CHECKSUM_REQUIRED, 0, 0, 1 },
	{ VMTP_OPT_REQUEST_QUEUE, 128, 1, 65536 },
	{ VMTP_OPT_RESPONSE_QUEUE, 64, 1, 1024 },
	{ VMTP_OPT_STREAM, 0, 0, 1 },
	{ VMTP_OPT_MULTICAST_TTL, 1, 0, 255 },
	{ VMTP_OPT_MULTICAST_LOOP, 1, 0, 1 },
	{ VMTP_OPT_GROUP_RESPONSES, 0, 0, 1 },
	{ VMTP_OPT_RECEIVE, VMTP_RECEIVE_ANY, VMTP_RECEIVE_ANY, VMTP_RECEIVE_RESPONSES },
	{ VMTP_OPT_GAP, 0, 0, 255 },
	{ VMTP_OPT_PROBE_CLIENTS, VMTP_PROBE_HOST, VMTP_PROBE_HOST, VMTP_PROBE_NEVER },
	{ VMTP_OPT_PRIVATE, 0, 0, 1 },
};

TEST_F(host, every_number_option_has_its_default_and_its_range)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		int option = numbers[i].option, least = numbers[i].least, most = numbers[i].most;

		EXPECT_EQ(numbers[i].usual, get_option(self->fd, option)) { TH_LOG("option %d", option); }
		EXPECT_EQ(0, set_option(self->fd, option, least)) { TH_LOG("option %d", option); }
		EXPECT_EQ(least, get_option(self->fd, option));
		EXPECT_EQ(0, set_option(self->fd, option, most)) { TH_LOG("option %d", option); }
		EXPECT_EQ(most, get_option(self->fd, option));
		EXPECT_ERRNO(EINVAL, set_option(self->fd, option, least - 1));
		if (most != 0x7FFFFFFF) {
			EXPECT_ERRNO(EINVAL, set_option(self->fd, option, most + 1));
		}
		EXPECT_EQ(most, get_option(self->fd, option)) { TH_LOG("a refused value changed option %d", option); }
	}
}

TEST_F(host, options_refuse_what_is_no_option)
{
	socklen_t length = sizeof(int);
	char three[3] = { 1, 0, 0 };
	int value = 1;

	EXPECT_ERRNO(ENOPROTOOPT, set_option(self->fd, 0, 1));
	EXPECT_ERRNO(ENOPROTOOPT, set_option(self->fd, 999, 1));
	EXPECT_ERRNO(ENOPROTOOPT, get_option(self->fd, 999));
	EXPECT_ERRNO(ENOPROTOOPT, setsockopt(self->fd, IPPROTO_UDP, 1, &value, sizeof(value)));
	EXPECT_ERRNO(ENOPROTOOPT, getsockopt(self->fd, IPPROTO_UDP, 1, &value, &length));
	EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_RETRIES, three, sizeof(three)));
	EXPECT_ERRNO(EFAULT, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_RETRIES, (void *)8, sizeof(int)));
	EXPECT_ERRNO(EFAULT, getsockopt(self->fd, SOL_VMTP, VMTP_OPT_RETRIES, (void *)8, &length));
	EXPECT_ERRNO(EFAULT, getsockopt(self->fd, SOL_VMTP, VMTP_OPT_RETRIES, &value, (void *)8));
	EXPECT_EQ(5, get_option(self->fd, VMTP_OPT_RETRIES));
	length = 2;
	EXPECT_EQ(0, getsockopt(self->fd, SOL_VMTP, VMTP_OPT_RETRIES, three, &length));
	EXPECT_EQ(2, length);
	EXPECT_EQ(0, three[2]);
}

TEST_F(host, groups_are_joined_once_and_left_once)
{
	struct vmtp_membership group = { .group = vmtp_entity(VMTP_ENTITY_GROUP, 7, 0xE0000105) };
	struct vmtp_membership single = { .group = little_endian(7, OWN) };

	group.interface = if_nametoindex("lo");
	EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_JOIN, &single, sizeof(single)));
	EXPECT_ERRNO(EINVAL, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_JOIN, &group, sizeof(group) - 1));
	EXPECT_ERRNO(EADDRNOTAVAIL, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_LEAVE, &group, sizeof(group)));
	EXPECT_EQ(0, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_JOIN, &group, sizeof(group)));
	EXPECT_ERRNO(EADDRINUSE, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_JOIN, &group, sizeof(group)));
	EXPECT_EQ(0, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_LEAVE, &group, sizeof(group)));
	EXPECT_ERRNO(EADDRNOTAVAIL, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_LEAVE, &group, sizeof(group)));
	EXPECT_EQ(0, setsockopt(self->fd, SOL_VMTP, VMTP_OPT_JOIN, &group, sizeof(group)));
}

TEST_F(host, what_is_known_of_a_peer_can_be_asked)
{
	struct vmtp_peer_info info = { .entity = little_endian(100001, OWN) };
	socklen_t length = sizeof(info);

	ASSERT_EQ(0, getsockopt(self->fd, SOL_VMTP, VMTP_OPT_PEER, &info, &length));
	EXPECT_EQ(sizeof(info), length);
	EXPECT_EQ(AF_INET, info.host.family);
	EXPECT_EQ(OWN, ntohl(*(__be32 *)info.host.address));
	EXPECT_GE(info.mtu, 552);
	length = 4;
	EXPECT_ERRNO(EINVAL, getsockopt(self->fd, SOL_VMTP, VMTP_OPT_PEER, &info, &length));
}

TEST_HARNESS_MAIN
