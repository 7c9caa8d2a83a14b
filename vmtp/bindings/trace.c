// SPDX-License-Identifier: GPL-2.0
/* Callable forms of the tracepoints. Nobody need call those of packets and states while vmtp_traced is 0. */
#include "bindings.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

int vmtp_traced;

/* The kernel's lock of its tracepoints is held. */
int vmtp_trace_begin(void)
{
	WRITE_ONCE(vmtp_traced, vmtp_traced + 1);
	return 0;
}

void vmtp_trace_end(void)
{
	WRITE_ONCE(vmtp_traced, vmtp_traced - 1);
}

void vmtp_helper_trace_packet(bool in, u32 host, u64 client, u64 server, u32 transaction, u32 control, u32 delivery,
			      u32 code, u32 octets)
{
	if (in)
		trace_vmtp_packet_in(host, client, server, transaction, control, delivery, code, octets);
	else
		trace_vmtp_packet_out(host, client, server, transaction, control, delivery, code, octets);
}

void vmtp_helper_trace_state(bool is_client, u64 client, u64 server, u32 transaction, const u8 *state, u32 length)
{
	trace_vmtp_state(is_client, client, server, transaction, (const char *)state, length);
}

void vmtp_helper_trace_timeout(bool is_client, u64 client, u64 server, u32 transaction)
{
	trace_vmtp_timeout(is_client, client, server, transaction);
}

void vmtp_helper_trace_drop(const u8 *reason, u32 length)
{
	trace_vmtp_drop((const char *)reason, length);
}
