/* SPDX-License-Identifier: GPL-2.0 */
/* The servers of `make soak`: they receive in pieces, check, and answer, or pass on to another host. */
#ifndef SERVER_H
#define SERVER_H

#include "soak.h"

#define NUMBERS	256

struct server {
	int host;
	bool unstable, joins;
	pthread_t thread;
	/* The last Sequence of each Client that was executed here. */
	__u32 last[NUMBERS];
};

static int server_open(const struct server *server)
{
	struct vmtp_membership membership = { .group = GROUP };
	/* Within it, several Clients send 4 MiB at a time. */
	int room = 32 << 20;
	__u64 entity = server->unstable ? UNSTABLE(server->host) : SERVER(server->host);
	int fd = open_entity(entity);

	/* A shell that is just being started has the descriptors of all threads for a moment, also one that was closed. */
	for (int tries = 100; fd < 0 && errno == EADDRINUSE && tries; tries--) {
		usleep(100000);
		fd = open_entity(entity);
	}
	if (fd < 0) {
		wrong("host %d: bind: %s", server->host, strerror(errno));
		return fd;
	}
	set_option(fd, VMTP_OPT_RESPONSE_RETRIES, RETRIES);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (server->joins && setsockopt(fd, SOL_VMTP, VMTP_OPT_JOIN, &membership, sizeof(membership)))
		wrong("host %d: join: %s", server->host, strerror(errno));
	return fd;
}

/* Receives one Request whole. False if none came in time or its Client went in its middle. */
static bool server_receive(int fd, struct vmtp_msg *msg, unsigned char *area)
{
	__u32 done = 0, seed;

	*msg = (struct vmtp_msg){
		.segment = (uintptr_t)area, .length = CHUNK, .timeout = 200, .flags = VMTP_MSG_PIECES,
	};
	if (ioctl(fd, VMTP_RECVREQ, msg))
		return false;
	seed = msg->mcb.user[SEED];
	for (;;) {
		if (memcmp(area, content(seed) + done, msg->received))
			wrong("a Request of Client %u is damaged at %u", msg->mcb.user[CLIENT_NUMBER], done);
		done += msg->received;
		if (!(msg->mcb.code & VMTP_SDA) || done >= msg->mcb.segment_size)
			return true;
		msg->flags = VMTP_MSG_PIECES;
		msg->timeout = LONG_MS;
		if (ioctl(fd, VMTP_RECVREQ, msg))
			return false;
	}
}

/* At most once, and in order: each Client counts its Requests to each server. */
static void server_executes(struct server *server, const struct vmtp_mcb *mcb)
{
	__u32 *last = &server->last[mcb->user[CLIENT_NUMBER] % NUMBERS];

	if (mcb->user[SEQUENCE] <= *last)
		wrong("host %d: Request %u of Client %u is executed after %u", server->host, mcb->user[SEQUENCE],
		      mcb->user[CLIENT_NUMBER], *last);
	*last = mcb->user[SEQUENCE];
}

static void server_answers(int fd, const struct vmtp_msg *request)
{
	struct vmtp_msg msg = { .mcb = request->mcb };

	msg.mcb.flags = 0;
	if ((request->mcb.code & VMTP_CODE_MASK) == PASS_ON) {
		msg.mcb.code = ANSWER;
		msg.mcb.server = SERVER(request->mcb.user[PASS_TO] % HOSTS);
		msg.segment = (uintptr_t)content(request->mcb.user[SEED]);
		msg.length = request->mcb.code & VMTP_SDA ? request->mcb.segment_size : 0;
		/* Its Client may have given up. */
		if (ioctl(fd, VMTP_FORWARDREQ, &msg) && errno != ENOTCONN)
			wrong("forward: %s", strerror(errno));
		return;
	}
	msg.mcb.code = VMTP_OK;
	msg.segment = (uintptr_t)content(answer_seed(request->mcb.user[SEED]));
	msg.length = request->mcb.user[WANTED];
	if (ioctl(fd, VMTP_SENDREPLY, &msg) && errno != ENOTCONN)
		wrong("reply: %s", strerror(errno));
}

static void *server_thread(void *argument)
{
	unsigned char *area = malloc(CHUNK);
	struct server *server = argument;
	long opened = now_ms();
	struct vmtp_msg msg;
	int fd;

	enter(server->host);
	fd = server_open(server);
	while (fd >= 0 && !servers_over) {
		if (server_receive(fd, &msg, area)) {
			server_executes(server, &msg.mcb);
			server_answers(fd, &msg);
		}
		if (server->unstable && now_ms() - opened > 3000) {
			close(fd);
			usleep(50000);
			fd = server_open(server);
			opened = now_ms();
		}
	}
	close(fd);
	free(area);
	return NULL;
}

#endif /* SERVER_H */
