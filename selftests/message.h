/* SPDX-License-Identifier: GPL-2.0 */
/*
 * sendmsg and recvmsg with the control messages of AF_VMTP: building a msghdr,
 * and reading one.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <linux/vmtp.h>

/* A msghdr with all it points to but the data; it must not be moved. */
struct envelope {
	struct msghdr header;
	struct iovec data;
	struct sockaddr_vmtp name;
	char control[512];
};

static inline void envelope_control(struct envelope *to, int type, const void *value, size_t octets)
{
	struct cmsghdr *cmsg = (struct cmsghdr *)(to->control + to->header.msg_controllen);

	cmsg->cmsg_level = SOL_VMTP;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(octets);
	memcpy(CMSG_DATA(cmsg), value, octets);
	to->header.msg_controllen += CMSG_SPACE(octets);
	to->header.msg_control = to->control;
}

/* For sendmsg: more control messages may follow. */
static inline struct msghdr *envelope_out(struct envelope *to, const struct vmtp_mcb *mcb, const void *data, size_t octets)
{
	memset(to, 0, sizeof(*to));
	to->data = (struct iovec){ (void *)data, octets };
	to->header.msg_iov = &to->data;
	to->header.msg_iovlen = 1;
	envelope_control(to, VMTP_MCB, mcb, sizeof(*mcb));
	return &to->header;
}

/* For recvmsg. */
static inline struct msghdr *envelope_in(struct envelope *to, void *data, size_t room)
{
	memset(to, 0, sizeof(*to));
	to->data = (struct iovec){ data, room };
	to->header.msg_iov = &to->data;
	to->header.msg_iovlen = 1;
	to->header.msg_name = &to->name;
	to->header.msg_namelen = sizeof(to->name);
	to->header.msg_control = to->control;
	to->header.msg_controllen = sizeof(to->control);
	return &to->header;
}

/* The octets of a control message that was received, or NULL. */
static inline const void *envelope_find(struct envelope *from, int level, int type)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(&from->header); cmsg; cmsg = CMSG_NXTHDR(&from->header, cmsg))
		if (cmsg->cmsg_level == level && cmsg->cmsg_type == type)
			return CMSG_DATA(cmsg);
	return NULL;
}

/* A recvmsg: octets, and what its control messages say. */
struct received {
	ssize_t octets;
	int flags;
	struct vmtp_mcb mcb;
	struct vmtp_piece piece;
	__u64 cookie;
	__u64 from;
};

static inline void envelope_read(struct envelope *from, struct received *to)
{
	const void *found;

	to->flags = from->header.msg_flags;
	to->from = from->name.svmtp_entity;
	if ((found = envelope_find(from, SOL_VMTP, VMTP_MCB)))
		memcpy(&to->mcb, found, sizeof(to->mcb));
	if ((found = envelope_find(from, SOL_VMTP, VMTP_PIECE)))
		memcpy(&to->piece, found, sizeof(to->piece));
	if ((found = envelope_find(from, SOL_VMTP, VMTP_COOKIE)))
		memcpy(&to->cookie, found, sizeof(to->cookie));
}

static inline struct received receive(int fd, void *data, size_t room, int flags)
{
	struct received received = { };
	struct envelope in;

	received.octets = recvmsg(fd, envelope_in(&in, data, room), flags);
	if (received.octets >= 0)
		envelope_read(&in, &received);
	return received;
}

#endif /* MESSAGE_H */
