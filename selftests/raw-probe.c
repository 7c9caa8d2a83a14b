// SPDX-License-Identifier: GPL-2.0
/*
 * Probes: when the module asks for a Client's manager, and what its own manager
 * tells of its entities.
 */
#include "wire.h"

#include <sys/time.h>

#include "kselftest_harness.h"

#define SERVER	little_endian(100000, HOST)
#define CLIENT	little_endian(200000, PEER)

FIXTURE(peer)
{
	int tun, server;
	unsigned char segment[VMTP_GROUP_SIZE], got[VMTP_GROUP_SIZE];
};

FIXTURE_SETUP(peer)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->server = open_entity(SERVER);
	ASSERT_GE(self->server, 0);
	ASSERT_EQ(0, fcntl(self->server, F_SETFL, O_NONBLOCK));
	fill(self->segment, sizeof(self->segment), 1);
}

FIXTURE_TEARDOWN(peer)
{
	close(self->server);
	close(self->tun);
}

/* A Request without data. */
static bool ask(int tun, struct packet *packet, __u64 client, __u32 transaction)
{
	request_packet(packet, client, SERVER, transaction);
	return send_packet(tun, packet);
}

static bool nothing_arrives(int fd)
{
	struct vmtp_mcb mcb;

	return vmtp_recvreq(fd, &mcb, NULL, 0, 0) < 0 && errno == EAGAIN;
}

/* The server answers what it received last. */
static int reply(int fd, struct vmtp_mcb *mcb, __u32 code, const void *segment, size_t size)
{
	vmtp_response(mcb, code);
	return vmtp_sendreply(fd, mcb, segment, size);
}

/* ---- Probes of Clients ------------------------------------------------------------------------ */

/* Where a Request was passed on from, nobody knows its Client. */
TEST_F(peer, a_client_whose_request_was_passed_on_is_probed_at_its_own_host)
{
	struct packet packet, probe;
	struct vmtp_mcb mcb;

	for (int large = 0; large < 2; large++) {
		ASSERT_EQ(0, setting("probe_clients", large ? PROBE_NEVER : PROBE_ALWAYS));
		request_packet(&packet, CLIENT + ((__u64)large << 32), SERVER, 9);
		packet.source = OTHER;
		packet.control = 1 << C_FORWARD;
		ASSERT_TRUE(send_packet(self->tun, &packet));
		if (large) {
			/* More than three times what came is for who is there (D-28). */
			ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
			ASSERT_EQ(0, reply(self->server, &mcb, VMTP_OK, self->segment, 8000));
		}
		ASSERT_TRUE(receive_packet(self->tun, &probe, 0));
		ASSERT_TRUE(is_probe(&probe));
		EXPECT_EQ(PEER, probe.destination);
		ASSERT_TRUE(answer_probe(self->tun, &probe, VMTP_OK, 9));
		if (large) {
			/* The Probe may have been sent again meanwhile. */
			ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
			EXPECT_EQ(PEER, packet.destination);
		} else {
			EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
		}
		drain(self->tun);
	}
}

/* Shows: D-20-e 5.3-b III-0101-a 5.3-a 2.5.1-c */
TEST_F(peer, after_the_start_an_unknown_client_is_probed_before_its_request_is_executed)
{
	struct packet packet, probe;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, setting("probe_clients", PROBE_AUTO));
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 9));
	ASSERT_TRUE(receive_packet(self->tun, &probe, 0));
	ASSERT_TRUE(is_probe(&probe));
	EXPECT_EQ(VMTP_PROC_PROBE_ENTITY, probe.code);
	EXPECT_EQ(PEER, probe.destination);
	EXPECT_EQ(CLIENT, (__u64)probe.user[0] << 32 | probe.user[1]);
	EXPECT_EQ(CLIENT, (__u64)probe.user[2] << 32 | probe.user[3]);
	EXPECT_EQ(1, probe.user[4]);
	EXPECT_TRUE(nothing_arrives(self->server));
	ASSERT_TRUE(answer_probe(self->tun, &probe, VMTP_OK, 9));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	/* Now it is known. */
	ASSERT_EQ(0, reply(self->server, &mcb, VMTP_OK, NULL, 0));
	drain(self->tun);
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 10));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	EXPECT_EQ(0, drain(self->tun));

	/* The Client has gone on since: this Request was of before. */
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT + (1ULL << 32), 9));
	ASSERT_TRUE(receive_packet(self->tun, &probe, 0));
	ASSERT_TRUE(answer_probe(self->tun, &probe, VMTP_OK, 10));
	EXPECT_TRUE(nothing_arrives(self->server));
	/* There is no such Client. */
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT + (2ULL << 32), 9));
	ASSERT_TRUE(receive_packet(self->tun, &probe, 0));
	ASSERT_TRUE(answer_probe(self->tun, &probe, VMTP_NONEXISTENT_ENTITY, 9));
	EXPECT_TRUE(nothing_arrives(self->server));
}

/* NO_PERMISSION of the host that was asked is a proof that the Client is there, and no more. */
TEST_F(peer, a_private_client_gets_its_response_or_is_told_why_not)
{
	struct packet packet, probe;
	struct vmtp_mcb mcb;
	__u32 blocks = 0;

	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 9));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	ASSERT_EQ(0, reply(self->server, &mcb, VMTP_OK, self->segment, sizeof(self->segment)));
	ASSERT_TRUE(receive_packet(self->tun, &probe, 0));
	ASSERT_TRUE(is_probe(&probe));
	ASSERT_TRUE(answer_probe(self->tun, &probe, VMTP_NO_PERMISSION, 0));
	for (; blocks != 0xFFFFFFFF; blocks |= packet.delivery) {
		ASSERT_TRUE(next_of(self->tun, is_response, &packet, LONG_MS));
	}
	/* Whether this one is new nobody can tell. */
	ASSERT_EQ(0, setting("probe_clients", PROBE_ALWAYS));
	drain(self->tun);
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT + (1ULL << 32), 9));
	ASSERT_TRUE(receive_packet(self->tun, &probe, 0));
	ASSERT_TRUE(is_probe(&probe));
	ASSERT_TRUE(answer_probe(self->tun, &probe, VMTP_NO_PERMISSION, 0));
	ASSERT_TRUE(next_of(self->tun, is_notify_client, &packet, LONG_MS));
	EXPECT_EQ(VMTP_NO_PERMISSION, notify_client_of(&packet).code);
	EXPECT_EQ(9, notify_client_of(&packet).transaction);
	EXPECT_TRUE(nothing_arrives(self->server));
}

/* However many Clients have waited to be probed. */
TEST_F(peer, of_requests_that_waited_for_their_probes_only_those_are_delivered_that_fit_the_queue)
{
	struct packet packet, probes[4];
	struct vmtp_mcb mcb;
	int busy = 0;

	ASSERT_EQ(0, setting("probe_clients", PROBE_ALWAYS));
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_REQUEST_QUEUE, 2));
	for (__u64 i = 0; i < 4; i++) {
		ASSERT_TRUE(ask(self->tun, &packet, CLIENT + (i << 32), 9));
		ASSERT_TRUE(receive_packet(self->tun, &probes[i], 0));
		ASSERT_TRUE(is_probe(&probes[i]));
	}
	for (int i = 0; i < 4; i++) {
		ASSERT_TRUE(answer_probe(self->tun, &probes[i], VMTP_OK, 9));
	}
	while (next_of(self->tun, is_notify_client, &packet, 0)) {
		EXPECT_EQ(VMTP_BUSY, notify_client_of(&packet).code);
		EXPECT_EQ(9, notify_client_of(&packet).transaction);
		busy++;
	}
	EXPECT_EQ(2, busy);
	for (__u64 i = 0; i < 2; i++) {
		ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
		EXPECT_EQ(CLIENT + (i << 32), mcb.client);
	}
	EXPECT_TRUE(nothing_arrives(self->server));
}

/* The socket's own word goes before that of net.vmtp.probe_clients. */
TEST_F(peer, a_server_may_have_its_clients_probed_otherwise_than_its_host_has)
{
	/* Where the host is as young as this one is. */
	static const struct {
		enum probing host;
		int server;
		bool probes;
	} cases[] = {
		{ PROBE_NEVER, VMTP_PROBE_HOST, false },   { PROBE_NEVER, VMTP_PROBE_AUTO, true },
		{ PROBE_NEVER, VMTP_PROBE_ALWAYS, true },  { PROBE_NEVER, VMTP_PROBE_NEVER, false },
		{ PROBE_ALWAYS, VMTP_PROBE_HOST, true },   { PROBE_ALWAYS, VMTP_PROBE_AUTO, true },
		{ PROBE_ALWAYS, VMTP_PROBE_NEVER, false }, { PROBE_AUTO, VMTP_PROBE_HOST, true },
		{ PROBE_AUTO, VMTP_PROBE_NEVER, false },
	};
	struct packet packet;

	for (int i = 0; i < (int)(sizeof(cases) / sizeof(*cases)); i++) {
		ASSERT_EQ(0, setting("probe_clients", cases[i].host));
		ASSERT_EQ(0, set_option(self->server, VMTP_OPT_PROBE_CLIENTS, cases[i].server));
		drain(self->tun);
		ASSERT_TRUE(ask(self->tun, &packet, CLIENT + ((__u64)i << 32), 9));
		EXPECT_EQ(cases[i].probes, receive_packet(self->tun, &packet, 0) && is_probe(&packet)) {
			TH_LOG("case %d", i);
		}
		if (!cases[i].probes) {
			struct vmtp_mcb mcb;

			EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
		}
	}
}

/* Shows: D-28-a */
TEST_F(peer, who_was_never_probed_gets_no_large_response_for_a_small_request)
{
	struct packet packet, probe;
	struct vmtp_mcb mcb;
	__u32 blocks = 0;

	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 9));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0));
	ASSERT_EQ(0, reply(self->server, &mcb, VMTP_OK, self->segment, VMTP_GROUP_SIZE));
	ASSERT_TRUE(receive_packet(self->tun, &probe, 0));
	ASSERT_TRUE(is_probe(&probe));
	EXPECT_EQ(0, drain(self->tun));
	ASSERT_TRUE(answer_probe(self->tun, &probe, VMTP_OK, 9));
	while (receive_packet(self->tun, &packet, 100))
		if (packet.control & C_RESPONSE)
			blocks |= packet.delivery;
	EXPECT_EQ(0xFFFFFFFF, blocks);
}

/* ---- The manager ---------------------------------------------------------------------------------- */

/* Asks the manager and has its answer, if there is one at once. */
static bool manager_answers(int tun, const struct packet *request, struct packet *answer)
{
	drain(tun);
	if (!send_packet(tun, request) || !receive_packet(tun, answer, 0))
		return false;
	return (answer->control & C_RESPONSE) && answer->client == request->client &&
	       answer->transaction == request->transaction && answer->destination == request->source;
}

/* Shows: III-0101-b D-16-a 5.8.1-f IV.1-c */
TEST_F(peer, an_entity_of_this_host_is_told_of)
{
	static const __u64 probers[] = { 0x2000000501020304, VMTP_DEFAULT_LECLIENT, VMTP_DEFAULT_BECLIENT };
	struct packet probe, answer;

	ASSERT_EQ(0, setting("probe_clients", PROBE_ALWAYS));
	for (int i = 0; i < 3; i++) {
		probe_packet(&probe, probers[i], SERVER, SERVER, 1, 70 + i);
		ASSERT_TRUE(manager_answers(self->tun, &probe, &answer));
		EXPECT_EQ(VMTP_OK, PROCEDURE(answer.code));
		EXPECT_EQ(HOST, answer.user[1]);
		EXPECT_EQ(getpid(), answer.user[2]);
		EXPECT_EQ(HOST, answer.user[3]);
		EXPECT_EQ(getuid(), answer.user[4]);
		EXPECT_EQ(HOST, answer.msg_delivery);
		EXPECT_EQ(geteuid(), answer.segment_size);
		/* The prober is not probed. */
		EXPECT_EQ(0, drain(self->tun));
	}
	EXPECT_EQ(3, counter("InProbes"));
}

/* Shows: III-0101-c */
TEST_F(peer, the_transaction_told_is_the_current_one_or_else_the_next)
{
	struct packet probe, answer, request, response;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, start_null(self->server, little_endian(300000, PEER)));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	probe_packet(&probe, PEER_MANAGER, SERVER, SERVER, 1, 70);
	ASSERT_TRUE(manager_answers(self->tun, &probe, &answer));
	EXPECT_EQ(request.transaction, answer.user[0]);
	response_packet(&response, &request, 0);
	ASSERT_TRUE(send_packet(self->tun, &response));
	ASSERT_EQ(0, vmtp_getreply(self->server, &mcb, NULL, 0, LONG_MS));
	probe.transaction++;
	ASSERT_TRUE(manager_answers(self->tun, &probe, &answer));
	EXPECT_EQ(request.transaction + 1, answer.user[0]);
}

/* Shows: III-0101-d III-0101-f III-0101-g III-0101-h 2.13-k */
TEST_F(peer, what_cannot_be_told_is_a_code_and_by_multicast_mostly_silence)
{
	__u64 unknown = SERVER + (1ULL << 32);
	struct packet probe, answer;

	probe_packet(&probe, PEER_MANAGER, unknown, unknown, 1, 70);
	ASSERT_TRUE(manager_answers(self->tun, &probe, &answer));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, answer.code);
	probe.destination = MANAGERS;
	EXPECT_FALSE(manager_answers(self->tun, &probe, &answer));

	probe_packet(&probe, PEER_MANAGER, SERVER, SERVER, 99, 71);
	ASSERT_TRUE(manager_answers(self->tun, &probe, &answer));
	EXPECT_NE(VMTP_OK, answer.code);
	EXPECT_EQ(0, answer.user[2] | answer.user[4] | answer.segment_size);

	probe_packet(&probe, PEER_MANAGER, SERVER, SERVER | VMTP_ENTITY_RES, 1, 72);
	ASSERT_TRUE(manager_answers(self->tun, &probe, &answer));
	EXPECT_EQ(VMTP_VMTP_ERROR, answer.code);

	probe_packet(&probe, PEER_MANAGER, SERVER, SERVER, 1, 73);
	probe.destination = MANAGERS;
	ASSERT_TRUE(manager_answers(self->tun, &probe, &answer));
	EXPECT_EQ(VMTP_OK, answer.code);
	ASSERT_EQ(0, set_option(self->server, VMTP_OPT_PRIVATE, 1));
	ASSERT_TRUE(manager_answers(self->tun, &probe, &answer));
	EXPECT_EQ(VMTP_NO_PERMISSION, answer.code);
	EXPECT_EQ(0, answer.user[2]);

	/* It lived here and is no more: nobody else could tell. */
	close(self->server);
	ASSERT_TRUE(manager_answers(self->tun, &probe, &answer));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, answer.code);
}

/* Shows: III-c II.1-a D-4-b */
TEST_F(peer, procedures_are_told_by_the_low_24_bits_and_unknown_ones_refused)
{
	static const __u32 unknown[] = { 0x050001F0, 0x05000201, 0x00000101 | 0x05800000 };
	struct packet probe, answer;

	for (int i = 0; i < 3; i++) {
		probe_packet(&probe, PEER_MANAGER, SERVER, SERVER, 1, 70 + i);
		probe.code = unknown[i];
		ASSERT_TRUE(manager_answers(self->tun, &probe, &answer)) { TH_LOG("0x%08x", unknown[i]); }
		EXPECT_NE(VMTP_OK, answer.code);
		EXPECT_EQ(0, answer.user[2]);
		probe.code |= VMTP_DGM;
		EXPECT_FALSE(manager_answers(self->tun, &probe, &answer));
	}
	for (int i = 0; i < 2; i++) {
		probe_packet(&probe, PEER_MANAGER, SERVER, SERVER, 1, 80 + i);
		probe.code = i ? 0x0D000102 : 0x05000102;
		ASSERT_TRUE(manager_answers(self->tun, &probe, &answer));
		/* AuthProbeEntity was understood: there is nothing to authenticate by. */
		EXPECT_EQ(VMTP_NO_AUTHENTICATOR, answer.code);
	}
}

/* Shows: IV.1-a */
TEST_F(peer, the_host_is_a_member_of_the_group_of_all_managers)
{
	FILE *file = fopen("/proc/thread-self/net/igmp", "r");
	char line[256];
	bool on_tun = false, member = false;

	while (fgets(line, sizeof(line), file)) {
		if (line[0] != '\t')
			on_tun = strstr(line, "tun0");
		else
			member |= on_tun && strstr(line, "000100E0");
	}
	fclose(file);
	EXPECT_TRUE(member);
}

/* ---- Answers to whoever asks (D-28) ------------------------------------------------------------- */

/* A Probe of the server that has this source, forged or not: whether it is answered, there. */
static bool probed_from(int tun, __u32 source, __u32 transaction)
{
	struct packet packet;

	probe_packet(&packet, PEER_MANAGER, SERVER, SERVER, 1, transaction);
	packet.source = source;
	return send_packet(tun, &packet) && receive_packet(tun, &packet, 0) && packet.destination == source &&
	       packet.transaction == transaction && packet.code == VMTP_OK;
}

TEST_F(peer, whoever_forges_the_address_of_another_has_it_sent_a_limited_number_of_answers)
{
	long begin, answers = 0, seconds;
	int sent = 1000;

	ASSERT_EQ(0, setting("answers_per_second", 50));
	begin = now_ms();
	for (int i = 0; i < sent; i++)
		answers += probed_from(self->tun, PEER, i);
	seconds = (now_ms() - begin) / 1000 + 1;
	EXPECT_GE(answers, 50);
	EXPECT_LE(answers, 50 * (seconds + 1));
	EXPECT_EQ(sent, answers + counter("AnswersLimited"));
	/* Others have shares of their own, and what it had comes back. */
	EXPECT_TRUE(probed_from(self->tun, OTHER, 1));
	usleep(100000);
	EXPECT_TRUE(probed_from(self->tun, PEER, sent));
	ASSERT_EQ(0, setting("answers_per_second", 0));
	for (int i = 0; i < sent; i++) {
		ASSERT_TRUE(probed_from(self->tun, PEER, i));
	}
}

TEST_F(peer, hosts_that_are_not_remembered_share_what_they_are_sent)
{
	long begin, answers = 0, seconds;
	struct packet packet;

	/* The record of its Client holds the only address. */
	ASSERT_EQ(0, setting("paths_max", 1));
	ASSERT_TRUE(ask(self->tun, &packet, CLIENT, 1));
	ASSERT_EQ(0, setting("answers_per_second", 50));
	begin = now_ms();
	for (int i = 0; i < 1000; i++)
		answers += probed_from(self->tun, SOURCE(i), i);
	seconds = (now_ms() - begin) / 1000 + 1;
	EXPECT_GE(answers, 50);
	EXPECT_LE(answers, 50 * (seconds + 1));
	EXPECT_TRUE(probed_from(self->tun, PEER, 1));
}

/* ---- Probes of a user ---------------------------------------------------------------------------- */

static void on_alarm(int number)
{
	(void)number;
}

/* Its time is up, and it is interrupted, at about the same moment: whichever is first, the call comes to its end. */
TEST_F(peer, a_probe_that_is_interrupted_when_its_time_is_up_ends)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval often = { { 0, 1100 }, { 0, 1100 } }, never = { };
	struct vmtp_probe probe;
	int ended = 0, interrupted = 0;
	long end = now_ms() + 3000;

	ASSERT_EQ(0, fcntl(self->server, F_SETFL, 0));
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	while (now_ms() < end) {
		probe = (struct vmtp_probe){ .entity = CLIENT, .timeout = 1 };
		if (!ioctl(self->server, VMTP_PROBEENTITY, &probe))
			ended += probe.code == VMTP_RETRANS_TIMEOUT;
		else
			interrupted += errno == EINTR;
		drain(self->tun);
	}
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &never, NULL));
	/* The loop had both. */
	EXPECT_GE(ended, 1);
	EXPECT_GE(interrupted, 1);
}

TEST_HARNESS_MAIN
