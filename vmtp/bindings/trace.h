/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints: what `perf trace -e 'vmtp:*'` and /sys/kernel/tracing/events/vmtp show. Entities and Transactions are in
 * host byte order, addresses as on the wire. Read several times by the kernel's macros.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vmtp

#if !defined(VMTP_BINDINGS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VMTP_BINDINGS_TRACE_H

#include <linux/tracepoint.h>

/* Somebody begins, or ends, to listen to packets or states: vmtp_traced counts them. */
int vmtp_trace_begin(void);
void vmtp_trace_end(void);

DECLARE_EVENT_CLASS(vmtp_packet,
	TP_PROTO(u32 host, u64 client, u64 server, u32 transaction, u32 control, u32 delivery, u32 code, u32 octets),
	TP_ARGS(host, client, server, transaction, control, delivery, code, octets),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, server)
		__field(u32, host)
		__field(u32, transaction)
		__field(u32, control)
		__field(u32, delivery)
		__field(u32, code)
		__field(u32, octets)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->server = server;
		__entry->host = host;
		__entry->transaction = transaction;
		__entry->control = control;
		__entry->delivery = delivery;
		__entry->code = code;
		__entry->octets = octets;
	),
	TP_printk("host=%pI4 %s client=%016llx server=%016llx transaction=%u control=%08x delivery=%08x code=%08x octets=%u",
		  &__entry->host, __entry->control & 1 ? "response" : "request", __entry->client, __entry->server,
		  __entry->transaction, __entry->control, __entry->delivery, __entry->code, __entry->octets)
);

DEFINE_EVENT_FN(vmtp_packet, vmtp_packet_in,
	TP_PROTO(u32 host, u64 client, u64 server, u32 transaction, u32 control, u32 delivery, u32 code, u32 octets),
	TP_ARGS(host, client, server, transaction, control, delivery, code, octets),
	vmtp_trace_begin, vmtp_trace_end);

DEFINE_EVENT_FN(vmtp_packet, vmtp_packet_out,
	TP_PROTO(u32 host, u64 client, u64 server, u32 transaction, u32 control, u32 delivery, u32 code, u32 octets),
	TP_ARGS(host, client, server, transaction, control, delivery, code, octets),
	vmtp_trace_begin, vmtp_trace_end);

/* A record of a remote Client, or a transaction of an entity here, is in another state. */
TRACE_EVENT_FN(vmtp_state,
	TP_PROTO(bool is_client, u64 client, u64 server, u32 transaction, const char *state, u32 length),
	TP_ARGS(is_client, client, server, transaction, state, length),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, server)
		__field(u32, transaction)
		__field(bool, is_client)
		__array(char, state, 24)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->server = server;
		__entry->transaction = transaction;
		__entry->is_client = is_client;
		memset(__entry->state, 0, sizeof(__entry->state));
		memcpy(__entry->state, state, min_t(u32, length, sizeof(__entry->state) - 1));
	),
	TP_printk("%s client=%016llx server=%016llx transaction=%u state=%s", __entry->is_client ? "client" : "server",
		  __entry->client, __entry->server, __entry->transaction, __entry->state),
	vmtp_trace_begin, vmtp_trace_end
);

/* A timer of a transaction went off. */
TRACE_EVENT(vmtp_timeout,
	TP_PROTO(bool is_client, u64 client, u64 server, u32 transaction),
	TP_ARGS(is_client, client, server, transaction),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, server)
		__field(u32, transaction)
		__field(bool, is_client)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->server = server;
		__entry->transaction = transaction;
		__entry->is_client = is_client;
	),
	TP_printk("%s client=%016llx server=%016llx transaction=%u", __entry->is_client ? "client" : "server",
		  __entry->client, __entry->server, __entry->transaction)
);

/* A packet was dropped; the reason is the name of its counter in /proc/net/vmtp/snmp. */
TRACE_EVENT(vmtp_drop,
	TP_PROTO(const char *reason, u32 length),
	TP_ARGS(reason, length),
	TP_STRUCT__entry(
		__array(char, reason, 24)
	),
	TP_fast_assign(
		memset(__entry->reason, 0, sizeof(__entry->reason));
		memcpy(__entry->reason, reason, min_t(u32, length, sizeof(__entry->reason) - 1));
	),
	TP_printk("reason=%s", __entry->reason)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
