// SPDX-License-Identifier: GPL-2.0
/* A message transaction by the ordinary calls of any socket: connect once, then send, recv; recvmsg, sendmsg. */
#include "entity.h"

#include "message.h"

static int open_server(const struct load *load)
{
	return open_entity(SERVER_ENTITY, load);
}

static void serve(int fd, const struct load *load)
{
	struct envelope in, out;
	struct vmtp_mcb mcb;

	for (;;) {
		if (recvmsg(fd, envelope_in(&in, segment, sizeof(segment)), 0) < 0 ||
		    in.header.msg_controllen < CMSG_LEN(sizeof(mcb)))
			err(1, "vmtp-sendmsg server");
		/* The MCB always comes, and is the first control message. */
		memcpy(&mcb, CMSG_DATA((struct cmsghdr *)in.control), sizeof(mcb));
		vmtp_response(&mcb, VMTP_OK);
		if (sendmsg(fd, envelope_out(&out, &mcb, segment, load->in), 0) != (ssize_t)load->in)
			err(1, "vmtp-sendmsg server");
	}
}

static int open_client(const struct load *load)
{
	struct sockaddr_vmtp server = { .svmtp_family = AF_VMTP, .svmtp_entity = SERVER_ENTITY };
	int fd = open_entity(ANY_ENTITY, load);

	if (connect(fd, (struct sockaddr *)&server, sizeof(server)))
		err(1, "vmtp-sendmsg client");
	return fd;
}

static bool transact(int fd, const struct load *load)
{
	if (send(fd, segment, load->out, 0) != (ssize_t)load->out || recv(fd, segment, sizeof(segment), 0) != (ssize_t)load->in)
		err(1, "vmtp-sendmsg client");
	return true;
}

int main(int argc, char **argv)
{
	static const struct bench vmtp = { "vmtp-sendmsg", open_server, serve, open_client, transact, true };

	return bench_main(&vmtp, argc, argv);
}
