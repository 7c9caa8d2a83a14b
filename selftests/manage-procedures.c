// SPDX-License-Identifier: GPL-2.0
/*
 * Every management procedure (RFC 1045, III), 0x101 to 0x111, invoked over the
 * wire by a peer that is not the module: with right arguments, with wrong ones,
 * cut, with a segment that it does not have, and by who may not.
 */
#include "manage.h"

#include "kselftest_harness.h"

#define SERVER		little_endian(100000, HOST)
#define PRIVATE		little_endian(100001, HOST)	/* does not want to be asked about */
#define MEMBER		little_endian(100002, HOST)
#define UNKNOWN		little_endian(199999, HOST)
#define FORWARDED	little_endian(200001, PEER)	/* a Client whose Request SERVER has passed on */
#define FAR_SERVER	little_endian(300000, PEER)
#define GROUP_OF(bits, number) ((bits) | (__u64)(number) << 32 | HOST)
#define OPEN_GROUP	GROUP_OF(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP, 0x00112233)
#define NEW_GROUP	GROUP_OF(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP, 0x00112234)
#define CLOSED_GROUP	GROUP_OF(VMTP_ENTITY_GROUP, 0x00112233)
#define SILENCE		(-1L)
#define ANYBODY		(-2L)	/* nobody is refused this */
#define QUIET_MS	60

FIXTURE(procedure)
{
	int tun, server, private, member, client;
};

FIXTURE_SETUP(procedure)
{
	struct vmtp_membership open = { .group = OPEN_GROUP, .permissions = 0x0E };
	struct vmtp_membership closed = { .group = CLOSED_GROUP, .permissions = 0x0E };
	struct packet packet;
	struct vmtp_mcb mcb;

	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->server = open_entity(SERVER);
	self->private = open_entity(PRIVATE);
	self->member = open_entity(MEMBER);
	self->client = open_entity(0);
	ASSERT_GE(self->client, 0);
	ASSERT_EQ(0, set_option(self->private, VMTP_OPT_PRIVATE, 1));
	ASSERT_EQ(0, setsockopt(self->member, SOL_VMTP, VMTP_OPT_JOIN, &open, sizeof(open)));
	ASSERT_EQ(0, setsockopt(self->member, SOL_VMTP, VMTP_OPT_JOIN, &closed, sizeof(closed)));
	/* The server has a Request that it passes on to the peer. */
	request_packet(&packet, FORWARDED, SERVER, 9);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	ASSERT_EQ(0, vmtp_forward(self->server, &mcb, FAR_SERVER, NULL, 0));
	drain(self->tun);
}

FIXTURE_TEARDOWN(procedure)
{
	close(self->server);
	close(self->private);
	close(self->member);
	close(self->client);
	close(self->tun);
}

static struct words four(__u64 coresident, __u64 group, __u64 entity, __u32 permissions)
{
	return with(three(coresident, group, entity), 6, permissions);
}

/* ---- What is answered -------------------------------------------------------------------------------- */

struct procedure {
	const char *name;
	__u32 code;
	struct words right;
	long right_code;
	bool trusted;	/* the right ones want net.vmtp.remote_management */
	struct words wrong;
	long wrong_code;
	struct words refused;	/* without it */
	long refused_code;
	bool whole;	/* all seven words are parameters: a segment takes one away */
};

/* The right Request must find its answer in this. */
static bool is_right(const struct procedure *procedure, const struct packet *answer)
{
	switch (procedure->code) {
	case VMTP_PROC_PROBE_ENTITY:
		return answer->user[1] == HOST && answer->user[2] == (__u32)getpid();
	case VMTP_PROC_PROBE_ENTITY_BLOCK:
		return answer->user[0] == procedure->right.at[0] && answer->user[1] == procedure->right.at[1];
	case VMTP_PROC_QUERY_VMTP_NODE:
		return answer->user[0] == 1500 && answer->segment_size == 12;
	case VMTP_PROC_GET_REQUEST_FORWARDER:
		return ((__u64)answer->user[0] << 32 | answer->user[1]) == SERVER && answer->user[2] == HOST &&
		       answer->user[3] == getuid() && answer->user[4] == 1;
	case VMTP_PROC_CREATE_ENTITY:
		return answer->user[1] == HOST && answer->user[0];
	case VMTP_PROC_QUERY_ENTITY:
		return answer->segment_size == 48 && get64(answer->data) == SERVER;
	case VMTP_PROC_QUERY_GROUP:
		return answer->segment_size == 12 && get32(answer->data) == 1 && get64(answer->data + 4) == MEMBER;
	case VMTP_PROC_MODIFY_SERVICE:
		return answer->user[0] == 7;
	default:
		return true;
	}
}

/* A Request with 512 octets of segment that nobody asked for. */
static long with_segment(int tun, __u32 code, struct words words)
{
	struct packet request, answer;

	manage_packet(&request, code | VMTP_SDA, words);
	memset(request.data, 0x5A, 512);
	request.octets = 512;
	request.segment_size = 512;
	request.delivery = 1;
	return answer_of(tun, &request, &answer, code & VMTP_DGM ? QUIET_MS : LONG_MS) ? (long)PROCEDURE(answer.code) : -1;
}

/*
 * Cut behind every word, in the middle of words too. Whether anything was said to it: a Response to an earlier
 * transaction may come again meanwhile, and the Request that the server has passed on.
 */
static bool cut_is_answered(int tun, __u32 code, struct words words)
{
	struct packet request, answer;
	struct octets octets;
	bool answered = false;

	manage_packet(&request, code, words);
	for (size_t length = 0; length < OVERHEAD; length += length % 4 ? 3 : 1) {
		encode(&request, &octets);
		octets.length = length;
		answered |= !send_octets(tun, &octets);
		while (receive_packet(tun, &answer, 0))
			answered |= answer.client != FORWARDED &&
				    (!(answer.control & C_RESPONSE) || answer.client != request.client ||
				     answer.transaction == request.transaction);
	}
	return answered;
}

/* With a right checksum, and more octets of data than a message may have, or than its mask says. */
static long too_large(int tun, __u32 code, struct words words, __u32 size, __u32 blocks)
{
	struct packet request, answer;

	manage_packet(&request, code | VMTP_SDA, words);
	request.octets = 512;
	request.segment_size = size;
	request.delivery = blocks;
	drain(tun);
	if (!send_packet(tun, &request))
		return -3;
	while (receive_packet(tun, &answer, QUIET_MS)) {
		if (is_notify_client(&answer))
			return notify_client_of(&answer).code & VMTP_CODE_MASK;
		if (answer.control & C_RESPONSE)
			return PROCEDURE(answer.code);
	}
	return SILENCE;
}

/* Shows: III-0103-a III-0104-a III-0105-a III-0106-a III-0107-c III-0108-a III-c */
TEST_F(procedure, every_one_does_what_its_arguments_say_and_refuses_what_it_must)
{
	const struct procedure procedures[] = {
		{ "ProbeEntity", VMTP_PROC_PROBE_ENTITY,
		  with(two(SERVER, SERVER), 4, 1), VMTP_OK, false,
		  with(two(UNKNOWN, UNKNOWN), 4, 1), VMTP_NONEXISTENT_ENTITY,
		  with(two(PRIVATE, PRIVATE), 4, 1), VMTP_NO_PERMISSION },
		{ "AuthProbeEntity", VMTP_PROC_AUTH_PROBE_ENTITY,
		  with(two(SERVER, SERVER), 4, 1), VMTP_NO_AUTHENTICATOR, false,
		  with(two(UNKNOWN, UNKNOWN), 4, 1), VMTP_NONEXISTENT_ENTITY,
		  with(two(PRIVATE, PRIVATE), 4, 1), VMTP_NO_PERMISSION },
		{ "ProbeEntityBlock", VMTP_PROC_PROBE_ENTITY_BLOCK,
		  one(SERVER), VMTP_OK, false,
		  one(SERVER + 0x100000), SILENCE,
		  one(PRIVATE), ANYBODY },
		{ "QueryVMTPNode", VMTP_PROC_QUERY_VMTP_NODE,
		  one(SERVER), VMTP_OK, false,
		  one(UNKNOWN), VMTP_NONEXISTENT_ENTITY,
		  one(PRIVATE), ANYBODY },
		{ "GetRequestForwarder", VMTP_PROC_GET_REQUEST_FORWARDER,
		  two(0, FORWARDED), VMTP_OK, false,
		  two(0, MANAGED_CLIENT), VMTP_NONEXISTENT_ENTITY,
		  two(0, FORWARDED), ANYBODY },
		{ "CreateEntity", VMTP_PROC_CREATE_ENTITY,
		  one(SERVER), VMTP_OK, true,
		  one(UNKNOWN), VMTP_NONEXISTENT_ENTITY,
		  one(SERVER), VMTP_NO_PERMISSION },
		{ "QueryEntity", VMTP_PROC_QUERY_ENTITY,
		  with(one(SERVER), 6, 512), VMTP_OK, false,
		  with(one(UNKNOWN), 6, 512), VMTP_NONEXISTENT_ENTITY,
		  with(one(PRIVATE), 6, 512), VMTP_NO_PERMISSION, true },
		{ "SignalEntity", VMTP_PROC_SIGNAL_ENTITY,
		  with(one(SERVER), 2, 0), VMTP_OK, true,
		  with(one(SERVER), 2, 1000), VMTP_VMTP_ERROR,
		  with(one(SERVER), 2, SIGKILL), VMTP_NO_PERMISSION },
		{ "CreateGroup", VMTP_PROC_CREATE_GROUP,
		  four(0, NEW_GROUP, SERVER, 0x0E), VMTP_OK, false,
		  four(0, SERVER, SERVER, 0x0E), VMTP_VMTP_ERROR,
		  four(0, CLOSED_GROUP + (1ULL << 32), SERVER, 0x0E), VMTP_NO_PERMISSION, true },
		{ "AddToGroup", VMTP_PROC_ADD_TO_GROUP,
		  four(SERVER, OPEN_GROUP, PRIVATE, 0x0E), VMTP_OK, false,
		  four(SERVER, SERVER, PRIVATE, 0x0E), VMTP_VMTP_ERROR,
		  four(SERVER, CLOSED_GROUP, PRIVATE, 0x0E), VMTP_NO_PERMISSION, true },
		{ "RemoveFromGroup", VMTP_PROC_REMOVE_FROM_GROUP,
		  three(SERVER, OPEN_GROUP, PRIVATE), VMTP_OK, false,
		  three(SERVER, SERVER, PRIVATE), VMTP_VMTP_ERROR,
		  three(MEMBER, CLOSED_GROUP, MEMBER), VMTP_NO_PERMISSION },
		{ "QueryGroup", VMTP_PROC_QUERY_GROUP,
		  one(CLOSED_GROUP), VMTP_OK, false,
		  one(CLOSED_GROUP + (9ULL << 32)), VMTP_NONEXISTENT_ENTITY,
		  one(CLOSED_GROUP), ANYBODY },
		{ "ModifyService", VMTP_PROC_MODIFY_SERVICE,
		  service(SERVER, 0, 7), VMTP_OK, true,
		  service(SERVER, 0x10, 7), VMTP_VMTP_ERROR,
		  service(SERVER, 0, 0), VMTP_NO_PERMISSION },
		/* The last: it ends the server. */
		{ "DeleteEntity", VMTP_PROC_DELETE_ENTITY,
		  one(SERVER), VMTP_OK, true,
		  one(UNKNOWN), VMTP_NONEXISTENT_ENTITY,
		  one(SERVER), VMTP_NO_PERMISSION },
	};

	for (size_t i = 0; i < sizeof(procedures) / sizeof(procedures[0]); i++) {
		const struct procedure *p = &procedures[i];
		struct packet request, answer;
		long code;

		ASSERT_EQ(0, setting("remote_management", 0));
		EXPECT_FALSE(cut_is_answered(self->tun, p->code, p->right)) { TH_LOG("%s, cut", p->name); }
		EXPECT_EQ(VMTP_VMTP_ERROR, too_large(self->tun, p->code, p->right, VMTP_MESSAGE_SIZE + 1, 1)) {
			TH_LOG("%s, of more than a message", p->name);
		}
		EXPECT_EQ(VMTP_VMTP_ERROR, too_large(self->tun, p->code, p->right, 512, 3)) {
			TH_LOG("%s, of less than its mask", p->name);
		}
		if (p->refused_code != ANYBODY) {
			EXPECT_EQ(p->refused_code, remote(self->tun, p->code, p->refused, NULL)) {
				TH_LOG("%s, not allowed", p->name);
			}
		}
		ASSERT_EQ(0, setting("remote_management", p->trusted));
		manage_packet(&request, p->code, p->wrong);
		code = answer_of(self->tun, &request, &answer, p->wrong_code == SILENCE ? QUIET_MS : LONG_MS) ?
			       (long)PROCEDURE(answer.code) : SILENCE;
		EXPECT_EQ(p->wrong_code, code) { TH_LOG("%s, wrong", p->name); }
		if (p->whole) {
			EXPECT_EQ(VMTP_VMTP_ERROR, with_segment(self->tun, p->code, p->right)) {
				TH_LOG("%s, with a segment", p->name);
			}
		}
		manage_packet(&request, p->code, p->right);
		ASSERT_TRUE(answer_of(self->tun, &request, &answer, LONG_MS)) { TH_LOG("%s", p->name); }
		EXPECT_EQ(p->right_code, PROCEDURE(answer.code)) { TH_LOG("%s, right", p->name); }
		EXPECT_TRUE(is_right(p, &answer)) { TH_LOG("%s, its results", p->name); }
		EXPECT_EQ(VMTP_MANAGER_GROUP == answer.server, 0);
	}
	/* A segment where none belongs, but no word is missing: it is as if it were not there. */
	EXPECT_EQ(VMTP_OK, with_segment(self->tun, VMTP_PROC_QUERY_VMTP_NODE, one(0)));
}

/* Whoever may not, changes nothing: seen from the host itself. */
TEST_F(procedure, what_was_refused_has_not_been_done)
{
	const struct {
		__u32 code;
		struct words words;
	} refused[] = {
		{ VMTP_PROC_CREATE_ENTITY, one(SERVER) },
		{ VMTP_PROC_DELETE_ENTITY, one(SERVER) },
		{ VMTP_PROC_DELETE_ENTITY, one(CLOSED_GROUP) },
		{ VMTP_PROC_SIGNAL_ENTITY, with(one(SERVER), 2, SIGKILL) },
		{ VMTP_PROC_MODIFY_SERVICE, service(SERVER, 0, 0) },
		{ VMTP_PROC_CREATE_GROUP, four(0, CLOSED_GROUP + (1ULL << 32), SERVER, 0x0E) },
		{ VMTP_PROC_ADD_TO_GROUP, four(SERVER, CLOSED_GROUP, SERVER, 0x0E) },
		{ VMTP_PROC_REMOVE_FROM_GROUP, three(MEMBER, CLOSED_GROUP, MEMBER) },
	};
	struct packet packet, answer;
	struct vmtp_mcb mcb;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		EXPECT_EQ(VMTP_NO_PERMISSION, remote(self->tun, refused[i].code, refused[i].words, NULL)) {
			TH_LOG("0x%08x", refused[i].code);
		}
		/* Nor when nobody is answered: by multicast, and as a datagram. */
		manage_packet(&packet, refused[i].code | VMTP_DGM, refused[i].words);
		packet.destination = MANAGERS;
		packet.frame |= W_MPG;
		EXPECT_FALSE(answer_of(self->tun, &packet, &answer, QUIET_MS));
	}
	EXPECT_EQ(VMTP_OK, probed(self->tun, SERVER));
	request_packet(&packet, little_endian(200002, PEER), SERVER, 9);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	ASSERT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_QUERY_GROUP, one(CLOSED_GROUP), &answer));
	EXPECT_EQ(1, get32(answer.data));
	EXPECT_EQ(MEMBER, get64(answer.data + 4));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, remote(self->tun, VMTP_PROC_QUERY_GROUP, one(CLOSED_GROUP + (1ULL << 32)), NULL));
}

/* ---- What is not answered: the Notify operations ------------------------------------------------------ */

/* The module's Client has a Request at the peer; what of it ended, or 0. */
static long client_ended(int fd)
{
	struct vmtp_mcb mcb;

	if (vmtp_getreply(fd, &mcb, NULL, 0, 0) < 0)
		return -1;
	return mcb.function == VMTP_FAILURE && vmtp_code(&mcb) == VMTP_USER_TIMEOUT ? 0 : (long)vmtp_code(&mcb);
}

/* Shows: III-010F-a */
TEST_F(procedure, notify_vmtp_client_is_for_the_transaction_from_its_server)
{
	struct packet request, notify, answer;

	drain(self->tun);
	ASSERT_EQ(0, start_null(self->client, FAR_SERVER));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	for (int i = 0; i < 6; i++) {
		notify_client_packet(&notify, request.client, 0, request.transaction, 0, VMTP_NO_PERMISSION);
		switch (i) {
		case 0:		/* wrong: of another transaction, or of nobody */
			notify.user[4]++;
			break;
		case 1:
			notify.user[1]++;
			break;
		case 2:		/* who may not: another host */
			notify.source = OTHER;
			break;
		case 3:		/* its last word is that of a segment */
			notify.code |= VMTP_SDA;
			notify.octets = 512;
			notify.delivery = 1;
			notify.segment_size = 512;
			break;
		case 4:
			EXPECT_FALSE(cut_is_answered(self->tun, VMTP_PROC_NOTIFY_CLIENT,
						     *(struct words *)notify.user));
			break;
		}
		if (i != 4)
			ASSERT_TRUE(send_packet(self->tun, &notify));
		EXPECT_EQ(i == 5 ? VMTP_NO_PERMISSION : 0, client_ended(self->client)) { TH_LOG("case %d", i); }
		while (receive_packet(self->tun, &answer, 0)) {
			/* Its server is silent, and looked for. */
			EXPECT_TRUE(answer.server == FAR_SERVER || is_probe(&answer)) { TH_LOG("case %d is answered", i); }
		}
	}
}

/* Shows: III-0110-a */
TEST_F(procedure, notify_vmtp_server_is_for_the_response_from_its_client)
{
	static unsigned char segment[4096];
	struct packet request, notify, answer;
	struct vmtp_mcb mcb;

	/* Of such a size that nobody asks whether the Client is there before it is answered (D-28). */
	request_packet(&request, MANAGED_CLIENT, SERVER, 9);
	request.code |= VMTP_SDA;
	request.segment_size = request.octets = 512;
	request.delivery = 1;
	ASSERT_TRUE(send_packet(self->tun, &request));
	ASSERT_EQ(0, vmtp_recvreq(self->server, &mcb, NULL, 0, LONG_MS));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->server, &mcb, segment, 1024));
	while (receive_packet(self->tun, &answer, 0))
		;
	for (int i = 0; i < 6; i++) {
		bool resent = false;

		/* It lacks the second block. */
		notify_server_packet(&notify, SERVER, MANAGED_CLIENT, 9, 1, VMTP_RETRY);
		switch (i) {
		case 0:
			notify.user[4]++;
			break;
		case 1:
			notify.user[3]++;
			break;
		case 2:
			notify.source = OTHER;
			break;
		case 3:
			notify.code |= VMTP_SDA;
			notify.octets = 512;
			notify.delivery = 1;
			notify.segment_size = 512;
			break;
		case 4:
			EXPECT_FALSE(cut_is_answered(self->tun, VMTP_PROC_NOTIFY_SERVER,
						     *(struct words *)notify.user));
			break;
		}
		if (i != 4)
			ASSERT_TRUE(send_packet(self->tun, &notify));
		while (receive_packet(self->tun, &answer, 0)) {
			EXPECT_TRUE(answer.control & C_RESPONSE) { TH_LOG("case %d is answered", i); }
			resent |= answer.delivery == 2 && answer.octets == 512;
		}
		EXPECT_EQ(i == 5, resent) { TH_LOG("case %d", i); }
	}
}

/* Shows: III-0111-a */
TEST_F(procedure, notify_remote_vmtp_client_is_for_a_request_that_was_passed_on)
{
	struct packet notify, answer;

	for (int i = 0; i < 6; i++) {
		bool told = false;

		/* The peer's server, to which SERVER has passed the Request on, refuses it. */
		notify_client_packet(&notify, FORWARDED, 1 << C_FORWARD, 9, 0, VMTP_NO_PERMISSION);
		notify.code = VMTP_PROC_NOTIFY_REMOTE_CLIENT;
		switch (i) {
		case 0:
			notify.user[4]++;
			break;
		case 1:
			notify.user[1]++;
			break;
		case 2:		/* not of this forward, but of one after it */
			notify.user[2] = 2 << C_FORWARD;
			break;
		case 3:
			notify.code |= VMTP_SDA;
			notify.octets = 512;
			notify.delivery = 1;
			notify.segment_size = 512;
			break;
		case 4:
			EXPECT_FALSE(cut_is_answered(self->tun, VMTP_PROC_NOTIFY_REMOTE_CLIENT,
						     *(struct words *)notify.user));
			break;
		}
		drain(self->tun);
		if (i != 4)
			ASSERT_TRUE(send_packet(self->tun, &notify));
		while (receive_packet(self->tun, &answer, 0))
			told |= is_notify_client(&answer) && notify_client_of(&answer).client == FORWARDED &&
				(notify_client_of(&answer).code & VMTP_CODE_MASK) == VMTP_NO_PERMISSION;
		EXPECT_EQ(i == 5, told) { TH_LOG("case %d", i); }
	}
}

TEST_HARNESS_MAIN
