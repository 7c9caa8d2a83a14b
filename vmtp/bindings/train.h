/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What train.c, which parts what crosses the stack as one, and gro.c, which joins what a wire has parted, both know.
 */
#ifndef VMTP_BINDINGS_TRAIN_H
#define VMTP_BINDINGS_TRAIN_H

#include <linux/list.h>
#include <linux/skbuff.h>
#include <linux/unaligned.h>

/* A packet (RFC 1045, 3.2): octets of its header, and of the checksum behind its data with it. */
#define VMTP_HEADER	64
#define VMTP_OVERHEAD	68

/* Octets of a packet with this header, by its Length, the low 13 bits of these two octets in words of four. */
static inline unsigned int vmtp_octets(const u8 *header)
{
	return VMTP_OVERHEAD + 4 * (get_unaligned_be16(header + 10) & 0x1fff);
}

/* Octets of the longest train, as a length of IP. */
#define VMTP_TRAIN_OCTETS	60000

/* Trains. Each packet keeps its IP identification, within a tunnel too. */
#define VMTP_TRAIN_GSO	(SKB_GSO_FRAGLIST | SKB_GSO_TCP_FIXEDID | SKB_GSO_TCP_FIXEDID_INNER)

struct sk_buff *vmtp_gro_receive(struct list_head *head, struct sk_buff *skb);
int vmtp_gro_complete(struct sk_buff *skb, int transport_offset);
void vmtp_gro_begin(void);
void vmtp_gro_end(void);

#endif /* VMTP_BINDINGS_TRAIN_H */
