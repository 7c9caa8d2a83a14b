/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * VMTP, the Versatile Message Transaction Protocol (RFC 1045): the ABI between
 * programs and vmtp.ko. This is its only definition; numbers never change.
 *
 * Conventions:
 *  - Every struct has the same layout on 32 and 64 bit, is a multiple of 8
 *    octets long and has no padding. Reserved members must be zero on input
 *    (EINVAL otherwise) and are zero on output.
 *  - Entity identifiers are one __u64, MCB words one __u32, in host byte order.
 *    Segment data is never touched (RFC 1045, 2.15).
 *  - Lengths are octets, times milliseconds; a time of 0 is "no limit" unless
 *    said otherwise.
 */
#ifndef _UAPI_LINUX_VMTP_H
#define _UAPI_LINUX_VMTP_H

#include <linux/ioctl.h>
#include <linux/socket.h>
#include <linux/types.h>

#ifndef AF_VMTP
#define AF_VMTP			18	/* AF_ASH's number, which Linux never used */
#define PF_VMTP			AF_VMTP
#endif
#ifndef IPPROTO_VMTP
#define IPPROTO_VMTP		81	/* RFC 1045, VI */
#endif
#define SOL_VMTP		81
#define SOCK_TRANSACT		4	/* RFC 1045, VIII; the value of SOCK_RDM */

/* ---- Sizes (RFC 1045, 2.13 and 2.14) ------------------------------------ */

#define VMTP_BLOCK_SIZE		512	/* octets one mask bit stands for */
#define VMTP_GROUP_SIZE		16384	/* octets of segment in a packet group */
#define VMTP_MESSAGE_SIZE	4194304	/* octets of segment in a message */

/* ---- Entity identifiers (3.1, IV) --------------------------------------- */

#define VMTP_ENTITY_ALIAS	0x8000000000000000ULL	/* RAE */
#define VMTP_ENTITY_GROUP	0x4000000000000000ULL	/* GRP */
#define VMTP_ENTITY_LEE		0x2000000000000000ULL	/* single: little endian */
#define VMTP_ENTITY_UGP		0x2000000000000000ULL	/* group: unrestricted */
#define VMTP_ENTITY_RES		0x1000000000000000ULL	/* must be 0 */

#define VMTP_MANAGER_GROUP	0x40000001E0000100ULL	/* RG-1-224.0.1.0 */
#define VMTP_DEFAULT_BECLIENT	0x00000001E0000100ULL	/* BE-1-224.0.1.0 */
#define VMTP_DEFAULT_LECLIENT	0x20000001E0000100ULL	/* LE-1-224.0.1.0 */

#define VMTP_DOMAIN_INTERNET	1	/* IV.1 */
#define VMTP_DOMAIN_LOCAL	3	/* IV.2: identifiers without addresses */

/* ---- Addresses ---------------------------------------------------------- */

/*
 * Where a host is. All zero says "find it" (ServerHost cache, the address in
 * the identifier, ProbeEntity). Written by the kernel on output.
 */
struct vmtp_host {
	__u16	family;		/* 0, or AF_INET */
	__be16	port;		/* 0 over plain IP; for encapsulations */
	__u32	interface;	/* interface index, or 0 */
	__u8	address[16];	/* network order; IPv4 in the first 4, rest 0 */
};

/*
 * The name of an entity. Calls accept the first 16 octets alone (no host) or
 * the whole struct; the kernel returns the whole struct, cut to the buffer.
 *
 * A socket is in one domain, 1 unless bind, connect or sendmsg makes it an
 * entity of another; a name of another domain is EINVAL then. In
 * VMTP_DOMAIN_LOCAL an identifier is taken of a block that the host claims on
 * its network (IV.4): the first bind waits for objections, for less than a
 * second unless there are any.
 */
struct sockaddr_vmtp {
	__u16	svmtp_family;	/* AF_VMTP */
	__u16	svmtp_domain;	/* VMTP_DOMAIN_*; 0 on input: the socket's */
	__u32	svmtp_reserved;
	__u64	svmtp_entity;	/* bind: 0 asks for an identifier */
	struct vmtp_host svmtp_host;
};
#define VMTP_SOCKADDR_MIN	16

/* ---- The message control block (2.4) ------------------------------------ */

/* Code word: flags and 24 bits of code (3.2). */
#define VMTP_CMD		0x80000000U	/* conditional message delivery */
#define VMTP_DGM		0x40000000U	/* Request: datagram; Response: idempotent */
#define VMTP_MDM		0x20000000U	/* msg_delivery is a block mask */
#define VMTP_SDA		0x10000000U	/* segment appended; set by the kernel */
#define VMTP_CRE		0x04000000U	/* coresident is in use */
#define VMTP_MRD		0x02000000U	/* multiple Responses desired */
#define VMTP_PIC		0x01000000U	/* public interface code */
#define VMTP_CODE_MASK		0x00FFFFFFU
#define VMTP_CODE_APPLICATION	0x00800000U	/* applications' own from here on */

/* vmtp_mcb.function */
#define VMTP_REQUEST		0
#define VMTP_RESPONSE		1
#define VMTP_FORWARD		2	/* sendmsg only: pass a Request on */
#define VMTP_FAILURE		3	/* output: the transaction ended without a
					 * Response; code, made here, says why */
#define VMTP_CANCEL		4	/* sendmsg only: end the open transactions */
#define VMTP_GROUP_RESPONSE	5	/* output: what another member of a group,
					 * server, answered to a Request that this
					 * socket has and has not answered (2.7) */

/* vmtp_mcb.flags: what the sender asks of the protocol for this message */
#define VMTP_F_APG		0x01	/* acknowledge the packet group */
#define VMTP_F_NRT		0x02	/* no retransmission of missing parts */
#define VMTP_F_DRT		0x04	/* delay Responses (multicast Requests) */
#define VMTP_F_HCO		0x08	/* checksum the header only */
#define VMTP_F_PRIORITY		0x10	/* priority below is meant, not SO's */
#define VMTP_F_GROUP_RESPONSE	0x20	/* Response: also to the group (2.7) */
#define VMTP_F_ABANDON		0x40	/* Response: answer nothing, tell Client */
#define VMTP_F_MDG		0x80	/* output: Client is member of the group */

/*
 * One struct for Requests and Responses, in and out.
 *
 * The 20 octets of user data are user[0..4] in wire order. In a Request with
 * VMTP_CRE the first two words are not user data: set coresident instead. On
 * output user[0..1] hold the two words as they came, high word first, and
 * coresident their value if VMTP_CRE is set.
 *
 * msg_delivery is user data unless VMTP_MDM is set, segment_size unless a
 * segment is appended.
 *
 * On input members that a call does not use are ignored, as are VMTP_SDA in
 * code (it follows from the length given), forward_count, coresident without
 * VMTP_CRE, user[0..1] with it, and priority without VMTP_F_PRIORITY. function
 * is ignored by the ioctls, each of which is for one. A set RES bit in code or
 * an undefined bit in flags is EINVAL.
 */
struct vmtp_mcb {
	__u64	server;		/* to (Request), or who answered (Response) */
	__u64	client;		/* Request received: from; reply: to */
	__u64	coresident;	/* with VMTP_CRE */
	__u32	code;		/* flags and code */
	__u32	transaction;	/* output; a reply names the Request by it */
	__u32	user[5];
	__u32	msg_delivery;
	__u32	segment_size;	/* octets of the whole message */
	__u8	forward_count;	/* output */
	__u8	priority;	/* 4 bits as on the wire */
	__u8	function;	/* VMTP_REQUEST ... VMTP_GROUP_RESPONSE */
	__u8	flags;		/* VMTP_F_* */
};

/* Response codes (I). Those from 25 to 63 are reserved. */
#define VMTP_OK				0
#define VMTP_RETRY			1
#define VMTP_RETRY_ALL			2
#define VMTP_BUSY			3
#define VMTP_NONEXISTENT_ENTITY		4
#define VMTP_ENTITY_MIGRATED		5
#define VMTP_NO_PERMISSION		6
#define VMTP_NOT_AWAITING_MSG		7
#define VMTP_VMTP_ERROR			8
#define VMTP_MSGTRANS_OVERFLOW		9
#define VMTP_BAD_TRANSACTION_ID		10
#define VMTP_STREAMING_NOT_SUPPORTED	11
#define VMTP_NO_RUN_RECORD		12
#define VMTP_RETRANS_TIMEOUT		13
#define VMTP_USER_TIMEOUT		14
#define VMTP_RESPONSE_DISCARDED		15
#define VMTP_SECURITY_NOT_SUPPORTED	16
#define VMTP_BAD_REPLY_SEGMENT		17
#define VMTP_SECURITY_REQUIRED		18
#define VMTP_STREAMED_RESPONSE		19
#define VMTP_TOO_MANY_RETRIES		20
#define VMTP_NO_PRINCIPAL		21
#define VMTP_NO_KEY			22
#define VMTP_ENCRYPTION_NOT_SUPPORTED	23
#define VMTP_NO_AUTHENTICATOR		24

/* ---- Control messages (cmsg_level SOL_VMTP) ------------------------------ */
/*
 *	type		payload			sendmsg		recvmsg
 *	VMTP_MCB	struct vmtp_mcb		the MCB; kind of	always
 *						message by .function
 *	VMTP_COOKIE	__u64			Request: returned	Response: if one
 *						with its Responses	was given
 *	VMTP_TIMELIMIT	__u32 (ms)		of this transaction	-
 *	VMTP_PIECE	struct vmtp_piece	-		of a message larger
 *							than one receive
 *	VMTP_ROOM	__u32 (octets)		Request: how long	-
 *						a Response may be;
 *						16,384 without
 *
 * sendmsg without VMTP_MCB is a Request of code 0 to msg_name or, connected,
 * to the default Server. MSG_MORE is NER: another of the run follows.
 */
#define VMTP_MCB		1
#define VMTP_COOKIE		2
#define VMTP_TIMELIMIT		3
#define VMTP_PIECE		4
#define VMTP_ROOM		5

struct vmtp_piece {
	__u32	offset;		/* of this piece in the segment */
	__u32	length;		/* octets of this piece */
	__u32	total;		/* octets of the whole segment */
	__u32	reserved;
};

/* ---- Socket options (level SOL_VMTP) ------------------------------------- */

#define VMTP_OPT_RETRIES		1  /* int 0..255: of a Request; 5 */
#define VMTP_OPT_RESPONSE_RETRIES	2  /* int 0..255: of a Response; 5 */
#define VMTP_OPT_TIMELIMIT		3  /* int ms: of a transaction; 0 */
#define VMTP_OPT_PRIORITY		4  /* int 0..15: the 4 bits; 0 normal */
#define VMTP_OPT_IDEMPOTENT		5  /* bool: replies are DGM; 0 */
#define VMTP_OPT_CHECKSUM		6  /* int: VMTP_CHECKSUM_*; _FULL */
#define VMTP_OPT_CHECKSUM_REQUIRED	7  /* bool: refuse packets without; 0 */
#define VMTP_OPT_REQUEST_QUEUE		8  /* int 1..65536: Requests waiting; 128 */
#define VMTP_OPT_RESPONSE_QUEUE		9  /* int 1..1024: Responses waiting; 64 */
#define VMTP_OPT_STREAM			10 /* bool: Requests form runs; 0 */
#define VMTP_OPT_JOIN			11 /* struct vmtp_membership (set) */
#define VMTP_OPT_LEAVE			12 /* struct vmtp_membership (set) */
#define VMTP_OPT_MULTICAST_TTL		13 /* int 0..255; 1 */
#define VMTP_OPT_MULTICAST_IF		14 /* int: interface index; 0 */
#define VMTP_OPT_MULTICAST_LOOP		15 /* bool: to members on this host; 1 */
#define VMTP_OPT_GROUP_RESPONSES	16 /* bool: take group Responses (2.7); 0 */
#define VMTP_OPT_RECEIVE		17 /* int: VMTP_RECEIVE_*; _ANY */
#define VMTP_OPT_GAP			18 /* int 0..255: the least gap asked of
					    * servers, 1/32 of an MTU time; 0 */
#define VMTP_OPT_PROBE_CLIENTS		19 /* int: VMTP_PROBE_*; _HOST */
#define VMTP_OPT_IMMUNE			20 /* bool: nobody else may add it to a group */
#define VMTP_OPT_PRIVATE		21 /* bool: probes get NO_PERMISSION */
#define VMTP_OPT_PEER			22 /* struct vmtp_peer_info (get; entity in
					    * the buffer is read first) */
#define VMTP_OPT_PIECES			23 /* bool: recvmsg gives what does not fit
					    * its buffer in pieces; 0 */
#define VMTP_OPT_TTL			24 /* int 0..255: of unicast packets; 0: as
					    * the route says */

#define VMTP_CHECKSUM_NONE	0
#define VMTP_CHECKSUM_HEADER	1	/* HCO */
#define VMTP_CHECKSUM_FULL	2

#define VMTP_RECEIVE_ANY	0	/* recvmsg and poll: both */
#define VMTP_RECEIVE_REQUESTS	1
#define VMTP_RECEIVE_RESPONSES	2

#define VMTP_PROBE_HOST		0	/* as net.vmtp.probe_clients says */
#define VMTP_PROBE_AUTO		1
#define VMTP_PROBE_ALWAYS	2
#define VMTP_PROBE_NEVER	3

struct vmtp_membership {
	__u64	group;		/* identifier with VMTP_ENTITY_GROUP */
	__u32	permissions;	/* VMTP_GRP_* */
	__u32	interface;	/* index, or 0: by route */
};

/* Permissions of a member (III.1) */
#define VMTP_GRP_MANAGER	0x00000001U
#define VMTP_REM_BY_SELF	0x00000002U
#define VMTP_REM_BY_PRIN	0x00000004U
#define VMTP_REM_BY_OTHE	0x00000008U
#define VMTP_ADD_PRIN		0x00000010U
#define VMTP_ADD_OTHE		0x00000020U
#define VMTP_REM_PRIN		0x00000040U
#define VMTP_REM_OTHE		0x00000080U

/* What the host knows of the way to an entity (VII.2). entity is input. */
struct vmtp_peer_info {
	__u64	entity;
	struct vmtp_host host;
	__u32	mtu;		/* octets of an IP packet */
	__u32	gap;		/* 1/32 of an MTU time */
	__u64	rtt;		/* ns, smoothed; 0: no sample yet */
	__u64	rtt_deviation;	/* ns */
	__u64	interpacket;	/* ns, TC3's base; 0: not measured */
};

/* ---- The calls (VIII), one ioctl each ------------------------------------ */

/*
 * One message with its segment. In calls that send, the segment is taken from
 * [segment, segment + length); in calls that receive, at most length octets
 * are stored there and received tells how many were. With VMTP_MDM blocks may
 * be missing: they are stored as zeros and have no bit in mcb.msg_delivery.
 * mcb.segment_size tells the whole: if it is greater, the rest is discarded, or
 * with VMTP_MSG_PIECES kept: a later call with VMTP_MSG_PIECES and this client
 * and transaction (recvreq), or transaction and server (getreply), in mcb gets
 * what follows.
 */
struct vmtp_msg {
	struct vmtp_mcb mcb;
	__aligned_u64	segment;	/* user address */
	__u32		length;
	__u32		received;	/* output */
	__aligned_u64	cookie;		/* Request: given; Response: returned */
	struct vmtp_host host;		/* input: where (or zero); output: from */
	__u32		timeout;	/* ms; see each call */
	__u32		flags;		/* VMTP_MSG_* */
	__u32		offset;		/* output: of this piece */
	__u32		reserved;
};

#define VMTP_MSG_DONTWAIT	0x01	/* as MSG_DONTWAIT */
#define VMTP_MSG_PIECES		0x02	/* take a message in pieces */
#define VMTP_MSG_MORE		0x04	/* NER: the run goes on */
#define VMTP_MSG_START		0x08	/* invoke: do not wait for the Response */
#define VMTP_MSG_ABORT		0x10	/* invoke: first abort what is open */
#define VMTP_MSG_SENT		0x20	/* output, VMTP_REPLYRECV: reply accepted */
#define VMTP_MSG_PEEK		0x40	/* as MSG_PEEK */

struct vmtp_exchange {
	struct vmtp_msg	out;	/* invoke: Request; replyrecv: Response */
	struct vmtp_msg	in;	/* invoke: Response; replyrecv: next Request */
};

struct vmtp_probe {
	__u64	entity;
	__u32	auth_domain;	/* 0: the host's own, 1 */
	__u32	timeout;	/* ms; 0: until the retries are used up */
	__u32	code;		/* output: a response code; 0 OK */
	__u32	transaction;	/* output: current or next */
	__u64	process;	/* output: host address << 32 | pid */
	__u64	principal;	/* output: host address << 32 | uid */
	__u64	effective_principal;
	struct vmtp_host host;	/* input: ask there (or zero); output: from */
};

/*
 * An entity written out to be read back on another host: its Client's next
 * Transaction, its memberships, and the records of the Clients it has served, by
 * which a Request that was executed is not executed again (2.1, 2.5.1).
 */
struct vmtp_image {
	__aligned_u64	data;		/* user address */
	__u32		length;		/* octets there */
	__u32		used;		/* output: octets of the image */
	__u32		timeout;	/* ms that Requests in progress may take */
	__u32		reserved;
	__u64		entity;		/* output */
};

#define VMTP_IOC_MAGIC		0x51	/* 81 */

/*
 * INVOKE	start a transaction with out and wait for its first Response, to
 *		in. out.timeout is the limit of the transaction (0: none). The
 *		flags of out count. A datagram returns at once and with
 *		VMTP_MSG_START any Request does; in is then not written.
 * GETREPLY	the next Response of the socket's transactions; timeout 0 polls.
 *		ENOTCONN if none was started.
 * RECVREQ	the next Request; timeout 0 waits without limit.
 * SENDREPLY	answer the Request named by mcb.client and mcb.transaction.
 *		ENOTCONN if that Client does not wait (any more).
 * FORWARDREQ	pass that Request on to mcb.server with this MCB and segment.
 * PROBEENTITY	what an entity's host says of it; 0 is the calling socket's own.
 * REPLYRECV	SENDREPLY of out, then RECVREQ into in with the timeout and flags
 *		of in. VMTP_MSG_SENT in out.flags tells, also when the call
 *		fails, that out has gone. If nobody waits for out (a datagram, a
 *		Client that has gone on, or out went before) it only receives.
 * ABORT	end the socket's open transactions; nothing of them is delivered.
 * EXPORT	freeze the socket's entity and write it out. Requests that its
 *		program has taken are waited for; EBUSY if they are not answered
 *		within timeout, or if the entity is a Client of open transactions;
 *		it goes on then, as it does after a signal.
 *		EMSGSIZE if the image is larger than length; used tells how large,
 *		and the entity stays frozen. Frozen, it drops packets in silence
 *		and hands nothing over.
 * IMPORT	make the socket, which is not bound, the entity of an image. Needs
 *		CAP_NET_ADMIN in the network namespace.
 * MOVED	the entity lives on another host: this one answers ENTITY_MIGRATED
 *		for it. The socket is shut down, its SO_ERROR is EIDRM.
 * RESUME	a frozen entity goes on here.
 *
 * EXPORT, IMPORT, MOVED and RESUME fail with EBUSY while another thread is in
 * one of these four for the same socket.
 *
 * When the time of invoke or getreply is up the call succeeds with function
 * VMTP_FAILURE and code VMTP_USER_TIMEOUT (4.6.2); recvreq, which has no MCB to
 * return then, fails with EAGAIN. VMTP_MSG_DONTWAIT (or O_NONBLOCK) fails with
 * EAGAIN where a call would wait. A call that a signal interrupts fails with
 * EINTR; a transaction that was started stays open for getreply.
 */
#define VMTP_INVOKE		_IOWR(VMTP_IOC_MAGIC, 1, struct vmtp_exchange)
#define VMTP_GETREPLY		_IOWR(VMTP_IOC_MAGIC, 2, struct vmtp_msg)
#define VMTP_RECVREQ		_IOWR(VMTP_IOC_MAGIC, 3, struct vmtp_msg)
#define VMTP_SENDREPLY		_IOW(VMTP_IOC_MAGIC, 4, struct vmtp_msg)
#define VMTP_FORWARDREQ		_IOW(VMTP_IOC_MAGIC, 5, struct vmtp_msg)
#define VMTP_PROBEENTITY	_IOWR(VMTP_IOC_MAGIC, 6, struct vmtp_probe)
#define VMTP_REPLYRECV		_IOWR(VMTP_IOC_MAGIC, 7, struct vmtp_exchange)
#define VMTP_ABORT		_IO(VMTP_IOC_MAGIC, 8)
#define VMTP_EXPORT		_IOWR(VMTP_IOC_MAGIC, 9, struct vmtp_image)
#define VMTP_IMPORT		_IOWR(VMTP_IOC_MAGIC, 10, struct vmtp_image)
#define VMTP_MOVED		_IO(VMTP_IOC_MAGIC, 11)
#define VMTP_RESUME		_IO(VMTP_IOC_MAGIC, 12)

/* ---- Management procedures (III): codes as sent ------------------------- */

#define VMTP_PROC_PROBE_ENTITY		0x05000101U
#define VMTP_PROC_AUTH_PROBE_ENTITY	0x05000102U
#define VMTP_PROC_PROBE_ENTITY_BLOCK	0x05000103U
#define VMTP_PROC_QUERY_VMTP_NODE	0x05000104U
#define VMTP_PROC_GET_REQUEST_FORWARDER	0x05000105U
#define VMTP_PROC_CREATE_ENTITY		0x05000106U
#define VMTP_PROC_DELETE_ENTITY		0x05000107U
#define VMTP_PROC_QUERY_ENTITY		0x05000108U
#define VMTP_PROC_SIGNAL_ENTITY		0x05000109U
#define VMTP_PROC_CREATE_GROUP		0x0500010AU
#define VMTP_PROC_ADD_TO_GROUP		0x0500010BU
#define VMTP_PROC_REMOVE_FROM_GROUP	0x0500010CU
#define VMTP_PROC_QUERY_GROUP		0x0500010DU
#define VMTP_PROC_MODIFY_SERVICE	0x0500010EU
#define VMTP_PROC_NOTIFY_CLIENT		0x4500010FU
#define VMTP_PROC_NOTIFY_SERVER		0x45000110U
#define VMTP_PROC_NOTIFY_REMOTE_CLIENT	0x41000111U

#endif /* _UAPI_LINUX_VMTP_H */
