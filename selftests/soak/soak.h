/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the two sides of `make soak` agree on: three hosts, each a network
 * namespace, the entities of each, and what a message must contain.
 */
#ifndef SOAK_H
#define SOAK_H

#include "host.h"

#define HOSTS		3
#define ADDRESS(h)	(0x0A510001U + (h))	/* 10.81.0.1 and on */
#define SERVER(h)	little_endian(100000, ADDRESS(h))
#define UNSTABLE(h)	little_endian(100001, ADDRESS(h))	/* closes now and then */
#define GROUP		vmtp_entity(VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP, 7000, 0xE8000042)
#define CHUNK		(64 << 10)
#define RETRIES		60

enum what { ANSWER = VMTP_CODE_APPLICATION + 1, PASS_ON };

/* user[]: what is asked for. The server echoes all of it. */
enum { CLIENT_NUMBER, SEQUENCE, PASS_TO, WANTED, SEED };

/* Every segment is a piece of this: where it begins follows from the message's seed. */
extern unsigned char pattern[2 * VMTP_MESSAGE_SIZE];

static inline unsigned char *content(__u32 seed)
{
	return pattern + seed % VMTP_MESSAGE_SIZE;
}

static inline __u32 answer_seed(__u32 seed)
{
	return seed * 2654435761U + 12345;
}

/* Says what is wrong; the run has failed. */
void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern volatile bool over, servers_over;

/* Enters a host for this thread. */
void enter(int host);

#endif /* SOAK_H */
