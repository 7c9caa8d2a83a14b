// SPDX-License-Identifier: GPL-2.0
/*
 * The options of a socket, for a peer that is not the module: what of them is
 * seen in packets, and what a socket takes of those that come.
 */
#include "wire.h"
#include "message.h"

#include <linux/filter.h>
#include <linux/sock_diag.h>

#include "kselftest_harness.h"

#define HERE	little_endian(200000, HOST)
#define THERE	little_endian(300000, PEER)
#define CODE_AT	32	/* of the code in a packet: where a filter looks */

FIXTURE(peer)
{
	int tun, fd;
	unsigned char segment[VMTP_GROUP_SIZE], got[VMTP_GROUP_SIZE];
};

FIXTURE_SETUP(peer)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->fd = open_entity(HERE);
	ASSERT_GE(self->fd, 0);
	fill(self->segment, sizeof(self->segment), 1);
}

FIXTURE_TEARDOWN(peer)
{
	close(self->fd);
	close(self->tun);
}

static bool asked(int tun, int fd, struct packet *request)
{
	return !start_null(fd, THERE) && receive_packet(tun, request, LONG_MS) &&
	       !(request->control & C_RESPONSE) && request->server == THERE;
}

static bool answer(int tun, const struct packet *request, __u32 code)
{
	struct packet packet;

	response_packet(&packet, request, 0);
	packet.code = code;
	return send_packet(tun, &packet);
}

static bool ask(int tun, __u64 client, __u32 transaction, __u32 code)
{
	struct packet packet;

	request_packet(&packet, client, HERE, transaction);
	packet.code = code;
	return send_packet(tun, &packet);
}

static int sol_socket(int fd, int option, int value)
{
	return setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value));
}

/* Octets of packets that wait in the socket. */
static __u32 receive_memory(int fd)
{
	__u32 memory[SK_MEMINFO_VARS] = { };
	socklen_t length = sizeof(memory);

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) ? ~0U : memory[SK_MEMINFO_RMEM_ALLOC];
}

/* ---- Packets that are sent -------------------------------------------------------- */

/* Shows: 4.1-b */
TEST_F(peer, the_time_to_live_of_unicast_packets_is_the_sockets)
{
	struct packet request;

	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_TTL, 7));
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	EXPECT_EQ(7, request.ttl);
	ASSERT_EQ(0, vmtp_abort(self->fd));
	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_TTL, 0));
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	EXPECT_EQ(64, request.ttl);
}

/* Shows: 4.1-b */
TEST_F(peer, the_time_to_live_of_multicast_packets_is_another)
{
	__u64 group = vmtp_entity(VMTP_ENTITY_GROUP, 7, 0xE0000105);
	struct packet request;

	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_TTL, 7));
	ASSERT_EQ(0, start_null(self->fd, group));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	EXPECT_EQ(group, request.server);
	EXPECT_EQ(1, request.ttl);
	ASSERT_EQ(0, vmtp_abort(self->fd));
	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_MULTICAST_TTL, 9));
	ASSERT_EQ(0, start_null(self->fd, group));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	EXPECT_EQ(9, request.ttl);
}

TEST_F(peer, a_request_asks_for_the_gap_of_the_option)
{
	struct packet request;

	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	EXPECT_EQ(0, request.control >> C_GAP & 0xFF);
	ASSERT_EQ(0, vmtp_abort(self->fd));
	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_GAP, 200));
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	EXPECT_EQ(200, request.control >> C_GAP & 0xFF);
}

/* What a rule of the firewall has counted. */
static long counted(const char *what)
{
	char command[128], line[256];
	long packets = -1;
	FILE *list;

	snprintf(command, sizeof(command), "nft list chain ip t out | grep '%s'", what);
	list = popen(command, "r");
	if (fgets(line, sizeof(line), list) && strstr(line, "packets "))
		packets = atol(strstr(line, "packets ") + 8);
	pclose(list);
	return packets;
}

TEST_F(peer, packets_have_the_mark_and_the_priority_of_the_socket)
{
	struct packet request;

	ASSERT_EQ(0, system("modprobe nf_tables; nft -f - <<'.'\n"
			    "table ip t {\n"
			    "  chain out {\n"
			    "    type filter hook output priority 0;\n"
			    "    ip protocol 81 meta mark 0x2a counter\n"
			    "    ip protocol 81 meta priority 0:5 counter\n"
			    "  }\n"
			    "}\n.\n"));
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	EXPECT_EQ(0, counted("mark"));
	EXPECT_EQ(0, counted("priority 0:5"));
	ASSERT_EQ(0, vmtp_abort(self->fd));
	ASSERT_EQ(0, sol_socket(self->fd, SO_MARK, 42));
	ASSERT_EQ(0, sol_socket(self->fd, SO_PRIORITY, 5));
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	/* Or more: on a slow machine it is sent again meanwhile. */
	EXPECT_GE(counted("mark"), 1);
	EXPECT_GE(counted("priority 0:5"), 1);
}

TEST_F(peer, a_mark_leads_to_another_route)
{
	struct packet request;

	ASSERT_EQ(0, system("ip rule add fwmark 9 table 9 && ip route add unreachable 10.81.0.0/24 table 9"));
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	ASSERT_EQ(0, vmtp_abort(self->fd));
	ASSERT_EQ(0, sol_socket(self->fd, SO_MARK, 9));
	start_null(self->fd, THERE);
	EXPECT_FALSE(receive_packet(self->tun, &request, 100));
}

/* ---- Packets that come --------------------------------------------------------------- */

TEST_F(peer, a_socket_bound_to_an_interface_hears_nothing_from_another)
{
	struct vmtp_mcb mcb;
	struct packet packet;

	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	ASSERT_TRUE(ask(self->tun, THERE, 1, APPLICATION));
	EXPECT_ERRNO(EAGAIN, vmtp_recvreq(self->fd, &mcb, NULL, 0, 50));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	EXPECT_TRUE(is_notify_client(&packet));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, notify_client_of(&packet).code);
	/* It is heard by its own interface. */
	ASSERT_EQ(0, setsockopt(self->fd, SOL_SOCKET, SO_BINDTODEVICE, "tun0", 5));
	ASSERT_TRUE(ask(self->tun, THERE, 2, APPLICATION));
	EXPECT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
}

/* Takes packets of this code and no others. */
static int filter_code(int fd, __u32 code)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, CODE_AT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, code, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0xFFFFFFFF),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = { .len = sizeof(program) / sizeof(*program), .filter = program };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
}

/* Shows: I-e */
TEST_F(peer, a_request_that_the_filter_refuses_is_no_permission)
{
	struct vmtp_mcb mcb;
	struct packet packet;

	ASSERT_EQ(0, filter_code(self->fd, APPLICATION + 1));
	ASSERT_TRUE(ask(self->tun, THERE, 1, APPLICATION));
	EXPECT_ERRNO(EAGAIN, vmtp_recvreq(self->fd, &mcb, NULL, 0, 50));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	EXPECT_TRUE(is_notify_client(&packet));
	EXPECT_EQ(VMTP_NO_PERMISSION, notify_client_of(&packet).code);
	EXPECT_EQ(1, counter("DropFiltered"));
	ASSERT_TRUE(ask(self->tun, THERE, 2, APPLICATION + 1));
	ASSERT_EQ(0, vmtp_recvreq(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(APPLICATION + 1, mcb.code);
}

TEST_F(peer, a_response_that_the_filter_refuses_has_not_come)
{
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, filter_code(self->fd, APPLICATION + 1));
	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	ASSERT_TRUE(answer(self->tun, &request, APPLICATION));
	EXPECT_EQ(0, ready(self->fd) & POLLIN);
	EXPECT_EQ(1, counter("DropFiltered"));
	EXPECT_FALSE(receive_packet(self->tun, &request, 0));
	/* The transaction goes on as after any loss. */
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	ASSERT_TRUE(answer(self->tun, &request, APPLICATION + 1));
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(APPLICATION + 1, mcb.code);
}

/* One message, received with a stamp of this kind; the stamp in nanoseconds, 0 if there is none. */
static __u64 stamp(int fd, int type)
{
	struct envelope in;
	const void *found;
	char octet;

	if (recvmsg(fd, envelope_in(&in, &octet, 1), 0) < 0)
		return 0;
	found = envelope_find(&in, SOL_SOCKET, type);
	if (!found)
		return 0;
	if (type == SO_TIMESTAMP) {
		struct timeval time;

		memcpy(&time, found, sizeof(time));
		return time.tv_sec * 1000000000ULL + time.tv_usec * 1000ULL;
	} else {
		struct timespec time;

		memcpy(&time, found, sizeof(time));
		return time.tv_sec * 1000000000ULL + time.tv_nsec;
	}
}

static __u64 real_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

/*
 * The kernel begins to stamp what arrives in a work item, some time after the first socket has asked for it
 * (net_enable_timestamp()); until then a packet is stamped when it is received. Returns a socket of UDP, which as long
 * as it is open has it stamp, when that has begun; -1 if there is none.
 */
static int stamping_begin(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(name);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	__u64 sent;

	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) || sol_socket(fd, SO_TIMESTAMPNS, 1) ||
	    getsockname(fd, (struct sockaddr *)&name, &length) || connect(fd, (struct sockaddr *)&name, length))
		return -1;
	do {
		if (send(fd, "", 1, 0) != 1)
			return -1;
		sent = real_time() + 1000000;
		usleep(50000);
	} while (stamp(fd, SO_TIMESTAMPNS) > sent);
	return fd;
}

TEST_F(peer, packets_are_stamped_as_they_come)
{
	int types[] = { SO_TIMESTAMP, SO_TIMESTAMPNS };
	struct packet request;
	int stamping = stamping_begin();

	ASSERT_GE(stamping, 0);
	for (int i = 0; i < 2; i++) {
		__u64 before, after, at;

		ASSERT_EQ(0, sol_socket(self->fd, types[i], 1));
		before = real_time() - 1000;
		ASSERT_TRUE(ask(self->tun, THERE, 10 + i, APPLICATION));
		after = real_time() + 1000000;
		usleep(50000);	/* when it is received does not matter */
		at = stamp(self->fd, types[i]);
		EXPECT_LE(before, at);
		EXPECT_GE(after, at);

		ASSERT_TRUE(asked(self->tun, self->fd, &request));
		before = real_time() - 1000;
		ASSERT_TRUE(answer(self->tun, &request, VMTP_OK));
		after = real_time() + 1000000;
		usleep(50000);
		at = stamp(self->fd, types[i]);
		EXPECT_LE(before, at);
		EXPECT_GE(after, at);
		ASSERT_EQ(0, sol_socket(self->fd, types[i], 0));
	}
	ASSERT_TRUE(ask(self->tun, THERE, 20, APPLICATION));
	EXPECT_EQ(0, stamp(self->fd, SO_TIMESTAMP));
	close(stamping);
}

TEST_F(peer, so_rxq_ovfl_tells_how_many_found_no_room)
{
	struct envelope in;
	const void *found;
	__u32 drops = 0;
	char octet;

	ASSERT_EQ(0, sol_socket(self->fd, SO_RXQ_OVFL, 1));
	ASSERT_EQ(0, set_option(self->fd, VMTP_OPT_REQUEST_QUEUE, 1));
	ASSERT_TRUE(ask(self->tun, THERE, 1, APPLICATION));
	for (int i = 1; i <= 3; i++) {
		ASSERT_TRUE(ask(self->tun, THERE + ((__u64)i << 32), 1, APPLICATION));
	}
	ASSERT_EQ(0, recvmsg(self->fd, envelope_in(&in, &octet, 1), 0));
	EXPECT_EQ(NULL, envelope_find(&in, SOL_SOCKET, SO_RXQ_OVFL));
	ASSERT_TRUE(ask(self->tun, THERE + (9ULL << 32), 1, APPLICATION));
	ASSERT_EQ(0, recvmsg(self->fd, envelope_in(&in, &octet, 1), 0));
	found = envelope_find(&in, SOL_SOCKET, SO_RXQ_OVFL);
	ASSERT_NE(NULL, found);
	memcpy(&drops, found, sizeof(drops));
	EXPECT_EQ(3, drops);
}

/* Who has no room for the whole control block sees no code: a failure must not look like a Response without data. */
TEST_F(peer, a_failure_is_an_error_for_who_cannot_see_its_code)
{
	unsigned char control[CMSG_SPACE(sizeof(struct vmtp_mcb))];
	static const size_t rooms[] = { 0, CMSG_LEN(16), CMSG_LEN(sizeof(struct vmtp_mcb)) - 1,
					CMSG_LEN(sizeof(struct vmtp_mcb)) };
	struct packet request, told;
	char octet;

	for (int i = 0; i < 4; i++) {
		struct iovec data = { .iov_base = &octet, .iov_len = 1 };
		struct msghdr message = {
			.msg_iov = &data,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = rooms[i],
		};

		ASSERT_TRUE(asked(self->tun, self->fd, &request));
		notify_client_packet(&told, request.client, C_RESPONSE, request.transaction, 0, VMTP_NO_PERMISSION);
		ASSERT_TRUE(send_packet(self->tun, &told));
		EXPECT_EQ(i == 3 ? 0 : -1, recvmsg(self->fd, &message, 0)) { TH_LOG("%zu octets", rooms[i]); }
	}
}

/* ---- The memory of what comes ------------------------------------------------------------ */

static bool answer_blocks(int tun, const struct packet *request, const unsigned char *segment, size_t size, __u32 blocks)
{
	struct packet packet;

	response_packet(&packet, request, 0);
	carry(&packet, segment, size, blocks);
	return send_packet(tun, &packet);
}

TEST_F(peer, a_response_is_charged_to_its_socket_until_it_is_received)
{
	struct packet request;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	EXPECT_EQ(0, receive_memory(self->fd));
	ASSERT_TRUE(answer_blocks(self->tun, &request, self->segment, 2048, 0x3));
	EXPECT_GE(receive_memory(self->fd), 1024);
	ASSERT_TRUE(answer_blocks(self->tun, &request, self->segment, 2048, 0xC));
	EXPECT_GE(receive_memory(self->fd), 2048);
	ASSERT_EQ(2048, vmtp_getreply(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(0, memcmp(self->segment, self->got, 2048));
	EXPECT_EQ(0, receive_memory(self->fd));
}

/* Shows: 4.7.1-n */
TEST_F(peer, of_responses_beyond_so_rcvbuf_one_is_taken_and_the_others_are_busy)
{
	__u64 group = vmtp_entity(VMTP_ENTITY_GROUP, 7, 0xE0000105);
	struct packet request, packet;
	struct vmtp_mcb mcb;
	__u32 most;
	int room;
	socklen_t length = sizeof(room);

	ASSERT_EQ(0, sol_socket(self->fd, SO_RCVBUF, 4096));
	ASSERT_EQ(0, getsockopt(self->fd, SOL_SOCKET, SO_RCVBUF, &room, &length));
	vmtp_request(&mcb, group, APPLICATION | VMTP_MRD);
	ASSERT_EQ(0, start(self->fd, &mcb, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	/* Of one member a segment that is larger than SO_RCVBUF, without its last block. */
	for (int i = 0; i < 31; i++) {
		response_packet(&packet, &request, THERE);
		packet.source = PEER;
		carry(&packet, self->segment, VMTP_GROUP_SIZE, 1U << i);
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
	most = receive_memory(self->fd);
	EXPECT_GE(most, room);
	EXPECT_EQ(0, counter("DropNoRoom"));
	/* Of another member nothing more. */
	response_packet(&packet, &request, THERE + (1ULL << 32));
	packet.source = OTHER;
	carry(&packet, self->segment, 512, 1);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(most, receive_memory(self->fd));
	EXPECT_EQ(1, counter("DropNoRoom"));
	do {
		ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	} while (!is_notify_server(&packet) || notify_server_of(&packet).code != VMTP_BUSY);
	EXPECT_EQ(THERE + (1ULL << 32), notify_server_of(&packet).server);
	EXPECT_EQ(OTHER, packet.destination);
	/* The first becomes complete; when it was received there is room for the other. */
	response_packet(&packet, &request, THERE);
	packet.source = PEER;
	carry(&packet, self->segment, VMTP_GROUP_SIZE, 1U << 31);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(VMTP_GROUP_SIZE, vmtp_getreply(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
	EXPECT_EQ(0, memcmp(self->segment, self->got, sizeof(self->got)));
	EXPECT_EQ(0, receive_memory(self->fd));
	response_packet(&packet, &request, THERE + (1ULL << 32));
	packet.source = OTHER;
	carry(&packet, self->segment, 512, 1);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(512, vmtp_getreply(self->fd, &mcb, self->got, sizeof(self->got), LONG_MS));
}

TEST_F(peer, errors_of_transactions_are_no_errors_of_the_socket)
{
	int error = -1;
	socklen_t length = sizeof(error);
	struct packet request, packet;
	struct vmtp_mcb mcb;

	ASSERT_TRUE(asked(self->tun, self->fd, &request));
	notify_client_packet(&packet, request.client, C_RESPONSE, request.transaction, 0, VMTP_NO_PERMISSION);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(POLLIN | POLLOUT, ready(self->fd));
	ASSERT_EQ(0, getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &error, &length));
	EXPECT_EQ(0, error);
	ASSERT_EQ(0, vmtp_getreply(self->fd, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_NO_PERMISSION, vmtp_code(&mcb));
}

TEST_HARNESS_MAIN
