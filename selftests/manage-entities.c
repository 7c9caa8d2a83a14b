// SPDX-License-Identifier: GPL-2.0
/*
 * The manager of a host (RFC 1045, III): the procedures about nodes and
 * entities, invoked by a peer that is not the module and by sockets of the host.
 */
#include "manage.h"

#include "kselftest_harness.h"

#define SERVER		little_endian(100000, HOST)
#define ANOTHER		little_endian(100001, HOST)
#define UNKNOWN		little_endian(199999, HOST)
#define USER		1000

FIXTURE(host)
{
	int tun, server, other;
};

FIXTURE_SETUP(host)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->server = open_entity(SERVER);
	ASSERT_GE(self->server, 0);
	ASSERT_EQ(0, fcntl(self->server, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_PROBE_CLIENTS, VMTP_PROBE_NEVER));
	self->other = open_entity_as(USER, 0);
	ASSERT_GE(self->other, 0);
}

FIXTURE_TEARDOWN(host)
{
	close(self->server);
	close(self->other);
	close(self->tun);
}

/* ---- Nodes ----------------------------------------------------------------------------------------- */

/* Shows: III-a 2.10-a */
TEST_F(host, coresident_entity_0_is_the_local_manager)
{
	struct packet packet;
	struct vmtp_mcb mcb;
	unsigned char domains[64];
	long octets;

	drain(self->tun);
	ASSERT_EQ(VMTP_OK, local_with(self->other, VMTP_PROC_QUERY_VMTP_NODE, one(0), NULL, 0, &mcb, domains,
				      sizeof(domains), &octets));
	EXPECT_EQ(12, octets);
	EXPECT_EQ(1, get32(domains));
	/* Its own entity and that of another user of this host are here as well. */
	EXPECT_EQ(VMTP_OK, local(self->other, VMTP_PROC_QUERY_VMTP_NODE, one(SERVER)));
	EXPECT_FALSE(receive_packet(self->tun, &packet, 50));

	/* That of an entity elsewhere is asked there. */
	vmtp_request(&mcb, VMTP_MANAGER_GROUP, PROC(QUERY_VMTP_NODE));
	mcb.code = VMTP_PROC_QUERY_VMTP_NODE;
	mcb.coresident = little_endian(300000, OTHER);
	ASSERT_EQ(0, start(self->other, &mcb, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	EXPECT_EQ(OTHER, packet.destination);
	EXPECT_EQ(VMTP_MANAGER_GROUP, packet.server);
	EXPECT_EQ(VMTP_PROC_QUERY_VMTP_NODE, packet.code);
	ASSERT_EQ(0, ioctl(self->other, VMTP_ABORT));
	drain(self->tun);

	/* Those of a group's members, and all of them, by multicast. */
	mcb.coresident = VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP | 0x0001234500000000ULL | HOST;
	ASSERT_EQ(0, start(self->other, &mcb, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	EXPECT_EQ(VMTP_MANAGER_GROUP, packet.server);
	EXPECT_EQ(VMTP_PROC_QUERY_VMTP_NODE, packet.code);
	EXPECT_EQ(MANAGERS, packet.destination);
	ASSERT_EQ(0, ioctl(self->other, VMTP_ABORT));
	drain(self->tun);
	mcb.code &= ~VMTP_CRE;
	ASSERT_EQ(0, start(self->other, &mcb, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	EXPECT_EQ(MANAGERS, packet.destination);
}

/* Shows: III-0104-a III-0104-b III-0104-c D-16-a II-a */
TEST_F(host, a_node_tells_what_it_can_do)
{
	struct packet answer;

	ASSERT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_QUERY_VMTP_NODE, one(SERVER), &answer));
	EXPECT_EQ(1500, answer.user[0]);
	EXPECT_EQ(1 | 2, answer.user[1]);
	EXPECT_EQ(1, answer.user[2]);
	/* Domains 1 and 3, then the authentication domain. */
	EXPECT_EQ(2, answer.user[3]);
	EXPECT_EQ(1, answer.user[4]);
	EXPECT_TRUE(answer.code & VMTP_SDA);
	EXPECT_EQ(12, answer.segment_size);
	EXPECT_EQ(1, get32(answer.data));
	EXPECT_EQ(3, get32(answer.data + 4));
	EXPECT_EQ(1, get32(answer.data + 8));
	ASSERT_EQ(0, setting("streaming", 0));
	ASSERT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_QUERY_VMTP_NODE, one(0), &answer));
	EXPECT_EQ(0, answer.user[1]);
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, remote(self->tun, VMTP_PROC_QUERY_VMTP_NODE, one(UNKNOWN), NULL));
}

/* Shows: III-0103-a IV.4-b IV.4-e */
TEST_F(host, a_block_of_identifiers_is_objected_to_if_one_of_them_is_or_was_in_use)
{
	__u64 block = SERVER & ~0xFFULL, free_block = block + 0x100000;
	struct packet request, answer;

	/* By multicast and by unicast, and whatever the low 8 bits are: they are the low octet of the address. */
	for (int i = 0; i < 3; i++) {
		manage_packet(&request, VMTP_PROC_PROBE_ENTITY_BLOCK, one(i == 2 ? SERVER + 7 : block));
		request.client = VMTP_DEFAULT_BECLIENT;
		request.destination = i ? MANAGERS : HOST;
		ASSERT_TRUE(answer_of(self->tun, &request, &answer, LONG_MS));
		EXPECT_EQ(VMTP_OK, answer.code);
		EXPECT_EQ(request.user[0], answer.user[0]);
		EXPECT_EQ(request.user[1], answer.user[1]);
	}
	manage_packet(&request, VMTP_PROC_PROBE_ENTITY_BLOCK, one(free_block));
	EXPECT_FALSE(answer_of(self->tun, &request, &answer, 100));
	/* It was in use lately. */
	close(self->server);
	manage_packet(&request, VMTP_PROC_PROBE_ENTITY_BLOCK, one(block));
	EXPECT_TRUE(answer_of(self->tun, &request, &answer, LONG_MS));
}

/* ---- Entities -------------------------------------------------------------------------------------- */

static __u64 created(const struct vmtp_mcb *mcb)
{
	return (__u64)mcb->user[0] << 32 | mcb->user[1];
}

/* Shows: III-0106-a III-0107-a */
TEST_F(host, an_entity_is_created_found_and_deleted)
{
	struct packet request, answer;
	struct vmtp_mcb mcb;
	__u64 made;
	int fd;

	ASSERT_EQ(VMTP_OK, local_with(self->other, VMTP_PROC_CREATE_ENTITY, one(0), NULL, 0, &mcb, NULL, 0, NULL));
	made = created(&mcb);
	EXPECT_EQ(HOST, (__u32)made);
	EXPECT_EQ(VMTP_OK, probed(self->tun, made));
	ASSERT_EQ(VMTP_OK, local_with(self->other, VMTP_PROC_CREATE_ENTITY, one(SERVER), NULL, 0, &mcb, NULL, 0, NULL));
	EXPECT_NE(made, created(&mcb));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, local(self->other, VMTP_PROC_CREATE_ENTITY, one(UNKNOWN)));

	EXPECT_EQ(VMTP_OK, local(self->other, VMTP_PROC_DELETE_ENTITY, one(made)));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, probed(self->tun, made));
	request_packet(&request, MANAGED_CLIENT, made, 7);
	drain(self->tun);
	ASSERT_TRUE(send_packet(self->tun, &request));
	ASSERT_TRUE(receive_packet(self->tun, &answer, 0));
	ASSERT_TRUE(is_notify_client(&answer));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, notify_client_of(&answer).code);
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, local(self->other, VMTP_PROC_DELETE_ENTITY, one(made)));

	/* A socket of its user may become the other. */
	made = created(&mcb);
	fd = open_entity_as(USER + 1, made);
	EXPECT_EQ(-1, fd);
	fd = open_entity_as(USER, made);
	EXPECT_GE(fd, 0);
	close(fd);
}

/* Shows: III-0107-a III-0107-c */
TEST_F(host, a_deleted_entity_is_gone_whatever_its_socket_does)
{
	struct packet request, answer;
	struct vmtp_mcb mcb;
	int error = 0, fd;
	socklen_t length = sizeof(error);

	EXPECT_EQ(VMTP_NO_PERMISSION, local(self->other, VMTP_PROC_DELETE_ENTITY, one(SERVER)));
	EXPECT_EQ(VMTP_OK, probed(self->tun, SERVER));
	/* The superuser, and whoever has its principal. */
	fd = open_entity_as(USER, ANOTHER);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(VMTP_OK, local(self->other, VMTP_PROC_DELETE_ENTITY, one(ANOTHER)));
	close(fd);
	fd = open_entity(0);
	EXPECT_EQ(VMTP_OK, local(fd, VMTP_PROC_DELETE_ENTITY, one(SERVER)));
	close(fd);
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, probed(self->tun, SERVER));
	request_packet(&request, MANAGED_CLIENT, SERVER, 7);
	drain(self->tun);
	ASSERT_TRUE(send_packet(self->tun, &request));
	ASSERT_TRUE(receive_packet(self->tun, &answer, 0));
	ASSERT_TRUE(is_notify_client(&answer));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, notify_client_of(&answer).code);

	EXPECT_TRUE(ready(self->server) & (POLLERR | POLLHUP));
	ASSERT_EQ(0, getsockopt(self->server, SOL_SOCKET, SO_ERROR, &error, &length));
	EXPECT_EQ(EIDRM, error);
	EXPECT_ERRNO(ESHUTDOWN, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_ERRNO(EPIPE, start_null(self->server, little_endian(300000, PEER)));
}

static long invoke_server(void *fd)
{
	return call_null(*(int *)fd, SERVER);
}

static long get_reply(void *fd)
{
	struct vmtp_mcb mcb;

	return vmtp_getreply(*(int *)fd, &mcb, NULL, 0, LONG_MS);
}

TEST_F(host, whoever_waits_for_a_transaction_of_a_deleted_entity_is_told)
{
	struct waiter invoking, starting, getting;
	int first = open_entity(0), second = open_entity(0), admin = open_entity(0);
	struct vmtp_mcb mcb;

	ASSERT_TRUE(waiter_start(&invoking, invoke_server, &first));
	ASSERT_TRUE(waiter_start(&starting, invoke_server, &first));
	ASSERT_EQ(0, start_null(second, SERVER));
	ASSERT_TRUE(waiter_start(&getting, get_reply, &second));
	EXPECT_EQ(VMTP_OK, local(admin, VMTP_PROC_DELETE_ENTITY, one(entity_of(first))));
	EXPECT_EQ(VMTP_OK, local(admin, VMTP_PROC_DELETE_ENTITY, one(entity_of(second))));
	EXPECT_EQ(ECANCELED, waiter_end(&invoking));
	EXPECT_EQ(EPIPE, waiter_end(&starting));
	EXPECT_EQ(ECANCELED, waiter_end(&getting));
	/* The two Requests, and none that was started afterwards. */
	EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_ERRNO(EAGAIN, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	close(first);
	close(second);
	close(admin);
}

/* Shows: III-0108-a */
TEST_F(host, an_entity_is_described_in_as_many_octets_as_are_wanted)
{
	struct packet answer;

	ASSERT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_QUERY_ENTITY, with(one(SERVER), 6, 512), &answer));
	EXPECT_TRUE(answer.code & VMTP_SDA);
	ASSERT_EQ(48, answer.segment_size);
	EXPECT_EQ(SERVER, get64(answer.data));
	EXPECT_EQ((__u64)HOST << 32 | getpid(), get64(answer.data + 8));
	EXPECT_EQ((__u64)HOST << 32 | getuid(), get64(answer.data + 16));
	EXPECT_EQ((__u64)HOST << 32 | geteuid(), get64(answer.data + 24));
	EXPECT_EQ(0, get32(answer.data + 36));
	EXPECT_EQ(128, get32(answer.data + 40));
	EXPECT_EQ(0, get32(answer.data + 44));
	ASSERT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_QUERY_ENTITY, with(one(SERVER), 6, 16), &answer));
	EXPECT_EQ(16, answer.segment_size);
	EXPECT_EQ((__u64)HOST << 32 | getpid(), get64(answer.data + 8));
	ASSERT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_QUERY_ENTITY, with(one(SERVER), 6, 0), &answer));
	EXPECT_EQ(0, answer.code & VMTP_SDA);
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_PRIVATE, 1));
	EXPECT_EQ(VMTP_NO_PERMISSION, remote(self->tun, VMTP_PROC_QUERY_ENTITY, with(one(SERVER), 6, 512), &answer));
	EXPECT_EQ(0, answer.octets);
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, remote(self->tun, VMTP_PROC_QUERY_ENTITY, with(one(UNKNOWN), 6, 512), NULL));
}

/* Shows: III-0109-a III-0107-c */
TEST_F(host, a_signal_reaches_the_entitys_process)
{
	sigset_t wanted;
	struct timespec limit = { .tv_sec = 20 };

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGUSR2);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &wanted, NULL));
	EXPECT_EQ(VMTP_NO_PERMISSION, local(self->other, VMTP_PROC_SIGNAL_ENTITY, with(one(SERVER), 2, SIGUSR2)));
	EXPECT_EQ(VMTP_NO_PERMISSION, remote(self->tun, VMTP_PROC_SIGNAL_ENTITY, with(one(SERVER), 2, SIGUSR2), NULL));
	EXPECT_EQ(-1, sigtimedwait(&wanted, NULL, &(struct timespec){ 0 }));
	EXPECT_EQ(VMTP_OK, local(self->other, VMTP_PROC_SIGNAL_ENTITY, with(one(entity_of(self->other)), 2, SIGUSR2)));
	EXPECT_EQ(SIGUSR2, sigtimedwait(&wanted, NULL, &limit));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, local(self->other, VMTP_PROC_SIGNAL_ENTITY, with(one(UNKNOWN), 2, SIGUSR2)));
	EXPECT_EQ(VMTP_VMTP_ERROR,
		  local(self->other, VMTP_PROC_SIGNAL_ENTITY, with(one(entity_of(self->other)), 2, 1000)));
	ASSERT_EQ(0, setting("remote_management", 1));
	EXPECT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_SIGNAL_ENTITY, with(one(SERVER), 2, SIGUSR2), NULL));
	EXPECT_EQ(SIGUSR2, sigtimedwait(&wanted, NULL, &limit));
}

/* Whoever may make IP packets has the right to any source, not to be any entity of the host. */
TEST_F(host, a_packet_from_the_hosts_own_address_has_no_rights_unless_the_module_sent_it)
{
	int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_VMTP);
	int root = open_entity(ANOTHER), named = open_entity(0);
	struct sockaddr_in host = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(HOST) };
	struct packet request;
	struct octets octets;
	sigset_t wanted;

	ASSERT_GE(raw, 0);
	ASSERT_GE(root, 0);
	ASSERT_GE(named, 0);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGUSR2);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &wanted, NULL));
	ASSERT_EQ(0, bind(raw, (struct sockaddr *)&host, sizeof(host)));
	manage_packet(&request, VMTP_PROC_SIGNAL_ENTITY, with(one(entity_of(self->other)), 2, SIGUSR2));
	request.client = entity_of(named);
	encode(&request, &octets);
	ASSERT_EQ((ssize_t)octets.length,
		  sendto(raw, octets.at, octets.length, 0, (struct sockaddr *)&host, sizeof(host)));
	/* The manager takes one after another: this is done after that. */
	ASSERT_EQ(VMTP_OK, local(root, VMTP_PROC_CREATE_ENTITY, one(0)));
	EXPECT_EQ(-1, sigtimedwait(&wanted, NULL, &(struct timespec){ 0 }));
	EXPECT_EQ(VMTP_OK, local(root, VMTP_PROC_SIGNAL_ENTITY, with(one(entity_of(self->other)), 2, SIGUSR2)));
	EXPECT_EQ(SIGUSR2, sigtimedwait(&wanted, NULL, &(struct timespec){ .tv_sec = 20 }));
	close(raw);
	close(root);
	close(named);
}

/* Who has made a namespace may let other hosts manage what is in it, but not processes that are not his. */
TEST(who_trusts_a_host_gives_it_no_more_rights_than_his_own)
{
	int made[2], space, tun, server, status;
	char octet, path[64];
	sigset_t wanted;
	pid_t child;

	ASSERT_EQ(0, pipe(made));
	child = fork();
	if (!child) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) || open_entity(ANOTHER) < 0 || write(made[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	ASSERT_EQ(1, read(made[0], &octet, 1));
	snprintf(path, sizeof(path), "/proc/%d/ns/net", child);
	space = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(space, 0);
	ASSERT_EQ(0, setns(space, CLONE_NEWNET));
	tun = link_make(1500);
	ASSERT_GE(tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	ASSERT_EQ(0, setting("remote_management", 1));
	server = open_entity(SERVER);
	ASSERT_GE(server, 0);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGUSR2);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &wanted, NULL));
	EXPECT_EQ(VMTP_NO_PERMISSION, remote(tun, VMTP_PROC_SIGNAL_ENTITY, with(one(SERVER), 2, SIGUSR2), NULL));
	EXPECT_EQ(-1, sigtimedwait(&wanted, NULL, &(struct timespec){ 0 }));
	EXPECT_EQ(VMTP_OK, remote(tun, VMTP_PROC_SIGNAL_ENTITY, with(one(ANOTHER), 2, SIGKILL), NULL));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(server);
	close(tun);
}

/* What kill(2) would not send is not sent for the asking: the process was its user's, and is the superuser's now. */
TEST_F(host, a_signal_wants_the_rights_that_kill_wants)
{
	sigset_t wanted;
	struct timespec limit = { .tv_sec = 20 };
	int asker, asked, root;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGUSR2);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &wanted, NULL));
	ASSERT_EQ(0, syscall(SYS_setresuid, USER, USER, 0));
	asker = open_entity(0);
	asked = open_entity(0);
	ASSERT_EQ(0, syscall(SYS_setresuid, 0, 0, 0));
	root = open_entity(0);
	ASSERT_GE(asker, 0);
	ASSERT_GE(asked, 0);
	ASSERT_GE(root, 0);
	EXPECT_EQ(VMTP_NO_PERMISSION,
		  local(asker, VMTP_PROC_SIGNAL_ENTITY, with(one(entity_of(asked)), 2, SIGUSR2)));
	EXPECT_EQ(-1, sigtimedwait(&wanted, NULL, &(struct timespec){ 0 }));
	EXPECT_EQ(VMTP_OK, local(root, VMTP_PROC_SIGNAL_ENTITY, with(one(entity_of(asked)), 2, SIGUSR2)));
	EXPECT_EQ(SIGUSR2, sigtimedwait(&wanted, NULL, &limit));
	close(asker);
	close(asked);
	close(root);
}

/* A server has its Clients' Requests, and not their rights: what it passes on to the manager is its own word. */
TEST_F(host, a_server_has_no_rights_of_its_clients)
{
	static const __u32 codes[] = { VMTP_PROC_DELETE_ENTITY, VMTP_PROC_SIGNAL_ENTITY, VMTP_PROC_CREATE_ENTITY };
	struct packet request, answer;
	struct vmtp_mcb mcb;
	__u64 manager;
	int root = open_entity(ANOTHER);

	ASSERT_GE(root, 0);
	manage_packet(&request, VMTP_PROC_QUERY_VMTP_NODE, one(SERVER));
	ASSERT_TRUE(answer_of(self->tun, &request, &answer, LONG_MS));
	manager = answer.server;
	/* The superuser itself may. */
	EXPECT_EQ(VMTP_OK, local(root, VMTP_PROC_CREATE_ENTITY, one(0)));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, start_null(root, entity_of(self->other)));
		ASSERT_EQ(0, vmtp_recvreq(self->other, &mcb, NULL, 0, LONG_MS));
		mcb.code = codes[i];
		mcb.coresident = SERVER;
		mcb.user[0] = SIGUSR2;
		ASSERT_EQ(0, vmtp_forward(self->other, &mcb, manager, NULL, 0));
		ASSERT_EQ(0, vmtp_getreply(root, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(VMTP_NO_PERMISSION, vmtp_code(&mcb)) { TH_LOG("0x%08x", codes[i]); }
		EXPECT_EQ(VMTP_OK, probed(self->tun, SERVER));
	}
	close(root);
}

/* ---- Services -------------------------------------------------------------------------------------- */

/* Shows: III-010E-a III-010E-d III-010E-e I-e */
TEST_F(host, the_queue_of_an_entity_is_as_long_as_was_set)
{
	struct vmtp_mcb mcb;
	int root = open_entity(0);

	ASSERT_EQ(VMTP_OK, local_with(root, VMTP_PROC_MODIFY_SERVICE, service(SERVER, 0, 2), NULL, 0, &mcb, NULL, 0, NULL));
	EXPECT_EQ(2, mcb.user[0]);
	EXPECT_EQ(-1, told(self->tun, SERVER, 400001));
	EXPECT_EQ(-1, told(self->tun, SERVER, 400002));
	EXPECT_EQ(VMTP_BUSY, told(self->tun, SERVER, 400003));
	/* Up by one, and below one it does not go by steps. */
	ASSERT_EQ(VMTP_OK, local_with(root, VMTP_PROC_MODIFY_SERVICE, service(SERVER, INCREMENTAL, 1), NULL, 0, &mcb, NULL,
				      0, NULL));
	EXPECT_EQ(3, mcb.user[0]);
	EXPECT_EQ(-1, told(self->tun, SERVER, 400003));
	ASSERT_EQ(VMTP_OK, local_with(root, VMTP_PROC_MODIFY_SERVICE, service(SERVER, INCREMENTAL, -9), NULL, 0, &mcb, NULL,
				      0, NULL));
	EXPECT_EQ(1, mcb.user[0]);
	/* What waits stays. */
	EXPECT_EQ(VMTP_BUSY, told(self->tun, SERVER, 400004));
	EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_EQ(little_endian(400001, PEER), mcb.client);

	/* 0 ends all: two that wait, and one that is handled. */
	drain(self->tun);
	ASSERT_EQ(VMTP_OK, local(root, VMTP_PROC_MODIFY_SERVICE, service(SERVER, 0, 0)));
	for (int i = 0; i < 3; i++) {
		struct packet packet;

		ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
		EXPECT_TRUE(is_notify_client(&packet));
		EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, notify_client_of(&packet).code);
	}
	EXPECT_ERRNO(ENOTCONN, vmtp_sendreply(self->server, &mcb, NULL, 0));
	EXPECT_EQ(VMTP_NO_PERMISSION, told(self->tun, SERVER, 400005));
	ASSERT_EQ(VMTP_OK, local(root, VMTP_PROC_MODIFY_SERVICE, service(SERVER, 0, 8)));
	EXPECT_EQ(-1, told(self->tun, SERVER, 400006));
	close(root);
}

/* Shows: III-010E-c 5.8.1-c III-0107-c */
TEST_F(host, what_is_demanded_of_clients_can_be_changed)
{
	struct packet packet;
	int root = open_entity(0);

	EXPECT_EQ(VMTP_NO_PERMISSION, local(self->other, VMTP_PROC_MODIFY_SERVICE, service(SERVER, SECURE, 8)));
	EXPECT_EQ(VMTP_NO_PERMISSION, remote(self->tun, VMTP_PROC_MODIFY_SERVICE, service(SERVER, SECURE, 8), NULL));
	ASSERT_EQ(VMTP_OK, local(root, VMTP_PROC_MODIFY_SERVICE, service(SERVER, SECURE, 8)));
	EXPECT_EQ(VMTP_SECURITY_REQUIRED, told(self->tun, SERVER, 400001));
	ASSERT_EQ(VMTP_OK, local(root, VMTP_PROC_MODIFY_SERVICE, service(SERVER, AUTHENTICATED, 8)));
	request_packet(&packet, little_endian(400002, PEER), SERVER, 7);
	drain(self->tun);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	EXPECT_TRUE(is_probe(&packet));
	ASSERT_EQ(VMTP_OK, local(root, VMTP_PROC_MODIFY_SERVICE, service(SERVER, 0, 8)));
	EXPECT_EQ(-1, told(self->tun, SERVER, 400003));
	EXPECT_EQ(VMTP_VMTP_ERROR, local(root, VMTP_PROC_MODIFY_SERVICE, service(SERVER, 0x10, 8)));
	close(root);
}

/* ---- Arguments that cannot be -------------------------------------------------------------------------- */

static const struct {
	__u32 code;
	const char *name;
	bool segment;	/* it may have one */
	int words;	/* of parameters */
} procedures[] = {
	{ VMTP_PROC_PROBE_ENTITY, "ProbeEntity", false, 5 },
	{ VMTP_PROC_AUTH_PROBE_ENTITY, "AuthProbeEntity", false, 6 },
	{ VMTP_PROC_PROBE_ENTITY_BLOCK, "ProbeEntityBlock", false, 2 },
	{ VMTP_PROC_QUERY_VMTP_NODE, "QueryVMTPNode", false, 2 },
	{ VMTP_PROC_GET_REQUEST_FORWARDER, "GetRequestForwarder", false, 4 },
	{ VMTP_PROC_CREATE_ENTITY, "CreateEntity", false, 2 },
	{ VMTP_PROC_DELETE_ENTITY, "DeleteEntity", false, 2 },
	{ VMTP_PROC_QUERY_ENTITY, "QueryEntity", false, 7 },
	{ VMTP_PROC_SIGNAL_ENTITY, "SignalEntity", false, 3 },
	{ VMTP_PROC_CREATE_GROUP, "CreateGroup", false, 7 },
	{ VMTP_PROC_ADD_TO_GROUP, "AddToGroup", false, 7 },
	{ VMTP_PROC_REMOVE_FROM_GROUP, "RemoveFromGroup", false, 6 },
	{ VMTP_PROC_QUERY_GROUP, "QueryGroup", false, 2 },
	{ VMTP_PROC_MODIFY_SERVICE, "ModifyService", true, 5 },
	{ VMTP_PROC_NOTIFY_CLIENT, "NotifyVmtpClient", false, 7 },
	{ VMTP_PROC_NOTIFY_SERVER, "NotifyVmtpServer", false, 7 },
	{ VMTP_PROC_NOTIFY_REMOTE_CLIENT, "NotifyRemoteVmtpClient", false, 7 },
};
#define PROCEDURES (sizeof(procedures) / sizeof(procedures[0]))

/*
 * For every procedure: a segment that takes the word of a parameter, one of 16 KiB that nobody asked for, packets cut at
 * every word, and words of nonsense. The host survives, says nothing to a Notify, and never OK to what was cut.
 */
TEST_F(host, nonsense_gets_an_error_or_nothing)
{
	struct packet request, answer;
	struct octets octets;

	for (size_t i = 0; i < PROCEDURES; i++) {
		bool notify = procedures[i].code & VMTP_DGM;

		/* SegmentSize is a parameter: with a segment there is no such Request. */
		manage_packet(&request, procedures[i].code, two(SERVER, SERVER));
		memset(request.data, 0x5A, 16);
		request.octets = 16;
		request.code |= VMTP_SDA;
		request.segment_size = 16;
		request.delivery = 1;
		drain(self->tun);
		ASSERT_TRUE(send_packet(self->tun, &request));
		if (receive_packet(self->tun, &answer, notify ? 50 : LONG_MS)) {
			EXPECT_FALSE(notify) { TH_LOG("%s is answered", procedures[i].name); }
			if (procedures[i].words == 7) {
				EXPECT_EQ(VMTP_VMTP_ERROR, PROCEDURE(answer.code)) { TH_LOG("%s", procedures[i].name); }
			}
		} else {
			EXPECT_TRUE(notify || procedures[i].code == VMTP_PROC_PROBE_ENTITY_BLOCK) {
				TH_LOG("%s with a segment is not answered", procedures[i].name);
			}
		}
		/* Cut: the length does not agree. */
		manage_packet(&request, procedures[i].code, two(SERVER, SERVER));
		for (size_t length = 0; length < OVERHEAD; length += 4) {
			encode(&request, &octets);
			octets.length = length;
			ASSERT_TRUE(send_octets(self->tun, &octets));
			EXPECT_FALSE(receive_packet(self->tun, &answer, 0));
		}
		/* Larger than any group. */
		manage_packet(&request, procedures[i].code, two(SERVER, SERVER));
		request.code |= VMTP_SDA;
		request.segment_size = 0x7FFFFFFF;
		request.delivery = 1;
		request.octets = 512;
		ASSERT_TRUE(send_packet(self->tun, &request));
		while (receive_packet(self->tun, &answer, notify ? 0 : 20)) {
			EXPECT_FALSE((answer.control & C_RESPONSE) && answer.code == VMTP_OK && answer.user[0]) {
				TH_LOG("%s", procedures[i].name);
			}
		}
		/* Words of nonsense, from which nothing that is not there can come. */
		for (__u32 seed = 0; seed < 32; seed++) {
			struct words words;

			fill((unsigned char *)&words, sizeof(words), seed * 64 + i);
			manage_packet(&request, procedures[i].code, words);
			request.destination = seed & 1 ? MANAGERS : HOST;
			ASSERT_TRUE(send_packet(self->tun, &request));
			while (receive_packet(self->tun, &answer, 0)) {
				EXPECT_FALSE(notify) { TH_LOG("%s is answered", procedures[i].name); }
			}
		}
	}
	/* It is all there still. */
	EXPECT_EQ(VMTP_OK, probed(self->tun, SERVER));
	EXPECT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_QUERY_VMTP_NODE, one(SERVER), NULL));
}

/* Shows: III-0107-c */
TEST_F(host, another_host_changes_nothing_unless_it_is_trusted)
{
	static const __u32 codes[] = {
		VMTP_PROC_CREATE_ENTITY, VMTP_PROC_DELETE_ENTITY, VMTP_PROC_SIGNAL_ENTITY, VMTP_PROC_MODIFY_SERVICE,
	};
	struct packet first, second, request;

	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(VMTP_NO_PERMISSION, remote(self->tun, codes[i], one(SERVER), NULL)) {
			TH_LOG("0x%08x", codes[i]);
		}
	}
	EXPECT_EQ(VMTP_OK, probed(self->tun, SERVER));
	ASSERT_EQ(0, setting("remote_management", 1));
	/* Executed once, however often it comes. */
	manage_packet(&request, VMTP_PROC_CREATE_ENTITY, one(SERVER));
	ASSERT_TRUE(answer_of(self->tun, &request, &first, LONG_MS));
	ASSERT_TRUE(answer_of(self->tun, &request, &second, LONG_MS));
	EXPECT_EQ(VMTP_OK, first.code);
	EXPECT_EQ(first.user[0], second.user[0]);
	EXPECT_EQ(first.user[1], second.user[1]);
	EXPECT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_DELETE_ENTITY, one(SERVER), NULL));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, probed(self->tun, SERVER));
}

TEST_F(host, entities_without_a_socket_are_limited)
{
	ASSERT_EQ(0, setting("created_max", 3));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(VMTP_OK, local(self->other, VMTP_PROC_CREATE_ENTITY, one(0)));
	}
	EXPECT_EQ(VMTP_BUSY, local(self->other, VMTP_PROC_CREATE_ENTITY, one(0)));
}

/* The Client of a nested call is no entity of CreateEntity, and is not counted as one when it is deleted. */
TEST_F(host, deleting_the_client_of_a_nested_call_leaves_the_count_as_it_is)
{
	static unsigned char segment[40000];
	struct vmtp_mcb request, nested;
	int client = open_entity(ANOTHER);

	ASSERT_GE(client, 0);
	vmtp_request(&request, entity_of(self->other), APPLICATION);
	ASSERT_EQ(0, start(client, &request, segment, sizeof(segment)));
	ASSERT_EQ((long)sizeof(segment),
		  vmtp_recvreq(self->other, &request, segment, sizeof(segment), LONG_MS));
	ASSERT_EQ(0, vmtp_forward(self->other, &request, SERVER, segment, sizeof(segment)));
	ASSERT_TRUE(comes(self->server, POLLIN, LONG_MS));
	ASSERT_EQ((long)sizeof(segment),
		  vmtp_recvreq(self->server, &nested, segment, sizeof(segment), LONG_MS));
	ASSERT_NE(request.client, nested.client);
	EXPECT_EQ(VMTP_OK, local(self->other, VMTP_PROC_DELETE_ENTITY, one(nested.client)));
	EXPECT_EQ(VMTP_OK, local(self->other, VMTP_PROC_CREATE_ENTITY, one(0)));
	close(client);
}

/* ---- At once ----------------------------------------------------------------------------------------- */

/* Shows: IV.4-f */
TEST_F(host, a_probe_is_answered_at_once_when_every_queue_is_full)
{
	struct packet probe, answer;

	for (__u32 client = 400000; told(self->tun, SERVER, client) != VMTP_BUSY; client++)
		ASSERT_LT(client, 410000);
	probe_packet(&probe, PEER_MANAGER, SERVER, SERVER, 1, 99);
	drain(self->tun);
	ASSERT_TRUE(send_packet(self->tun, &probe));
	/* Within the system call that brought it. */
	ASSERT_TRUE(receive_packet(self->tun, &answer, 0));
	EXPECT_EQ(VMTP_OK, answer.code);
}

/* Shows: VII.5-a */
TEST_F(host, the_kernel_answers_for_an_entity_whose_owner_does_not_run)
{
	__u64 entity = little_endian(100100, HOST);
	struct packet answer;
	int pipes[2], status, root;
	pid_t owner;
	char octet;

	ASSERT_EQ(0, pipe(pipes));
	owner = fork();
	if (!owner) {
		if (open_entity(entity) < 0 || write(pipes[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ASSERT_EQ(1, read(pipes[0], &octet, 1));
	ASSERT_EQ(0, kill(owner, SIGSTOP));
	ASSERT_EQ(owner, waitpid(owner, &status, WUNTRACED));
	ASSERT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_PROBE_ENTITY, with(two(entity, entity), 4, 1), &answer));
	EXPECT_EQ(owner, answer.user[2]);
	EXPECT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_QUERY_ENTITY, with(one(entity), 6, 48), &answer));
	root = open_entity(0);
	EXPECT_EQ(VMTP_OK, local(root, VMTP_PROC_DELETE_ENTITY, one(entity)));
	close(root);
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, probed(self->tun, entity));
	kill(owner, SIGKILL);
	waitpid(owner, &status, 0);
	close(pipes[0]);
	close(pipes[1]);
}

/* Shows: D-19-a */
TEST_F(host, principals_are_those_of_whoever_opened_the_socket)
{
	__u64 entity = entity_of(self->other);
	struct packet answer;

	ASSERT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_PROBE_ENTITY, with(two(entity, entity), 4, 1), &answer));
	EXPECT_EQ(HOST, answer.user[1]);
	EXPECT_EQ(getpid(), answer.user[2]);
	/* Opened by the superuser with the rights of another. */
	EXPECT_EQ(HOST, answer.user[3]);
	EXPECT_EQ(0, answer.user[4]);
	EXPECT_EQ(HOST, answer.msg_delivery);
	EXPECT_EQ(USER, answer.segment_size);
}

TEST_HARNESS_MAIN
