// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation of the reception of a packet fails once, for packets of
 * every kind: what was lost so comes again when the peer sends it again, is
 * never done twice, and leaves nothing behind.
 */
#include "faults.h"

#include "kselftest_harness.h"

#define SERVER	little_endian(100000, HOST)
#define GROUP	vmtp_entity(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP, 7000, 0xE8000042)
#define OCTETS	4000

FIXTURE(reception)
{
	int tun, server, client;
	__u32 transaction;
	unsigned char segment[OCTETS], got[OCTETS];
};

FIXTURE_SETUP(reception)
{
	faults_prepare();
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->server = open_entity(SERVER);
	self->client = open_entity(little_endian(100001, HOST));
	ASSERT_GE(self->server, 0);
	ASSERT_GE(self->client, 0);
	ASSERT_EQ(0, fcntl(self->server, F_SETFL, O_NONBLOCK));
	faults_arm(0);
	fill(self->segment, OCTETS, 1);
	self->transaction = 1000;
}

FIXTURE_TEARDOWN(reception)
{
	close(self->server);
	close(self->client);
	close(self->tun);
}

/* A Client of the peer: a new one each time, which has no record yet. */
static __u64 client_of(int n)
{
	return little_endian(200000 + n, PEER);
}

static long put(int tun, const struct packet *packet)
{
	/* The device may say that there was no memory for the packet: it was lost on the way. */
	return send_packet(tun, packet) || is_shortage(errno) ? 0 : -1;
}

static bool nothing_arrives(int fd)
{
	struct vmtp_mcb mcb;

	return vmtp_recvreq(fd, &mcb, NULL, 0, 0) < 0 && errno == EAGAIN;
}

TEST_F_TIMEOUT(reception, a_request_is_delivered_once_when_it_has_come_twice, 200)
{
	struct packet packet;
	struct vmtp_mcb mcb;
	long before = counter("RequestsDelivered");
	int requests = 0;

	SWEEP("Request", request_packet(&packet, client_of(n), SERVER, 9), put(self->tun, &packet), {
		ASSERT_EQ(0, put(self->tun, &packet));
		ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0)) { TH_LOG("%d", n); }
		ASSERT_EQ(client_of(n), mcb.client);
		EXPECT_TRUE(nothing_arrives(self->server));
		requests++;
		vmtp_response(&mcb, APPLICATION);
		EXPECT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
		drain(self->tun);
	});
	EXPECT_EQ(before + requests, counter("RequestsDelivered"));
}

TEST_F_TIMEOUT(reception, packets_of_a_group_come_again, 200)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	/* The packet that begins the message, one in its middle, and the one that ends it. */
	for (int faulty = 0; faulty < 3; faulty++) {
		SWEEP("packet of a group", {
			for (int i = 0; i < faulty; i++) {
				request_packet(&packet, client_of(1000 * faulty + n), SERVER, 9);
				carry(&packet, self->segment, OCTETS, i ? 0x38 : 7);
				ASSERT_EQ(0, put(self->tun, &packet));
			}
			request_packet(&packet, client_of(1000 * faulty + n), SERVER, 9);
			carry(&packet, self->segment, OCTETS, faulty == 0 ? 7 : faulty == 1 ? 0x38 : 0xC0);
		}, put(self->tun, &packet), {
			/* All of it again, as a Client may. */
			for (int i = 0; i < 3; i++) {
				request_packet(&packet, client_of(1000 * faulty + n), SERVER, 9);
				packet.control = 1U << C_RETRANSMIT;
				carry(&packet, self->segment, OCTETS, i == 0 ? 7 : i == 1 ? 0x38 : 0xC0);
				ASSERT_EQ(0, put(self->tun, &packet));
			}
			memset(self->got, 0, OCTETS);
			ASSERT_EQ(OCTETS, vmtp_recvreq(self->server, &mcb, self->got, OCTETS, 0));
			ASSERT_EQ(0, memcmp(self->segment, self->got, OCTETS));
			EXPECT_TRUE(nothing_arrives(self->server));
			drain(self->tun);
		});
	}
}

TEST_F_TIMEOUT(reception, a_run_of_requests_keeps_its_order, 200)
{
	struct packet packet;
	struct vmtp_mcb mcb;

	SWEEP("Request of a run", {
		for (int i = 0; i < 2; i++) {
			request_packet(&packet, client_of(n), SERVER, 9 + i);
			packet.control = i ? C_NSR | C_NER : C_NER;
			ASSERT_EQ(0, put(self->tun, &packet));
		}
		request_packet(&packet, client_of(n), SERVER, 11);
		packet.control = C_NSR;
	}, put(self->tun, &packet), {
		ASSERT_EQ(0, put(self->tun, &packet));
		for (int i = 0; i < 3; i++) {
			long received = vmtp_recvreq(self->server, &mcb, NULL, 0, 0);

			/* Where the host could not keep it, it has ended what the Client had here, and says so. */
			if (received < 0)
				break;
			EXPECT_EQ(9 + i, mcb.transaction);
			vmtp_response(&mcb, APPLICATION);
			ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, NULL, 0));
		}
		EXPECT_TRUE(nothing_arrives(self->server));
		drain(self->tun);
	});
}

TEST_F_TIMEOUT(reception, a_response_is_delivered_once, 200)
{
	struct packet request, packet;
	struct vmtp_mcb mcb;

	for (int data = 0; data < 2; data++) {
		SWEEP("Response", {
			drain(self->tun);
			vmtp_request(&mcb, little_endian(300000, PEER), APPLICATION);
			ASSERT_EQ(0, start(self->client, &mcb, NULL, 0));
			do {
				ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
			} while (is_probe(&request) || request.server != little_endian(300000, PEER));
			response_packet(&packet, &request, 0);
			if (data)
				carry(&packet, self->segment, 1024, 3);
		}, put(self->tun, &packet), {
			ASSERT_EQ(0, put(self->tun, &packet));
			ASSERT_EQ(data * 1024, vmtp_getreply(self->client, &mcb, self->got, OCTETS, LONG_MS));
			EXPECT_EQ(VMTP_RESPONSE, mcb.function);
			EXPECT_EQ(0, memcmp(self->segment, self->got, data * 1024));
		});
	}
	EXPECT_EQ(counter("TransactionsStarted"), counter("TransactionsAnswered"));
}

TEST_F_TIMEOUT(reception, what_the_manager_is_asked, 200)
{
	struct notify_client notify;
	struct packet packet, answer;

	SWEEP("Probe", probe_packet(&packet, PEER_MANAGER, 0, SERVER, 1, self->transaction++), put(self->tun, &packet), {
		drain(self->tun);
		packet.transaction = self->transaction++;
		ASSERT_EQ(0, put(self->tun, &packet));
		ASSERT_TRUE(receive_packet(self->tun, &answer, 0));
		EXPECT_EQ(packet.transaction, answer.transaction);
	});
	SWEEP("refused Request", {
		request_packet(&packet, client_of(n), SERVER + (1ULL << 40), 9);
		packet.source = OTHER + n;
	}, put(self->tun, &packet), {
		drain(self->tun);
		ASSERT_EQ(0, put(self->tun, &packet));
		ASSERT_TRUE(receive_packet(self->tun, &answer, 0));
		notify = notify_client_of(&answer);
		EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, notify.code);
	});
	SWEEP("malformed Request", {
		request_packet(&packet, client_of(n), SERVER, 9);
		packet.frame |= 5U << W_VERSION;
	}, put(self->tun, &packet), drain(self->tun));
}

TEST_F_TIMEOUT(reception, a_request_to_a_group, 200)
{
	struct vmtp_membership membership = { .group = GROUP };
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, setsockopt(self->server, SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership)));
	ASSERT_EQ(0, setsockopt(self->client, SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership)));
	SWEEP("Request to a group", {
		request_packet(&packet, client_of(n), GROUP, 9);
		packet.frame |= W_MPG;
		packet.destination = 0xE8000042;
	}, put(self->tun, &packet), {
		ASSERT_EQ(0, put(self->tun, &packet));
		EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, 0)) { TH_LOG("%d", n); }
		EXPECT_TRUE(nothing_arrives(self->server));
		/* Each member has it once. */
		EXPECT_EQ(0, vmtp_recvreq(self->client, &mcb, NULL, 0, LONG_MS));
		EXPECT_FALSE(comes(self->client, POLLIN, 0));
		drain(self->tun);
	});
}

TEST_HARNESS_MAIN
