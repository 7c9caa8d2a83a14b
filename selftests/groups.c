// SPDX-License-Identifier: GPL-2.0
/*
 * Entity groups with members on several hosts, and several on one (RFC 1045, 2.7,
 * III): who gets a Request, whose Responses come back, and who may change a group
 * from where.
 */
#include "manage.h"
#include "hosts.h"

#include "kselftest_harness.h"

#define HOSTS		3
#define MEMBERS		6	/* two on each host */
#define USER		1000
#define MEMBER_OF(i)	little_endian(100000 + (i), ADDRESS_OF((i) / 2))
#define DYNAMIC		(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP | 0x0012345600000000ULL | ADDRESS_OF(0))
#define WELL_KNOWN	(VMTP_ENTITY_GROUP | 0x0001234500000000ULL | 0xE0000114)	/* RG-..-224.0.1.20 */
#define NAMED(kind)	((kind) | 0x0065432100000000ULL | ADDRESS_OF(0))

FIXTURE(group)
{
	struct hosts hosts;
	int client;
	struct echo members[MEMBERS];
};

FIXTURE_SETUP(group)
{
	ASSERT_EQ(0, hosts_make(&self->hosts, HOSTS));
	for (int i = HOSTS - 1; i >= 0; i--) {
		ASSERT_EQ(0, hosts_enter(&self->hosts, i));
		ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	}
	for (int i = 0; i < MEMBERS; i++) {
		int fd = hosts_open(&self->hosts, i / 2, MEMBER_OF(i));

		ASSERT_GE(fd, 0);
		ASSERT_EQ(0, echo_start(&self->members[i], fd));
	}
	self->client = open_entity(0);
	ASSERT_GE(self->client, 0);
}

FIXTURE_TEARDOWN(group)
{
	for (int i = 0; i < MEMBERS; i++)
		echo_stop(&self->members[i]);
	close(self->client);
	hosts_end(&self->hosts);
}

static int membership(int fd, int option, __u64 group)
{
	struct vmtp_membership membership = { .group = group };

	return setsockopt(fd, SOL_VMTP, option, &membership, sizeof(membership));
}

/*
 * Which members answer a Request to the group, one bit each; -1 if one answers twice or fails. However slow they are
 * the wanted ones are waited for, and then it is seen whether another comes.
 */
static long answering(int fd, __u64 group, __u32 flags, __u64 coresident, long wanted)
{
	struct vmtp_mcb mcb;
	long found = 0;

	vmtp_request(&mcb, group, APPLICATION);
	mcb.code |= flags;
	mcb.coresident = coresident;
	if (vmtp_invoke(fd, &mcb, NULL, 0, NULL, 0, 0) < 0)
		return -1;
	do {
		if (mcb.function != VMTP_RESPONSE)
			return vmtp_code(&mcb) == VMTP_USER_TIMEOUT ? found : -1;
		for (int i = 0; i < MEMBERS; i++) {
			if (mcb.server != MEMBER_OF(i))
				continue;
			if (found & 1L << i)
				return -1;
			found |= 1L << i;
		}
	} while (vmtp_getreply(fd, &mcb, NULL, 0, (found & wanted) == wanted ? 300 : LONG_MS) >= 0);
	return -1;
}

static unsigned long served(struct echo *members)
{
	unsigned long all = 0;

	for (int i = 0; i < MEMBERS; i++)
		all += __atomic_load_n(&members[i].served, __ATOMIC_RELAXED);
	return all;
}

/* Shows: 2.7-a D-23-b */
TEST_F(group, every_member_gets_a_request_and_every_response_comes_if_wanted)
{
	static const __u64 groups[] = { DYNAMIC, WELL_KNOWN };
	long first;

	for (int g = 0; g < 2; g++) {
		unsigned long before = served(self->members);

		for (int i = 0; i < MEMBERS; i++)
			ASSERT_EQ(0, membership(self->members[i].fd, VMTP_OPT_JOIN, groups[g]));
		EXPECT_EQ(0x3F, answering(self->client, groups[g], VMTP_MRD, 0, 0x3F));
		EXPECT_EQ(before + MEMBERS, served(self->members));
		/* Without MRD it is the first Response that counts. */
		first = answering(self->client, groups[g], 0, 0, 0);
		EXPECT_TRUE(first > 0 && !(first & (first - 1))) { TH_LOG("members 0x%lx", first); }
		/* Who leaves gets no more: one of two on a host, both, and all on all. */
		ASSERT_EQ(0, membership(self->members[2].fd, VMTP_OPT_LEAVE, groups[g]));
		EXPECT_EQ(0x3B, answering(self->client, groups[g], VMTP_MRD, 0, 0x3B));
		ASSERT_EQ(0, membership(self->members[3].fd, VMTP_OPT_LEAVE, groups[g]));
		EXPECT_EQ(0x33, answering(self->client, groups[g], VMTP_MRD, 0, 0x33));
		ASSERT_EQ(0, membership(self->members[2].fd, VMTP_OPT_JOIN, groups[g]));
		EXPECT_EQ(0x37, answering(self->client, groups[g], VMTP_MRD, 0, 0x37));
		for (int i = 0; i < MEMBERS; i++)
			if (i != 3)
				ASSERT_EQ(0, membership(self->members[i].fd, VMTP_OPT_LEAVE, groups[g]));
		EXPECT_EQ(-1, answering(self->client, groups[g], VMTP_MRD, 0, 0));
	}
}

/* Shows: 2.7-c */
TEST_F(group, coresident_with_an_entity_are_the_members_on_its_host)
{
	for (int i = 0; i < MEMBERS; i++)
		ASSERT_EQ(0, membership(self->members[i].fd, VMTP_OPT_JOIN, DYNAMIC));
	for (int i = 0; i < MEMBERS; i++)
		EXPECT_EQ(3L << (i & ~1), answering(self->client, DYNAMIC, VMTP_MRD | VMTP_CRE, MEMBER_OF(i), 3L << (i & ~1)));
	/* The Client's own host, by the Client. */
	EXPECT_EQ(3, answering(self->client, DYNAMIC, VMTP_MRD | VMTP_CRE, entity_of(self->client), 3));
	EXPECT_EQ(-1, answering(self->client, DYNAMIC, VMTP_MRD | VMTP_CRE, little_endian(777777, ADDRESS_OF(1)), 0));
}

/* The Client is a member: nobody sends to itself, and the others are told. */
TEST_F(group, a_member_that_asks_is_told_apart_and_gets_no_copy)
{
	struct vmtp_mcb mcb, request;
	int asking = open_entity(0), hearing;

	for (int i = 0; i < MEMBERS; i++)
		ASSERT_EQ(0, membership(self->members[i].fd, VMTP_OPT_JOIN, DYNAMIC));
	ASSERT_EQ(0, membership(asking, VMTP_OPT_JOIN, DYNAMIC));
	EXPECT_EQ(0x3F, answering(asking, DYNAMIC, VMTP_MRD, 0, 0x3F));
	ASSERT_EQ(0, fcntl(asking, F_SETFL, O_NONBLOCK));
	EXPECT_ERRNO(EAGAIN, vmtp_recvreq(asking, &mcb, NULL, 0, 0));
	/* What a member on another host hears: MDG, and of a stranger not. */
	hearing = hosts_open(&self->hosts, 2, 0);
	ASSERT_GE(hearing, 0);
	ASSERT_EQ(0, membership(hearing, VMTP_OPT_JOIN, DYNAMIC));
	for (int i = 0; i < 2; i++) {
		vmtp_request(&request, DYNAMIC, APPLICATION);
		ASSERT_EQ(0, start(i ? self->client : asking, &request, NULL, 0));
		ASSERT_EQ(0, vmtp_recvreq(hearing, &mcb, NULL, 0, LONG_MS));
		EXPECT_EQ(i ? 0 : VMTP_F_MDG, mcb.flags & VMTP_F_MDG);
	}
	close(asking);
	close(hearing);
}

TEST_F(group, delayed_responses_all_come)
{
	struct vmtp_mcb mcb;
	long found = 0;

	for (int i = 0; i < MEMBERS; i++)
		ASSERT_EQ(0, membership(self->members[i].fd, VMTP_OPT_JOIN, DYNAMIC));
	for (int round = 0; round < 5; round++) {
		vmtp_request(&mcb, DYNAMIC, APPLICATION);
		mcb.code |= VMTP_MRD;
		mcb.flags |= VMTP_F_DRT;
		ASSERT_EQ(0, vmtp_invoke(self->client, &mcb, NULL, 0, NULL, 0, 0));
		for (int i = 0; i < MEMBERS; i++) {
			EXPECT_EQ(VMTP_RESPONSE, mcb.function);
			found++;
			if (i + 1 < MEMBERS)
				ASSERT_EQ(0, vmtp_getreply(self->client, &mcb, NULL, 0, LONG_MS));
		}
	}
	EXPECT_EQ(5 * MEMBERS, found);
}

/* A network that loses every fourth packet: a member executes a Request once or not at all, and one Response comes. */
TEST_F(group, no_member_executes_a_request_twice_whatever_is_lost)
{
	int rounds = 30, answered = 0;

	for (int i = 0; i < MEMBERS; i++)
		ASSERT_EQ(0, membership(self->members[i].fd, VMTP_OPT_JOIN, DYNAMIC));
	for (int i = 0; i < HOSTS; i++)
		ASSERT_EQ(0, hosts_loss(&self->hosts, i, "25%"));
	for (int round = 0; round < rounds; round++) {
		long found = answering(self->client, DYNAMIC, VMTP_MRD, 0, 3);

		/* Two members are on the Client's own host, which loses nothing. */
		EXPECT_EQ(3, found & 3) { TH_LOG("members 0x%lx", found); }
		answered += found > 0;
	}
	EXPECT_EQ(rounds, answered);
	for (int i = 0; i < MEMBERS; i++) {
		EXPECT_GE(rounds, self->members[i].served) { TH_LOG("member %d", i); }
	}
	for (int i = 0; i < HOSTS; i++)
		ASSERT_EQ(0, hosts_loss(&self->hosts, i, "0%"));
}

/* ---- Changed from elsewhere ------------------------------------------------------------------------------ */

static long add(int fd, __u64 group, __u64 entity)
{
	return local(fd, VMTP_PROC_ADD_TO_GROUP, with(three(0, group, entity), 6, 0x0E));
}

static long take_out(int fd, __u64 group, __u64 entity)
{
	return local(fd, VMTP_PROC_REMOVE_FROM_GROUP, three(0, group, entity));
}

/* Shows: III-010A-a III-010B-b III-010C-a */
TEST_F(group, members_are_added_and_taken_out_by_a_manager_elsewhere)
{
	__u64 group = NAMED(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP);
	struct vmtp_mcb mcb;
	int managers = 0;

	ASSERT_EQ(VMTP_OK, local(self->client, VMTP_PROC_CREATE_GROUP,
				 with(three(0, group, MEMBER_OF(0)), 6, 0x0E)));
	for (int i = 1; i < MEMBERS; i++) {
		ASSERT_EQ(VMTP_OK, add(self->client, group, MEMBER_OF(i))) { TH_LOG("member %d", i); }
	}
	EXPECT_EQ(0x3F, answering(self->client, group, VMTP_MRD, 0, 0x3F));

	/* Each of the three managers tells of its two. */
	vmtp_request(&mcb, VMTP_MANAGER_GROUP, VMTP_PROC_QUERY_GROUP & VMTP_CODE_MASK);
	mcb.code = VMTP_PROC_QUERY_GROUP | VMTP_MRD;
	mcb.coresident = group;
	ASSERT_LE(0, vmtp_invoke(self->client, &mcb, NULL, 0, NULL, 0, 0));
	do {
		EXPECT_EQ(VMTP_OK, vmtp_code(&mcb));
		EXPECT_EQ(4 + 2 * 8, mcb.segment_size);
		managers++;
	} while (vmtp_getreply(self->client, &mcb, NULL, 0, managers < HOSTS ? LONG_MS : 300) >= 0 && mcb.function == VMTP_RESPONSE);
	EXPECT_EQ(HOSTS, managers);

	ASSERT_EQ(VMTP_OK, take_out(self->client, group, MEMBER_OF(3)));
	ASSERT_EQ(VMTP_OK, take_out(self->client, group, MEMBER_OF(0)));
	EXPECT_EQ(0x36, answering(self->client, group, VMTP_MRD, 0, 0x36));
	/* Nobody has it, or is there: that is told by the manager of the entity's host, or by none. */
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, take_out(self->client, group, MEMBER_OF(3)));
	EXPECT_EQ(VMTP_NONEXISTENT_ENTITY, add(self->client, group, little_endian(777777, ADDRESS_OF(2))));
}

/* Shows: III.2-a */
TEST_F(group, a_restricted_group_is_not_changed_by_another_host_unless_it_is_trusted)
{
	__u64 group = NAMED(VMTP_ENTITY_GROUP);

	ASSERT_EQ(VMTP_OK, local(self->client, VMTP_PROC_CREATE_GROUP,
				 with(three(0, group, MEMBER_OF(0)), 6, 0x0E)));
	EXPECT_EQ(VMTP_OK, add(self->client, group, MEMBER_OF(1)));
	EXPECT_EQ(VMTP_NO_PERMISSION, add(self->client, group, MEMBER_OF(2)));
	EXPECT_EQ(3, answering(self->client, group, VMTP_MRD, 0, 3));
	ASSERT_EQ(0, hosts_enter(&self->hosts, 1));
	ASSERT_EQ(0, setting("remote_management", 1));
	ASSERT_EQ(0, hosts_enter(&self->hosts, 0));
	EXPECT_EQ(VMTP_OK, add(self->client, group, MEMBER_OF(2)));
	EXPECT_EQ(VMTP_NO_PERMISSION, add(self->client, group, MEMBER_OF(4)));
	EXPECT_EQ(7, answering(self->client, group, VMTP_MRD, 0, 7));
}

TEST_HARNESS_MAIN
