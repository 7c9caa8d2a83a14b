// SPDX-License-Identifier: GPL-2.0
/*
 * Entity groups (RFC 1045, 2.7, III, III.1): how they are made and who may change
 * them, as seen by a peer that is not the module and by sockets of the host.
 */
#include "manage.h"
#include "userfault.h"

#include <linux/filter.h>

#include "kselftest_harness.h"

#define ALL_PERMISSIONS	0xFF
#define USER		1000
#define STRANGER	1001
#define GROUP_OF(bits, number, address) \
	((bits) | (__u64)(number) << 32 | (address))
#define RESTRICTED	GROUP_OF(VMTP_ENTITY_GROUP, 0x00112233, HOST)
#define UNRESTRICTED	GROUP_OF(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP, 0x00445566, HOST)
#define FAR		little_endian(300000, PEER)	/* an entity of the raw peer */
#define GROUP_REQUEST	(VMTP_CODE_APPLICATION | 9)

FIXTURE(group)
{
	int tun, manager, member, stranger, root;
	__u64 manager_entity, member_entity, stranger_entity;
};

FIXTURE_SETUP(group)
{
	ASSERT_GE(namespace_make(), 0);
	self->tun = link_make(1500);
	ASSERT_GE(self->tun, 0);
	ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	self->manager = open_entity_as(USER, 0);
	self->member = open_entity_as(USER, 0);
	self->stranger = open_entity_as(STRANGER, 0);
	self->root = open_entity(0);
	ASSERT_GE(self->root, 0);
	ASSERT_GE(self->stranger, 0);
	self->manager_entity = entity_of(self->manager);
	self->member_entity = entity_of(self->member);
	self->stranger_entity = entity_of(self->stranger);
}

FIXTURE_TEARDOWN(group)
{
	close(self->manager);
	close(self->member);
	close(self->stranger);
	close(self->root);
	close(self->tun);
}

static struct words four(__u64 coresident, __u64 group, __u64 entity, __u32 permissions)
{
	return with(three(coresident, group, entity), 6, permissions);
}

/* How many members QueryGroup tells of, or minus the code. */
static long members(int tun, __u64 group, __u64 *list, size_t room)
{
	struct packet answer;
	long code = remote(tun, VMTP_PROC_QUERY_GROUP, one(group), &answer);
	__u32 count;

	if (code)
		return -code;
	count = get32(answer.data);
	for (__u32 i = 0; i < count && i < room && 4 + 8 * (i + 1) <= answer.segment_size; i++)
		list[i] = get64(answer.data + 4 + 8 * i);
	return answer.segment_size == 4 + 8 * count ? (long)count : -1000;
}

/* Whether a Request to the group reaches a socket. */
static bool reaches(int tun, __u64 group, __u32 address, int fd)
{
	static __u32 transaction = 100;
	struct packet packet;
	struct vmtp_mcb mcb;

	request_packet(&packet, little_endian(210000, PEER), group, transaction++);
	packet.code = GROUP_REQUEST;
	packet.destination = address;
	send_packet(tun, &packet);
	/* It is there when send_packet returns. */
	if (vmtp_recvreq(fd, &mcb, NULL, 0, 1) < 0)
		return false;
	vmtp_response(&mcb, VMTP_OK);
	vmtp_sendreply(fd, &mcb, NULL, 0);
	drain(tun);
	return true;
}

#define RESTRICTED_ADDRESS	0xE8112233U	/* 232.17.34.51 */
#define UNRESTRICTED_ADDRESS	0xE8445566U

/* Shows: III-010A-a III-010B-a III.1-d */
TEST_F(group, whoever_creates_a_group_manages_it)
{
	__u64 list[4];

	ASSERT_EQ(VMTP_OK, local(self->manager, VMTP_PROC_CREATE_GROUP,
				 four(0, RESTRICTED, self->member_entity, VMTP_REM_BY_PRIN)));
	ASSERT_EQ(1, members(self->tun, RESTRICTED, list, 4));
	EXPECT_EQ(self->member_entity, list[0]);
	EXPECT_TRUE(reaches(self->tun, RESTRICTED, RESTRICTED_ADDRESS, self->member));
	/* There is one already. */
	EXPECT_EQ(VMTP_NO_PERMISSION, local(self->stranger, VMTP_PROC_CREATE_GROUP,
					    four(0, RESTRICTED, self->stranger_entity, 0)));
	/* A stranger may not add, nor may a member without the permission. */
	EXPECT_EQ(VMTP_NO_PERMISSION,
		  local(self->stranger, VMTP_PROC_ADD_TO_GROUP, four(0, RESTRICTED, self->stranger_entity, 0)));
	EXPECT_EQ(VMTP_NO_PERMISSION,
		  local(self->member, VMTP_PROC_ADD_TO_GROUP, four(0, RESTRICTED, self->stranger_entity, 0)));
	EXPECT_FALSE(reaches(self->tun, RESTRICTED, RESTRICTED_ADDRESS, self->stranger));
	EXPECT_EQ(VMTP_OK,
		  local(self->manager, VMTP_PROC_ADD_TO_GROUP, four(0, RESTRICTED, self->stranger_entity, 0)));
	EXPECT_TRUE(reaches(self->tun, RESTRICTED, RESTRICTED_ADDRESS, self->stranger));
	EXPECT_EQ(2, members(self->tun, RESTRICTED, list, 4));
	/* The manager takes it out; it would not go against the member's own permission. */
	EXPECT_EQ(VMTP_NO_PERMISSION,
		  local(self->manager, VMTP_PROC_REMOVE_FROM_GROUP, three(0, RESTRICTED, self->stranger_entity)));
	EXPECT_EQ(VMTP_OK,
		  local(self->manager, VMTP_PROC_REMOVE_FROM_GROUP, three(0, RESTRICTED, self->member_entity)));
	drain(self->tun);
	EXPECT_EQ(1, members(self->tun, RESTRICTED, list, 4));
	EXPECT_EQ(self->stranger_entity, list[0]);
}

struct attach {
	int fd;
	struct absent program;
};

static void *attach_thread(void *argument)
{
	struct attach *attach = argument;

	setsockopt(attach->fd, SOL_SOCKET, SO_ATTACH_FILTER, attach->program.at, sizeof(struct sock_fprog));
	return NULL;
}

/* The kernel holds the socket's lock while it reads the filter; the manager serves everybody. */
TEST_F(group, a_user_whose_memory_does_not_come_holds_up_no_management)
{
	struct attach attach = { .fd = self->member };
	pthread_t thread;

	ASSERT_EQ(VMTP_OK, local(self->manager, VMTP_PROC_CREATE_GROUP,
				 four(0, RESTRICTED, self->manager_entity, 0)));
	ASSERT_TRUE(absent_make(&attach.program, 4096));
	ASSERT_EQ(0, pthread_create(&thread, NULL, attach_thread, &attach));
	ASSERT_TRUE(absent_is_wanted(&attach.program, LONG_MS));
	EXPECT_EQ(VMTP_OK, local(self->manager, VMTP_PROC_ADD_TO_GROUP, four(0, RESTRICTED, self->member_entity, 0)));
	EXPECT_EQ(2, members(self->tun, RESTRICTED, NULL, 0));
	EXPECT_EQ(VMTP_OK, local(self->manager, VMTP_PROC_DELETE_ENTITY, one(self->member_entity)));
	EXPECT_EQ(1, members(self->tun, RESTRICTED, NULL, 0));
	EXPECT_TRUE(ready(self->member) & POLLRDHUP);
	absent_end(&attach.program);
	pthread_join(thread, NULL);
}

/* Shows: III.1-a III.1-d III.1-e */
TEST_F(group, a_member_adds_what_its_permissions_say)
{
	int another = open_entity_as(USER, 0);
	__u64 entity = entity_of(another);

	ASSERT_EQ(VMTP_OK, local(self->manager, VMTP_PROC_CREATE_GROUP,
				 four(0, RESTRICTED, self->member_entity, 0x10 | 0x08))); /* ADD_PRIN, REM_BY_OTHE */
	EXPECT_EQ(VMTP_NO_PERMISSION,
		  local(self->member, VMTP_PROC_ADD_TO_GROUP, four(0, RESTRICTED, self->stranger_entity, 0)));
	/* More than it has itself. */
	EXPECT_EQ(VMTP_NO_PERMISSION, local(self->member, VMTP_PROC_ADD_TO_GROUP, four(0, RESTRICTED, entity, 0x20)));
	EXPECT_EQ(VMTP_OK, local(self->member, VMTP_PROC_ADD_TO_GROUP, four(0, RESTRICTED, entity, 0x10)));
	EXPECT_EQ(2, members(self->tun, RESTRICTED, NULL, 0));
	close(another);
	EXPECT_EQ(1, members(self->tun, RESTRICTED, NULL, 0));
	/* ADD_OTHE is for any. */
	ASSERT_EQ(VMTP_OK, local(self->manager, VMTP_PROC_REMOVE_FROM_GROUP, three(0, RESTRICTED, self->member_entity)));
	ASSERT_EQ(VMTP_OK, local(self->manager, VMTP_PROC_ADD_TO_GROUP, four(0, RESTRICTED, self->member_entity, 0x20)));
	EXPECT_EQ(VMTP_OK,
		  local(self->member, VMTP_PROC_ADD_TO_GROUP, four(0, RESTRICTED, self->stranger_entity, 0)));
}

/* Shows: III.1-b III.1-c III.1-h III-010C-a */
TEST_F(group, removal_wants_the_permissions_of_both)
{
	static const struct {
		__u32 own;		/* of the member that removes */
		__u32 others;		/* of the one that is removed */
		bool same;		/* they have one principal */
		long restricted, unrestricted;
	} cases[] = {
		{ 0x40, 0x04, true, VMTP_OK, VMTP_OK },				/* REM_PRIN, REM_BY_PRIN */
		{ 0x40, 0x02, true, VMTP_NO_PERMISSION, VMTP_NO_PERMISSION },
		{ 0x80, 0x08, true, VMTP_OK, VMTP_OK },				/* REM_OTHE, REM_BY_OTHE */
		{ 0x00, 0x0C, true, VMTP_NO_PERMISSION, VMTP_OK },
		{ 0x40, 0x08, false, VMTP_NO_PERMISSION, VMTP_OK },
		{ 0x80, 0x08, false, VMTP_OK, VMTP_OK },
		{ 0x80, 0x04, false, VMTP_NO_PERMISSION, VMTP_NO_PERMISSION },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int open = 0; open < 2; open++) {
			__u64 group = (open ? UNRESTRICTED : RESTRICTED) + ((__u64)(i + 1) << 32);
			__u64 other = cases[i].same ? self->manager_entity : self->stranger_entity;

			ASSERT_EQ(VMTP_OK, local(self->root, VMTP_PROC_CREATE_GROUP,
						 four(0, group, self->member_entity, cases[i].own)));
			ASSERT_EQ(VMTP_OK, local(self->root, VMTP_PROC_ADD_TO_GROUP,
						 four(0, group, other, cases[i].others)));
			EXPECT_EQ(open ? cases[i].unrestricted : cases[i].restricted,
				  local(self->member, VMTP_PROC_REMOVE_FROM_GROUP, three(0, group, other))) {
				TH_LOG("case %zu, %s", i, open ? "unrestricted" : "restricted");
			}
			/* By itself only with REM_BY_SELF. */
			EXPECT_EQ(VMTP_NO_PERMISSION, local(self->member, VMTP_PROC_REMOVE_FROM_GROUP,
							    three(0, group, self->member_entity)));
			ASSERT_EQ(VMTP_OK, local(self->root, VMTP_PROC_DELETE_ENTITY, one(group)));
			EXPECT_EQ(-VMTP_NONEXISTENT_ENTITY, members(self->tun, group, NULL, 0));
		}
	}
	ASSERT_EQ(VMTP_OK, local(self->root, VMTP_PROC_CREATE_GROUP, four(0, RESTRICTED, self->member_entity, 0x02)));
	EXPECT_EQ(VMTP_OK, local(self->member, VMTP_PROC_REMOVE_FROM_GROUP, three(0, RESTRICTED, self->member_entity)));
	EXPECT_FALSE(reaches(self->tun, RESTRICTED, RESTRICTED_ADDRESS, self->member));
}

/* Shows: III.1-f III.1-g III-010B-c */
TEST_F(group, an_unrestricted_group_is_open_to_all_but_the_immune)
{
	struct vmtp_membership membership = { .group = UNRESTRICTED, .permissions = 0x02 };
	struct packet request, answer;

	ASSERT_EQ(0, setsockopt(self->stranger, SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership)));
	EXPECT_TRUE(reaches(self->tun, UNRESTRICTED, UNRESTRICTED_ADDRESS, self->stranger));
	/* Another host adds another entity, by the manager of that entity. */
	ASSERT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_ADD_TO_GROUP,
				  four(self->member_entity, UNRESTRICTED, self->member_entity, 0x08), NULL));
	EXPECT_TRUE(reaches(self->tun, UNRESTRICTED, UNRESTRICTED_ADDRESS, self->member));
	EXPECT_EQ(2, members(self->tun, UNRESTRICTED, NULL, 0));
	/* It takes it out again, but not one that does not allow it. */
	EXPECT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_REMOVE_FROM_GROUP,
				  three(self->member_entity, UNRESTRICTED, self->member_entity), NULL));
	EXPECT_EQ(VMTP_NO_PERMISSION, remote(self->tun, VMTP_PROC_REMOVE_FROM_GROUP,
					     three(self->stranger_entity, UNRESTRICTED, self->stranger_entity), NULL));
	/* The same by multicast, by whichever host has the entity. */
	manage_packet(&request, VMTP_PROC_ADD_TO_GROUP, four(self->member_entity, UNRESTRICTED, self->member_entity, 0x08));
	request.destination = MANAGERS;
	ASSERT_TRUE(answer_of(self->tun, &request, &answer, LONG_MS));
	EXPECT_EQ(VMTP_OK, answer.code);
	EXPECT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_REMOVE_FROM_GROUP,
				  three(self->member_entity, UNRESTRICTED, self->member_entity), NULL));

	ASSERT_EQ(0, set_option(self->member, VMTP_OPT_IMMUNE, 1));
	EXPECT_EQ(VMTP_NO_PERMISSION, remote(self->tun, VMTP_PROC_ADD_TO_GROUP,
					     four(self->member_entity, UNRESTRICTED, self->member_entity, 0), NULL));
	EXPECT_EQ(VMTP_NO_PERMISSION, local(self->stranger, VMTP_PROC_ADD_TO_GROUP,
					    four(0, UNRESTRICTED, self->member_entity, 0)));
	EXPECT_EQ(VMTP_OK,
		  local(self->member, VMTP_PROC_ADD_TO_GROUP, four(0, UNRESTRICTED, self->member_entity, 0)));
}

/* ---- Other hosts ---------------------------------------------------------------------------------------- */

/* Answers for the manager of an entity elsewhere. */
static bool other_manager_answers(int tun, struct packet *request, __u32 code)
{
	struct packet answer;

	for (;;) {
		if (!receive_packet(tun, request, LONG_MS))
			return false;
		if (!(request->control & C_RESPONSE) && request->server == VMTP_MANAGER_GROUP &&
		    !(request->code & VMTP_DGM))
			break;
	}
	response_packet(&answer, request, PEER_MANAGER);
	answer.code = code;
	return send_packet(tun, &answer);
}

static int start_operation(int fd, __u32 code, struct words words)
{
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, VMTP_MANAGER_GROUP, code & VMTP_CODE_MASK);
	mcb.code = code;
	mcb.coresident = (__u64)words.at[0] << 32 | words.at[1];
	memcpy(mcb.user, words.at, sizeof(mcb.user));
	mcb.msg_delivery = words.at[5];
	mcb.segment_size = words.at[6];
	return start(fd, &mcb, NULL, 0);
}

/* Shows: III-010B-b III.2-a III-010A-b III-010C-a */
TEST_F(group, the_local_manager_asks_that_of_a_distant_entity)
{
	struct packet passed_on;
	struct vmtp_mcb mcb;

	ASSERT_EQ(VMTP_OK, local(self->manager, VMTP_PROC_CREATE_GROUP,
				 four(0, RESTRICTED, self->member_entity, 0)));
	drain(self->tun);
	/* Not for a stranger: nothing leaves the host. */
	EXPECT_EQ(VMTP_NO_PERMISSION, local(self->stranger, VMTP_PROC_ADD_TO_GROUP, four(0, RESTRICTED, FAR, 0)));
	EXPECT_FALSE(receive_packet(self->tun, &passed_on, 50));
	/* Nor for another host, which may ask that manager itself: only its answer does. */
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY,
		  remote(self->tun, VMTP_PROC_ADD_TO_GROUP, four(0, UNRESTRICTED, FAR, 0), NULL));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY,
		  remote(self->tun, VMTP_PROC_REMOVE_FROM_GROUP, three(0, UNRESTRICTED, FAR), NULL));
	EXPECT_FALSE(receive_packet(self->tun, &passed_on, 50));

	ASSERT_EQ(0, start_operation(self->manager, VMTP_PROC_ADD_TO_GROUP, four(0, RESTRICTED, FAR, 0x18)));
	ASSERT_TRUE(other_manager_answers(self->tun, &passed_on, VMTP_OK));
	EXPECT_EQ(PEER, passed_on.destination);
	EXPECT_EQ(VMTP_PROC_ADD_TO_GROUP, passed_on.code);
	EXPECT_EQ(FAR, (__u64)passed_on.user[0] << 32 | passed_on.user[1]);
	EXPECT_EQ(RESTRICTED, (__u64)passed_on.user[2] << 32 | passed_on.user[3]);
	EXPECT_EQ(0, passed_on.user[4] | passed_on.msg_delivery);
	EXPECT_EQ(0x18, passed_on.segment_size);
	ASSERT_EQ(0, vmtp_getreply(self->manager, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));

	ASSERT_EQ(0, start_operation(self->manager, VMTP_PROC_REMOVE_FROM_GROUP, three(0, RESTRICTED, FAR)));
	ASSERT_TRUE(other_manager_answers(self->tun, &passed_on, VMTP_NO_PERMISSION));
	EXPECT_EQ(VMTP_PROC_REMOVE_FROM_GROUP, passed_on.code);
	EXPECT_EQ(FAR, (__u64)passed_on.user[0] << 32 | passed_on.user[1]);
	EXPECT_EQ(RESTRICTED, (__u64)passed_on.user[2] << 32 | passed_on.user[3]);
	EXPECT_EQ(0, passed_on.user[4] | passed_on.msg_delivery);
	ASSERT_EQ(0, vmtp_getreply(self->manager, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_NO_PERMISSION, vmtp_code(&mcb));
}

/* Shows: III.2-a */
TEST_F(group, what_another_manager_asks_unsigned_is_for_unrestricted_groups)
{
	EXPECT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_ADD_TO_GROUP, four(self->member_entity, UNRESTRICTED, 0, 0), NULL));
	EXPECT_EQ(VMTP_NO_PERMISSION,
		  remote(self->tun, VMTP_PROC_ADD_TO_GROUP, four(self->member_entity, RESTRICTED, 0, 0), NULL));
	EXPECT_EQ(VMTP_NO_PERMISSION, remote(self->tun, VMTP_PROC_CREATE_GROUP,
					     four(0, RESTRICTED, self->member_entity, 0), NULL));
	ASSERT_EQ(0, setting("remote_management", 1));
	EXPECT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_ADD_TO_GROUP, four(self->member_entity, RESTRICTED, 0, 0x08), NULL));
	EXPECT_EQ(1, members(self->tun, RESTRICTED, NULL, 0));
	EXPECT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_REMOVE_FROM_GROUP, three(self->member_entity, RESTRICTED, 0), NULL));
	EXPECT_EQ(-VMTP_NONEXISTENT_ENTITY, members(self->tun, RESTRICTED, NULL, 0));
}

/* Shows: III-0107-b */
TEST_F(group, a_group_that_is_deleted_has_no_members)
{
	struct packet request, answer;
	struct vmtp_mcb mcb;

	ASSERT_EQ(VMTP_OK, local(self->manager, VMTP_PROC_CREATE_GROUP, four(0, RESTRICTED, self->member_entity, 0)));
	ASSERT_EQ(VMTP_OK, local(self->manager, VMTP_PROC_ADD_TO_GROUP, four(0, RESTRICTED, self->stranger_entity, 0)));
	EXPECT_EQ(VMTP_NO_PERMISSION, remote(self->tun, VMTP_PROC_DELETE_ENTITY, one(RESTRICTED), NULL));
	/* From its manager it goes to all managers, and to this host's own. */
	ASSERT_EQ(0, start_operation(self->manager, VMTP_PROC_DELETE_ENTITY, one(RESTRICTED)));
	ASSERT_TRUE(receive_packet(self->tun, &request, LONG_MS));
	EXPECT_EQ(VMTP_PROC_DELETE_ENTITY, request.code);
	EXPECT_EQ(MANAGERS, request.destination);
	ASSERT_EQ(0, vmtp_getreply(self->manager, &mcb, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
	EXPECT_EQ(-VMTP_NONEXISTENT_ENTITY, members(self->tun, RESTRICTED, NULL, 0));

	/* Of an unrestricted group any host takes away the members that allow it. */
	ASSERT_EQ(VMTP_OK, remote(self->tun, VMTP_PROC_CREATE_GROUP, four(0, UNRESTRICTED, self->member_entity, 0x08), NULL));
	manage_packet(&request, VMTP_PROC_DELETE_ENTITY, one(UNRESTRICTED));
	request.destination = MANAGERS;
	ASSERT_TRUE(answer_of(self->tun, &request, &answer, LONG_MS));
	EXPECT_EQ(VMTP_OK, answer.code);
	EXPECT_GE(0, members(self->tun, UNRESTRICTED, NULL, 0));
}

/* What other hosts make here is a part of what there may be: they cannot keep this host's users from theirs. */
TEST_F(group, other_hosts_use_up_a_quarter)
{
	ASSERT_EQ(0, setting("groups_max", 8));
	ASSERT_EQ(0, setting("memberships_max", 12));
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(i < 2 ? VMTP_OK : VMTP_BUSY,
			  remote(self->tun, VMTP_PROC_CREATE_GROUP,
				 four(0, UNRESTRICTED + ((i + 1ULL) << 32), self->member_entity, 0), NULL)) {
			TH_LOG("group %d", i);
		}
	}
	for (int i = 4; i < 10; i++)
		EXPECT_EQ(VMTP_OK, local(self->manager, VMTP_PROC_CREATE_GROUP,
					 four(0, UNRESTRICTED + ((i + 1ULL) << 32), self->manager_entity, 0)));
	EXPECT_EQ(VMTP_BUSY, local(self->manager, VMTP_PROC_CREATE_GROUP,
				   four(0, UNRESTRICTED + (11ULL << 32), self->manager_entity, 0)));
	/* The member is in two groups already. */
	for (int i = 20; i < 23; i++) {
		__u64 group = UNRESTRICTED + ((__u64)i << 32);

		EXPECT_EQ(i < 21 ? VMTP_OK : VMTP_BUSY,
			  remote(self->tun, VMTP_PROC_ADD_TO_GROUP, four(self->member_entity, group, 0, 0), NULL));
		EXPECT_EQ(VMTP_OK, local(self->member, VMTP_PROC_ADD_TO_GROUP, four(0, group, self->member_entity, 0)));
	}
}

/* Shows: III-010D-a D-16-d */
TEST_F(group, each_manager_lists_its_members)
{
	static int fds[200];
	static __u64 list[200];
	struct vmtp_membership membership = { .group = UNRESTRICTED };
	static unsigned char record[VMTP_GROUP_SIZE];
	struct packet request, answer;
	struct vmtp_mcb mcb;
	long octets;

	for (int i = 0; i < 200; i++) {
		fds[i] = open_entity(0);
		ASSERT_GE(fds[i], 0);
		ASSERT_EQ(0, setsockopt(fds[i], SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership)));
		if (i == 4) {
			ASSERT_EQ(5, members(self->tun, UNRESTRICTED, list, 5));
			for (int j = 0; j < 5; j++) {
				bool found = false;

				for (int k = 0; k < 5; k++)
					found |= list[k] == entity_of(fds[j]);
				EXPECT_TRUE(found);
			}
		}
	}
	/* More than three octets for one: the Client is probed first, and has it in as many packets as it takes. */
	manage_packet(&request, VMTP_PROC_QUERY_GROUP, one(UNRESTRICTED));
	drain(self->tun);
	ASSERT_TRUE(send_packet(self->tun, &request));
	ASSERT_TRUE(receive_packet(self->tun, &answer, LONG_MS));
	EXPECT_TRUE(is_probe(&answer));
	ASSERT_EQ(VMTP_OK, local_with(self->root, VMTP_PROC_QUERY_GROUP, one(UNRESTRICTED), NULL, 0, &mcb, record,
				      sizeof(record), &octets));
	EXPECT_EQ(4 + 200 * 8, octets);
	EXPECT_EQ(200, get32(record));
	for (int i = 0; i < 200; i++)
		close(fds[i]);
	EXPECT_EQ(-VMTP_NONEXISTENT_ENTITY, members(self->tun, UNRESTRICTED, NULL, 0));
	manage_packet(&request, VMTP_PROC_QUERY_GROUP, one(UNRESTRICTED));
	request.destination = MANAGERS;
	EXPECT_FALSE(answer_of(self->tun, &request, &answer, 50));
}

/* ---- Delivery --------------------------------------------------------------------------------------------- */

static int join(int fd, __u64 group)
{
	struct vmtp_membership membership = { .group = group };

	return setsockopt(fd, SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership));
}

static int leave(int fd, __u64 group)
{
	struct vmtp_membership membership = { .group = group };

	return setsockopt(fd, SOL_VMTP, VMTP_OPT_LEAVE, &membership, sizeof(membership));
}

/* Whether the namespace is in this host group on tun0. */
static bool in_host_group(__u32 address)
{
	FILE *file = fopen("/proc/thread-self/net/igmp", "r");
	char line[256], wanted[16];
	bool on_tun = false, member = false;

	snprintf(wanted, sizeof(wanted), "%08X", htonl(address));
	while (fgets(line, sizeof(line), file)) {
		if (line[0] != '\t')
			on_tun = strstr(line, "tun0");
		else
			member |= on_tun && strstr(line, wanted);
	}
	fclose(file);
	return member;
}

/* Shows: IV.1-b VI-c */
TEST_F(group, groups_may_share_a_host_group)
{
	/* Numbers that agree in their low 24 bits, and so in 232.X.X.X. */
	__u64 first = GROUP_OF(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP, 0x01445566, HOST);
	__u64 second = GROUP_OF(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP, 0x02445566, HOST);

	EXPECT_FALSE(in_host_group(UNRESTRICTED_ADDRESS));
	ASSERT_EQ(0, join(self->member, first));
	ASSERT_EQ(0, join(self->stranger, second));
	EXPECT_TRUE(in_host_group(UNRESTRICTED_ADDRESS));
	EXPECT_TRUE(reaches(self->tun, first, UNRESTRICTED_ADDRESS, self->member));
	EXPECT_FALSE(reaches(self->tun, first, UNRESTRICTED_ADDRESS, self->stranger));
	EXPECT_FALSE(reaches(self->tun, second, UNRESTRICTED_ADDRESS, self->member));
	EXPECT_TRUE(ready(self->stranger) & POLLIN);
	/* One socket in both. */
	ASSERT_EQ(0, join(self->member, second));
	ASSERT_EQ(0, leave(self->member, first));
	EXPECT_TRUE(in_host_group(UNRESTRICTED_ADDRESS));
	EXPECT_TRUE(reaches(self->tun, second, UNRESTRICTED_ADDRESS, self->member));
	ASSERT_EQ(0, leave(self->member, second));
	EXPECT_TRUE(in_host_group(UNRESTRICTED_ADDRESS));
	ASSERT_EQ(0, leave(self->stranger, second));
	EXPECT_FALSE(in_host_group(UNRESTRICTED_ADDRESS));
}

/* Shows: 5.7-p */
TEST_F(group, every_member_has_its_own_record_and_copy)
{
	static unsigned char first[VMTP_GROUP_SIZE], second[VMTP_GROUP_SIZE], sent[1024];
	struct vmtp_mcb to_member, to_stranger;
	struct packet packet, answers[2];

	ASSERT_EQ(0, join(self->member, UNRESTRICTED));
	ASSERT_EQ(0, join(self->stranger, UNRESTRICTED));
	fill(sent, sizeof(sent), 5);
	request_packet(&packet, MANAGED_CLIENT, UNRESTRICTED, 7);
	packet.destination = UNRESTRICTED_ADDRESS;
	carry(&packet, sent, sizeof(sent), 3);
	drain(self->tun);
	ASSERT_TRUE(send_packet(self->tun, &packet));
	ASSERT_EQ(sizeof(sent), vmtp_recvreq(self->member, &to_member, first, sizeof(first), 0));
	EXPECT_EQ(0, memcmp(first, sent, sizeof(sent)));
	memset(first, 0xEE, sizeof(first));
	ASSERT_EQ(sizeof(sent), vmtp_recvreq(self->stranger, &to_stranger, second, sizeof(second), 0));
	EXPECT_EQ(0, memcmp(second, sent, sizeof(sent)));
	vmtp_response(&to_member, 100);
	vmtp_response(&to_stranger, 200);
	ASSERT_EQ(0, vmtp_sendreply(self->member, &to_member, NULL, 0));
	ASSERT_EQ(0, vmtp_sendreply(self->stranger, &to_stranger, NULL, 0));
	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(receive_packet(self->tun, &answers[i], LONG_MS));
		EXPECT_TRUE(answers[i].control & C_RESPONSE);
		EXPECT_EQ(i ? 200 : 100, answers[i].code);
		EXPECT_EQ(i ? self->stranger_entity : self->member_entity, answers[i].server);
	}
	/* The Request again: both records know it. */
	ASSERT_TRUE(send_packet(self->tun, &packet));
	EXPECT_FALSE(ready(self->member) & POLLIN);
	EXPECT_FALSE(ready(self->stranger) & POLLIN);
}

/* A restricted group with members of others on this host is not entered by a socket option. */
TEST_F(group, a_restricted_group_of_others_is_not_entered)
{
	ASSERT_EQ(0, join(self->member, RESTRICTED));
	EXPECT_ERRNO(EACCES, join(self->stranger, RESTRICTED));
	EXPECT_EQ(0, join(self->root, RESTRICTED));
}

/* Lines of the namespace's /proc/net/vmtp/groups, without its head. */
static int memberships(void)
{
	FILE *file = fopen("/proc/thread-self/net/vmtp/groups", "r");
	int c, lines = -1;

	while (file && (c = fgetc(file)) != EOF)
		lines += c == '\n';
	if (file)
		fclose(file);
	return lines;
}

/* However they lie in the table: a membership that stayed would keep the socket, its namespace and the module. */
TEST_F(group, who_goes_leaves_every_group)
{
	for (int round = 0; round < 16; round++) {
		int fd = open_entity(0);

		ASSERT_GE(fd, 0);
		for (int i = 0; i < 16; i++)
			ASSERT_EQ(0, join(fd, GROUP_OF(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP, 0x00700000 + 977 * i + 3 * round, HOST)));
		EXPECT_EQ(16, memberships());
		close(fd);
		EXPECT_EQ(0, memberships());
	}
}

TEST_HARNESS_MAIN
