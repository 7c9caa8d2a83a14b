/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * vmtp.h - the calls of RFC 1045, appendix VIII, for C and C++ programs.
 *
 * Each call is one ioctl on an AF_VMTP socket and one system call. All numbers
 * and structs are in <linux/vmtp.h>, which this file includes; nothing is
 * defined twice. There is no library to link: everything is static inline.
 * (libvmtp has the same functions for languages that cannot use this file.)
 * Ordinary bind, connect, sendmsg, recvmsg, poll and setsockopt work on the
 * same socket and are not wrapped here.
 *
 * A client:					A server:
 *
 *	int s = vmtp_socket(0);			int s = vmtp_socket(0);
 *	struct vmtp_mcb mcb;			struct vmtp_mcb mcb;
 *						char data[VMTP_GROUP_SIZE];
 *	vmtp_request(&mcb, server, 0x800001);
 *	n = vmtp_invoke(s, &mcb,		vmtp_bind(s, entity);
 *			out, outlen,		n = vmtp_recvreq(s, &mcb, data,
 *			in, sizeof(in), 0);			 sizeof(data), 0);
 *	if (n < 0)				while (n >= 0) {
 *		perror("vmtp_invoke");			vmtp_response(&mcb, VMTP_OK);
 *	else if (vmtp_code(&mcb))			n = vmtp_replyrecv(s, &mcb,
 *		puts(vmtp_code_name(				data, n,
 *			vmtp_code(&mcb)));			data, sizeof(data), 0);
 *						}
 *
 * What a call returns:
 *  - Calls that receive return the octets stored, 0 included, or -1 with errno.
 *    Calls that only send return 0 or -1 with errno.
 *  - errno tells local failures only. A transaction that failed is a successful
 *    call whose code, vmtp_code(&mcb), is not VMTP_OK: look at it each time.
 *  - If mcb.segment_size is greater than the octets stored, the rest of the
 *    message was discarded. vmtp_truncated() asks that.
 *  - With VMTP_MDM in mcb.code the sender chose blocks of 512 octets to leave
 *    out, or some were lost: mcb.msg_delivery tells which came, the others are
 *    zeros.
 *
 * Times are milliseconds. Identifiers and MCB words are in host byte order;
 * segments are never touched.
 */
#ifndef _VMTP_H
#define _VMTP_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/vmtp.h>

/* libvmtp defines this as nothing: its functions are external. */
#ifndef VMTP_LINKAGE
#define VMTP_LINKAGE	static __inline__
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The message control block ------------------------------------------- */

/* Fills mcb as a Request to server. code may contain VMTP_DGM, VMTP_MDM ... */
VMTP_LINKAGE void vmtp_request(struct vmtp_mcb *mcb, uint64_t server,
			       uint32_t code)
{
	memset(mcb, 0, sizeof(*mcb));
	mcb->server = server;
	mcb->code = code;
	mcb->function = VMTP_REQUEST;
}

/*
 * Turns the MCB of a received Request into that of its Response: keeps who
 * asked and which transaction, sets the code and clears everything else.
 */
VMTP_LINKAGE void vmtp_response(struct vmtp_mcb *mcb, uint32_t code)
{
	uint64_t client = mcb->client;
	uint32_t transaction = mcb->transaction;

	memset(mcb, 0, sizeof(*mcb));
	mcb->client = client;
	mcb->transaction = transaction;
	mcb->code = code;
	mcb->function = VMTP_RESPONSE;
}

/* The 24 bits of code without the flags: of a Response, VMTP_OK and so on. */
VMTP_LINKAGE uint32_t vmtp_code(const struct vmtp_mcb *mcb)
{
	return mcb->code & VMTP_CODE_MASK;
}

/* Whether the message had more octets than the n which the call returned. */
VMTP_LINKAGE int vmtp_truncated(const struct vmtp_mcb *mcb, long n)
{
	return (mcb->code & VMTP_SDA) != 0 && n >= 0 &&
	       mcb->segment_size > (unsigned long)n;
}

/* The name of a Response code in capitals, as in the RFC; never NULL. */
VMTP_LINKAGE const char *vmtp_code_name(uint32_t code)
{
	static const char *const names[] = {
		"OK",
		"RETRY",
		"RETRY_ALL",
		"BUSY",
		"NONEXISTENT_ENTITY",
		"ENTITY_MIGRATED",
		"NO_PERMISSION",
		"NOT_AWAITING_MSG",
		"VMTP_ERROR",
		"MSGTRANS_OVERFLOW",
		"BAD_TRANSACTION_ID",
		"STREAMING_NOT_SUPPORTED",
		"NO_RUN_RECORD",
		"RETRANS_TIMEOUT",
		"USER_TIMEOUT",
		"RESPONSE_DISCARDED",
		"SECURITY_NOT_SUPPORTED",
		"BAD_REPLY_SEGMENT",
		"SECURITY_REQUIRED",
		"STREAMED_RESPONSE",
		"TOO_MANY_RETRIES",
		"NO_PRINCIPAL",
		"NO_KEY",
		"ENCRYPTION_NOT_SUPPORTED",
		"NO_AUTHENTICATOR"
	};

	code &= VMTP_CODE_MASK;
	if (code < sizeof(names) / sizeof(names[0]))
		return names[code];
	if (code >= VMTP_CODE_APPLICATION)
		return "application code";
	return "unknown code";
}

/* ---- Entity identifiers, Domain 1 (RFC 1045, IV.1) ------------------------ */

/* Octets that hold any identifier in text form, the final NUL included. */
#define VMTP_ENTITY_TEXT_SIZE	32

/*
 * An identifier from its parts: flags are VMTP_ENTITY_*, discriminator has 28
 * bits (more are cut off), address is IPv4 in host byte order.
 */
VMTP_LINKAGE uint64_t vmtp_entity(uint64_t flags, uint32_t discriminator,
				  uint32_t address)
{
	return (flags & 0xF000000000000000ULL) |
	       (uint64_t)(discriminator & 0x0FFFFFFFU) << 32 | address;
}

VMTP_LINKAGE uint32_t vmtp_entity_discriminator(uint64_t entity)
{
	return (uint32_t)(entity >> 32) & 0x0FFFFFFFU;
}

/* The IPv4 address in host byte order. */
VMTP_LINKAGE uint32_t vmtp_entity_address(uint64_t entity)
{
	return (uint32_t)entity;
}

VMTP_LINKAGE int vmtp_entity_is_group(uint64_t entity)
{
	return (entity & VMTP_ENTITY_GROUP) != 0;
}

/*
 * Writes the text form, as LE-25593-36.8.0.49: [X]{BE,LE,RG,UG}[A], the
 * discriminator in decimal, the address. Returns text, whose size should be
 * VMTP_ENTITY_TEXT_SIZE; in less it is cut, and ends with NUL all the same.
 */
VMTP_LINKAGE char *vmtp_entity_format(uint64_t entity, char *text, size_t size)
{
	static const char *const kinds[] = { "BE", "LE", "RG", "UG" };
	uint32_t address = vmtp_entity_address(entity);

	snprintf(text, size, "%s%s%s-%u-%u.%u.%u.%u",
		 entity & VMTP_ENTITY_RES ? "X" : "",
		 kinds[(entity >> 61) & 3],
		 entity & VMTP_ENTITY_ALIAS ? "A" : "",
		 vmtp_entity_discriminator(entity),
		 address >> 24, address >> 16 & 255, address >> 8 & 255,
		 address & 255);
	return text;
}

/*
 * For vmtp_entity_parse: a decimal number up to max, without leading zeros,
 * that ends where end stands (which is skipped unless NUL).
 */
VMTP_LINKAGE int vmtp__decimal(const char **text, uint32_t max, char end,
			       uint32_t *number)
{
	const char *p = *text;
	uint64_t value = 0;

	if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
		return -1;
	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (uint64_t)(*p - '0');
		if (value > max)
			return -1;
	}
	if (*p != end)
		return -1;
	*text = end ? p + 1 : p;
	*number = (uint32_t)value;
	return 0;
}

/*
 * Reads exactly the text form that vmtp_entity_format writes. Returns 0, or -1
 * with EINVAL; *entity is then as it was.
 */
VMTP_LINKAGE int vmtp_entity_parse(const char *text, uint64_t *entity)
{
	uint32_t discriminator, octet[4];
	uint64_t flags = 0;

	if (*text == 'X') {
		flags |= VMTP_ENTITY_RES;
		text++;
	}
	if (!strncmp(text, "LE", 2))
		flags |= VMTP_ENTITY_LEE;
	else if (!strncmp(text, "RG", 2))
		flags |= VMTP_ENTITY_GROUP;
	else if (!strncmp(text, "UG", 2))
		flags |= VMTP_ENTITY_GROUP | VMTP_ENTITY_UGP;
	else if (strncmp(text, "BE", 2))
		goto invalid;
	text += 2;
	if (*text == 'A') {
		flags |= VMTP_ENTITY_ALIAS;
		text++;
	}
	if (*text++ != '-' ||
	    vmtp__decimal(&text, 0x0FFFFFFFU, '-', &discriminator) ||
	    vmtp__decimal(&text, 255, '.', &octet[0]) ||
	    vmtp__decimal(&text, 255, '.', &octet[1]) ||
	    vmtp__decimal(&text, 255, '.', &octet[2]) ||
	    vmtp__decimal(&text, 255, '\0', &octet[3]))
		goto invalid;
	*entity = vmtp_entity(flags, discriminator,
			      octet[0] << 24 | octet[1] << 16 | octet[2] << 8 |
			      octet[3]);
	return 0;
invalid:
	errno = EINVAL;
	return -1;
}

/* ---- Sockets --------------------------------------------------------------- */

/*
 * A new socket; flags are 0 or SOCK_NONBLOCK | SOCK_CLOEXEC. EAFNOSUPPORT
 * says that vmtp.ko is not loaded.
 */
VMTP_LINKAGE int vmtp_socket(int flags)
{
	return socket(AF_VMTP, SOCK_TRANSACT | flags, IPPROTO_VMTP);
}

/*
 * Gives the socket its entity in a domain, VMTP_DOMAIN_*; 0 asks for any. See
 * vmtp_getentity. In VMTP_DOMAIN_LOCAL that may wait until the host has a block
 * of identifiers (RFC 1045, IV.4).
 */
VMTP_LINKAGE int vmtp_bind_in(int s, uint16_t domain, uint64_t entity)
{
	struct sockaddr_vmtp address;

	memset(&address, 0, sizeof(address));
	address.svmtp_family = AF_VMTP;
	address.svmtp_domain = domain;
	address.svmtp_entity = entity;
	return bind(s, (const struct sockaddr *)(const void *)&address,
		    sizeof(address));
}

/* The same in Domain 1, the Internet's. */
VMTP_LINKAGE int vmtp_bind(int s, uint64_t entity)
{
	return vmtp_bind_in(s, VMTP_DOMAIN_INTERNET, entity);
}

/* The socket's own entity; 0 if it is not bound and has sent nothing yet. */
VMTP_LINKAGE int vmtp_getentity(int s, uint64_t *entity)
{
	struct sockaddr_vmtp address;
	socklen_t length = sizeof(address);

	memset(&address, 0, sizeof(address));
	if (getsockname(s, (struct sockaddr *)(void *)&address, &length))
		return -1;
	*entity = address.svmtp_entity;
	return 0;
}

/* ---- The calls (RFC 1045, VIII) -------------------------------------------- */
/*
 * They differ from the RFC's in four things: lengths are arguments and not
 * read from the MCB, recvreq has a timeout, forward has none (it does not
 * wait), and probeentity names a socket. Who needs the cookie, the host
 * address or the VMTP_MSG_* flags uses the ioctls with struct vmtp_msg itself.
 */

/* What is sent: the MCB without what only the kernel sets. */
VMTP_LINKAGE void vmtp__out(struct vmtp_msg *msg, const struct vmtp_mcb *mcb,
			    uint8_t function, const void *segment,
			    size_t length)
{
	memset(msg, 0, sizeof(*msg));
	msg->mcb = *mcb;
	msg->mcb.code &= ~VMTP_SDA;
	msg->mcb.flags &= (uint8_t)~VMTP_F_MDG;
	msg->mcb.forward_count = 0;
	msg->mcb.function = function;
	msg->segment = (uint64_t)(uintptr_t)segment;
	/* More than a message may have: the kernel says EMSGSIZE. */
	msg->length = length > UINT32_MAX ? UINT32_MAX : (uint32_t)length;
}

/* Where to receive: an area beyond the greatest message is of no use. */
VMTP_LINKAGE void vmtp__in(struct vmtp_msg *msg, void *segment, size_t length)
{
	memset(msg, 0, sizeof(*msg));
	msg->segment = (uint64_t)(uintptr_t)segment;
	msg->length = length > VMTP_MESSAGE_SIZE ? VMTP_MESSAGE_SIZE :
						   (uint32_t)length;
}

/*
 * A message transaction: sends the Request in mcb with its segment to
 * mcb->server, waits, and returns the Response in mcb, its segment in
 * [reply, reply + maxreply), which may be the same memory. A timeout of 0 is
 * no limit; when it is up the code is VMTP_USER_TIMEOUT. After EINTR the
 * transaction is still open: vmtp_getreply waits on, vmtp_abort ends it.
 */
VMTP_LINKAGE long vmtp_invoke(int s, struct vmtp_mcb *mcb, const void *segment,
			      size_t length, void *reply, size_t maxreply,
			      uint32_t timeout)
{
	struct vmtp_exchange exchange;

	vmtp__out(&exchange.out, mcb, VMTP_REQUEST, segment, length);
	vmtp__in(&exchange.in, reply, maxreply);
	exchange.out.timeout = timeout;
	if (ioctl(s, VMTP_INVOKE, &exchange))
		return -1;
	*mcb = exchange.in.mcb;
	return (long)exchange.in.received;
}

/*
 * The next Response to the open transaction, of another member of the group
 * that it was sent to. A timeout of 0 does not wait; if none has come in time
 * the code is VMTP_USER_TIMEOUT.
 */
VMTP_LINKAGE long vmtp_getreply(int s, struct vmtp_mcb *mcb, void *reply,
				size_t maxreply, uint32_t timeout)
{
	struct vmtp_msg msg;

	vmtp__in(&msg, reply, maxreply);
	msg.timeout = timeout;
	if (ioctl(s, VMTP_GETREPLY, &msg))
		return -1;
	*mcb = msg.mcb;
	return (long)msg.received;
}

/* The next Request. A timeout of 0 is no limit; when it is up: EAGAIN. */
VMTP_LINKAGE long vmtp_recvreq(int s, struct vmtp_mcb *mcb, void *segment,
			       size_t maxlength, uint32_t timeout)
{
	struct vmtp_msg msg;

	vmtp__in(&msg, segment, maxlength);
	msg.timeout = timeout;
	if (ioctl(s, VMTP_RECVREQ, &msg))
		return -1;
	*mcb = msg.mcb;
	return (long)msg.received;
}

/*
 * Answers the Request that mcb->client and mcb->transaction name, which
 * vmtp_response() keeps from the received MCB.
 */
VMTP_LINKAGE int vmtp_sendreply(int s, const struct vmtp_mcb *mcb,
				const void *segment, size_t length)
{
	struct vmtp_msg msg;

	vmtp__out(&msg, mcb, VMTP_RESPONSE, segment, length);
	return ioctl(s, VMTP_SENDREPLY, &msg);
}

/*
 * vmtp_sendreply and vmtp_recvreq in one system call: mcb is the Response
 * before and the next Request after it. The two areas may be the same memory.
 * If nobody waits for the Response it only receives, so that it may simply be
 * called again after EINTR. *sent (unless sent is NULL) tells whether the
 * Response has gone, also if the call fails.
 */
VMTP_LINKAGE long vmtp_replyrecv_sent(int s, struct vmtp_mcb *mcb,
				      const void *segment, size_t length,
				      void *next, size_t maxnext,
				      uint32_t timeout, int *sent)
{
	struct vmtp_exchange exchange;
	int failed;

	vmtp__out(&exchange.out, mcb, VMTP_RESPONSE, segment, length);
	vmtp__in(&exchange.in, next, maxnext);
	exchange.in.timeout = timeout;
	failed = ioctl(s, VMTP_REPLYRECV, &exchange);
	if (sent)
		*sent = (exchange.out.flags & VMTP_MSG_SENT) != 0;
	if (failed)
		return -1;
	*mcb = exchange.in.mcb;
	return (long)exchange.in.received;
}

VMTP_LINKAGE long vmtp_replyrecv(int s, struct vmtp_mcb *mcb,
				 const void *segment, size_t length, void *next,
				 size_t maxnext, uint32_t timeout)
{
	return vmtp_replyrecv_sent(s, mcb, segment, length, next, maxnext,
				   timeout, NULL);
}

/*
 * Passes the received Request on to server, as though its Client had sent it
 * there, with the MCB and segment as they are now.
 */
VMTP_LINKAGE int vmtp_forward(int s, const struct vmtp_mcb *mcb,
			      uint64_t server, const void *segment,
			      size_t length)
{
	struct vmtp_msg msg;

	vmtp__out(&msg, mcb, VMTP_FORWARD, segment, length);
	msg.mcb.server = server;
	return ioctl(s, VMTP_FORWARDREQ, &msg);
}

/*
 * What its host says of entity (0: the socket's own): state->code is VMTP_OK
 * and the rest is filled in, or it is why not. A timeout of 0 lasts until the
 * retransmissions are used up.
 */
VMTP_LINKAGE int vmtp_probeentity(int s, uint64_t entity,
				  struct vmtp_probe *state, uint32_t timeout)
{
	memset(state, 0, sizeof(*state));
	state->entity = entity;
	state->timeout = timeout;
	return ioctl(s, VMTP_PROBEENTITY, state);
}

/* Ends the socket's open transaction; nothing of it is delivered any more. */
VMTP_LINKAGE int vmtp_abort(int s)
{
	return ioctl(s, VMTP_ABORT);
}

#ifdef __cplusplus
}
#endif

#endif /* _VMTP_H */
