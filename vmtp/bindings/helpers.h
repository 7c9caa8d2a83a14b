/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Prototypes of helpers.c, for bindgen and for the C compiler.
 */
#ifndef VMTP_BINDINGS_HELPERS_H
#define VMTP_BINDINGS_HELPERS_H

#include <linux/skbuff.h>

void vmtp_kfree_skb(struct sk_buff *skb);

#endif
