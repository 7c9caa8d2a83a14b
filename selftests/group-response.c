// SPDX-License-Identifier: GPL-2.0
/*
 * Group Responses (RFC 1045, 2.7): what one member answers goes to the group as
 * well, and members that want such Responses, have the Request and have not
 * answered it get it.
 */
#include "wire.h"
#include "hosts.h"

#include "kselftest_harness.h"

#define ADDRESS		0xE8778899U	/* 232.119.136.153, from the low 24 bits of the group's number */
#define GROUP		(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP | (__u64)0x00778899 << 32 | HOST)
#define SEGMENT		5000

static int join(int fd, const char *interface)
{
	struct vmtp_membership membership = { .group = GROUP, .interface = if_nametoindex(interface) };

	return setsockopt(fd, SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership));
}

static int reply_to_group(int fd, const struct vmtp_mcb *request, __u32 code, const void *segment, size_t octets)
{
	struct vmtp_mcb mcb = *request;

	vmtp_response(&mcb, code);
	mcb.flags = VMTP_F_GROUP_RESPONSE;
	return vmtp_sendreply(fd, &mcb, segment, octets);
}

/* ---- On the wire ------------------------------------------------------------------------------------ */

FIXTURE(peer)
{
	int tun, member;
	__u64 entity;
};

FIXTURE_SETUP(peer)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->member = open_entity(0);
	ASSERT_GE(self->member, 0);
	ASSERT_EQ(0, fcntl(self->member, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(0, join(self->member, "tun0"));
	self->entity = entity_of(self->member);
}

FIXTURE_TEARDOWN(peer)
{
	close(self->member);
	close(self->tun);
}

/*
 * Has the member receive a Request to the group with this control word. It is
 * long enough that its Client, whom nobody has probed, may get a long answer.
 */
static int asked(int tun, int member, __u32 control, __u32 transaction, struct vmtp_mcb *mcb, struct packet *request)
{
	unsigned char segment[2048];

	fill(segment, sizeof(segment), transaction);
	request_packet(request, little_endian(200000, PEER), GROUP, transaction);
	carry(request, segment, sizeof(segment), 0xF);
	request->destination = ADDRESS;
	request->code |= VMTP_MRD;
	request->control = control;
	drain(tun);
	return send_packet(tun, request) ? vmtp_recvreq(member, mcb, NULL, 0, 0) : -1;
}

/* Shows: 5.7-r */
TEST_F(peer, a_conditional_request_is_for_the_members_that_wait)
{
	int waiting = open_entity(0);
	struct packet request;
	struct vmtp_mcb mcb;
	struct waiter waiter;

	ASSERT_GE(waiting, 0);
	ASSERT_EQ(0, join(waiting, "tun0"));
	ASSERT_TRUE(waiter_start(&waiter, takes_a_request, &waiting));
	request_packet(&request, little_endian(200000, PEER), GROUP, 9);
	request.destination = ADDRESS;
	request.code |= VMTP_CMD;
	drain(self->tun);
	ASSERT_TRUE(send_packet(self->tun, &request));
	EXPECT_EQ(0, waiter_end(&waiter));
	EXPECT_ERRNO(EAGAIN, vmtp_recvreq(self->member, &mcb, NULL, 0, 0));
	/* Neither is its Client told. */
	EXPECT_EQ(0, drain(self->tun));
	close(waiting);
}

/* Shows: 2.7-e */
TEST_F(peer, a_client_that_is_no_member_gets_a_copy_of_its_own)
{
	struct packet request, packet;
	unsigned char segment[SEGMENT];
	__u32 to_group = 0, to_client = 0;
	struct vmtp_mcb mcb;

	fill(segment, SEGMENT, 3);
	ASSERT_EQ(0, asked(self->tun, self->member, 0, 1, &mcb, &request));
	ASSERT_EQ(0, reply_to_group(self->member, &mcb, 77, segment, SEGMENT));
	while (to_group != 0x3FF || to_client != 0x3FF) {
		ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
		ASSERT_TRUE(packet.control & C_RESPONSE);
		EXPECT_EQ(77, packet.code & VMTP_CODE_MASK);
		EXPECT_EQ(self->entity, packet.server);
		EXPECT_EQ(request.client, packet.client);
		if (packet.destination == ADDRESS) {
			EXPECT_TRUE(packet.frame & W_MPG);
			EXPECT_EQ(1, packet.ttl);
			EXPECT_EQ(0, to_group & packet.delivery);
			to_group |= packet.delivery;
		} else {
			EXPECT_EQ(PEER, packet.destination);
			EXPECT_FALSE(packet.frame & W_MPG);
			EXPECT_EQ(0, to_client & packet.delivery);
			to_client |= packet.delivery;
		}
	}
}

/* Shows: 2.7-e */
TEST_F(peer, a_client_that_is_a_member_hears_it_with_the_others)
{
	struct packet request, packet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, asked(self->tun, self->member, C_MDG, 1, &mcb, &request));
	EXPECT_TRUE(mcb.flags & VMTP_F_MDG);
	ASSERT_EQ(0, reply_to_group(self->member, &mcb, 77, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	EXPECT_EQ(ADDRESS, packet.destination);
	EXPECT_EQ(77, packet.code);
	EXPECT_FALSE(receive_packet(self->tun, &packet, 100));
	/* Only who asks again is answered again. */
	request.control |= C_APG | 1 << C_RETRANSMIT;
	ASSERT_TRUE(send_packet(self->tun, &request));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	EXPECT_EQ(PEER, packet.destination);
	EXPECT_EQ(77, packet.code);
	EXPECT_FALSE(receive_packet(self->tun, &packet, 100));
}

/* To a Request that was sent to the entity alone there is no group Response, and none is of several packet groups. */
TEST_F(peer, there_is_none_to_a_single_entitys_request_and_none_of_two_groups)
{
	static unsigned char segment[VMTP_GROUP_SIZE + 8];
	struct packet request, packet;
	struct vmtp_mcb mcb;

	request_packet(&request, little_endian(200001, PEER), self->entity, 1);
	drain(self->tun);
	ASSERT_TRUE(send_packet(self->tun, &request));
	ASSERT_EQ(0, vmtp_recvreq(self->member, &mcb, NULL, 0, 0));
	ASSERT_EQ(0, reply_to_group(self->member, &mcb, 77, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &packet, LONG_MS));
	EXPECT_EQ(PEER, packet.destination);
	EXPECT_FALSE(receive_packet(self->tun, &packet, 100));

	ASSERT_EQ(0, asked(self->tun, self->member, C_STI | C_NER, 2, &mcb, &request));
	EXPECT_ERRNO(EMSGSIZE, reply_to_group(self->member, &mcb, 77, segment, sizeof(segment)));
	ASSERT_EQ(0, reply_to_group(self->member, &mcb, 77, NULL, 0));
}

/* What another member, which is at the peer, answers the group. */
static void of_another(struct packet *packet, const struct packet *request, __u32 number)
{
	response_packet(packet, request, little_endian(number, OTHER));
	packet->source = OTHER;
	packet->destination = ADDRESS;
	packet->frame |= W_MPG;
	packet->code = 1000 + number;
}

#define EXPECT_NOTHING() do { \
	struct vmtp_mcb none; \
	EXPECT_FALSE(ready(self->member) & POLLIN); \
	EXPECT_ERRNO(EAGAIN, vmtp_recvreq(self->member, &none, NULL, 0, 0)); \
} while (0)

/* Shows: 2.7-f */
TEST_F(peer, a_member_hears_others_if_it_wants_until_it_has_answered)
{
	unsigned char segment[SEGMENT], got[SEGMENT];
	struct packet request, packet, answer;
	struct vmtp_mcb mcb, heard;

	/* It has not said that it wants it. */
	ASSERT_EQ(0, asked(self->tun, self->member, 0, 1, &mcb, &request));
	of_another(&packet, &request, 1);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_NOTHING();
	ASSERT_EQ(0, set_option(self->member, VMTP_OPT_GROUP_RESPONSES, 1));
	/* It was not to the group, it is of another Client, and of another transaction. */
	packet.destination = HOST;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	packet.destination = ADDRESS;
	packet.client = little_endian(200009, PEER);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	packet.client = request.client;
	packet.transaction++;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_NOTHING();
	drain(self->tun);
	/* It holds this one; of each member it hears one. */
	packet.transaction--;
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_TRUE(send_packet(self->tun, &packet));
	of_another(&packet, &request, 2);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	for (int i = 1; i <= 2; i++) {
		EXPECT_TRUE(ready(self->member) & POLLIN);
		ASSERT_EQ(0, vmtp_recvreq(self->member, &heard, NULL, 0, 0));
		EXPECT_EQ(VMTP_GROUP_RESPONSE, heard.function);
		EXPECT_EQ(little_endian(i, OTHER), heard.server);
		EXPECT_EQ(request.client, heard.client);
		EXPECT_EQ(request.transaction, heard.transaction);
		EXPECT_EQ(1000 + i, heard.code);
	}
	EXPECT_NOTHING();
	/* One of several packets, the last first. */
	fill(segment, SEGMENT, 9);
	of_another(&packet, &request, 3);
	for (int block = 9; block >= 0; block--) {
		carry(&packet, segment, SEGMENT, 1U << block);
		EXPECT_NOTHING();
		ASSERT_TRUE(send_packet(self->tun, &packet));
	}
	ASSERT_EQ(SEGMENT, vmtp_recvreq(self->member, &heard, got, sizeof(got), 0));
	EXPECT_EQ(VMTP_GROUP_RESPONSE, heard.function);
	EXPECT_EQ(SEGMENT, heard.segment_size);
	EXPECT_EQ(0, memcmp(segment, got, SEGMENT));
	/* It was not asked and told nobody anything; its own Response goes as ever. */
	EXPECT_FALSE(receive_packet(self->tun, &answer, 0));
	vmtp_response(&mcb, 5);
	ASSERT_EQ(0, vmtp_sendreply(self->member, &mcb, NULL, 0));
	ASSERT_TRUE(receive_packet(self->tun, &answer, LONG_MS));
	EXPECT_EQ(5, answer.code);
	/* It has answered. */
	of_another(&packet, &request, 4);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_NOTHING();
	EXPECT_FALSE(receive_packet(self->tun, &answer, 0));
	EXPECT_EQ(3, counter("GroupResponsesDelivered"));
}

/* recvmsg says by the name who answered, and gives pieces; nothing of it counts as a Request. */
TEST_F(peer, recvmsg_gives_it_in_pieces_beside_the_request)
{
	unsigned char segment[1000], got[600];
	char control[256];
	struct iovec room = { got, sizeof(got) };
	struct sockaddr_vmtp name;
	struct msghdr message = { .msg_iov = &room, .msg_iovlen = 1, .msg_name = &name };
	struct packet request, packet;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, set_option(self->member, VMTP_OPT_GROUP_RESPONSES, 1));
	ASSERT_EQ(0, set_option(self->member, VMTP_OPT_PIECES, 1));
	ASSERT_EQ(0, asked(self->tun, self->member, 0, 1, &mcb, &request));
	fill(segment, sizeof(segment), 4);
	of_another(&packet, &request, 1);
	carry(&packet, segment, sizeof(segment), 3);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	for (int peek = 1; peek >= 0; peek--) {
		message.msg_namelen = sizeof(name);
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		ASSERT_EQ(600, recvmsg(self->member, &message, peek ? MSG_PEEK : 0));
		EXPECT_EQ(little_endian(1, OTHER), name.svmtp_entity);
		EXPECT_EQ(VMTP_MCB, CMSG_FIRSTHDR(&message)->cmsg_type);
		memcpy(&mcb, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(mcb));
		EXPECT_EQ(VMTP_GROUP_RESPONSE, mcb.function);
		EXPECT_EQ(0, memcmp(segment, got, 600));
	}
	ASSERT_EQ(400, recv(self->member, got, sizeof(got), 0));
	EXPECT_EQ(0, memcmp(segment + 600, got, 400));
	EXPECT_NOTHING();
	EXPECT_EQ(1, counter("RequestsDelivered"));
	/* One that waits when the socket is closed goes with it, and nobody is told. */
	of_another(&packet, &request, 2);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	drain(self->tun);
	close(self->member);
	EXPECT_FALSE(receive_packet(self->tun, &packet, 100));
}

/* ---- Hosts ------------------------------------------------------------------------------------------- */

#define MEMBERS	4

FIXTURE(three)
{
	struct hosts hosts;
	int client, members[MEMBERS];	/* the members on hosts 1, 1, 2 and 2 */
};

FIXTURE_SETUP(three)
{
	ASSERT_EQ(0, hosts_make(&self->hosts, 3));
	for (int i = 0; i < MEMBERS; i++) {
		ASSERT_EQ(0, hosts_enter(&self->hosts, 1 + i / 2));
		self->members[i] = open_entity(0);
		ASSERT_GE(self->members[i], 0);
		ASSERT_EQ(0, set_option(self->members[i], VMTP_OPT_PROBE_CLIENTS, VMTP_PROBE_NEVER));
		ASSERT_EQ(0, join(self->members[i], "veth0"));
	}
	ASSERT_EQ(0, hosts_enter(&self->hosts, 0));
	self->client = open_entity(0);
	ASSERT_GE(self->client, 0);
}

FIXTURE_TEARDOWN(three)
{
	for (int i = 0; i < MEMBERS; i++)
		close(self->members[i]);
	close(self->client);
	hosts_end(&self->hosts);
}

FIXTURE_VARIANT(three)
{
	bool member;	/* the Client is one as well */
};

FIXTURE_VARIANT_ADD(three, client_outside) { .member = false };
FIXTURE_VARIANT_ADD(three, client_inside) { .member = true };

/* Shows: 2.7-e 2.7-f */
TEST_F(three, the_client_and_those_who_want_it_get_what_a_member_answers)
{
	unsigned char segment[SEGMENT], got[SEGMENT];
	struct vmtp_mcb mcb, requests[MEMBERS];
	__u64 entities[MEMBERS];

	if (variant->member) {
		ASSERT_EQ(0, join(self->client, "veth0"));
	}
	fill(segment, SEGMENT, 3);
	/* The first answers the group, the second wants nothing, the third does, the fourth has answered. */
	for (int i = 0; i < MEMBERS; i++) {
		entities[i] = entity_of(self->members[i]);
		ASSERT_EQ(0, set_option(self->members[i], VMTP_OPT_GROUP_RESPONSES, i != 1));
	}
	vmtp_request(&mcb, GROUP, APPLICATION);
	mcb.code |= VMTP_MRD;
	ASSERT_EQ(0, start(self->client, &mcb, NULL, 0));
	for (int i = 0; i < MEMBERS; i++) {
		ASSERT_EQ(0, vmtp_recvreq(self->members[i], &requests[i], NULL, 0, LONG_MS));
		EXPECT_EQ(variant->member, !!(requests[i].flags & VMTP_F_MDG));
	}
	mcb = requests[3];
	vmtp_response(&mcb, 3);
	ASSERT_EQ(0, vmtp_sendreply(self->members[3], &mcb, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(entities[3], mcb.server);
	ASSERT_EQ(0, reply_to_group(self->members[0], &requests[0], 100, segment, SEGMENT));

	ASSERT_EQ(SEGMENT, vmtp_getreply(self->client, &mcb, got, SEGMENT, LONG_MS));
	EXPECT_EQ(VMTP_RESPONSE, mcb.function);
	EXPECT_EQ(entities[0], mcb.server);
	EXPECT_EQ(0, memcmp(segment, got, SEGMENT));
	memset(got, 0, SEGMENT);
	ASSERT_EQ(SEGMENT, vmtp_recvreq(self->members[2], &mcb, got, SEGMENT, LONG_MS));
	EXPECT_EQ(VMTP_GROUP_RESPONSE, mcb.function);
	EXPECT_EQ(entities[0], mcb.server);
	EXPECT_EQ(requests[2].client, mcb.client);
	EXPECT_EQ(requests[2].transaction, mcb.transaction);
	EXPECT_EQ(100, mcb.code & VMTP_CODE_MASK);
	EXPECT_EQ(0, memcmp(segment, got, SEGMENT));
	for (int i = 0; i < MEMBERS; i++) {
		EXPECT_FALSE(comes(self->members[i], POLLIN, i == 3 ? 100 : 0)) { TH_LOG("member %d", i); }
	}

	/* Who has heard may answer like anybody. */
	vmtp_response(&requests[2], 2);
	ASSERT_EQ(0, vmtp_sendreply(self->members[2], &requests[2], NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(entities[2], mcb.server);
	EXPECT_EQ(2, mcb.code);
}

TEST_HARNESS_MAIN
