// SPDX-License-Identifier: GPL-2.0
/*
 * Callable forms of what the kernel's headers have only as inline functions or macros. One line each: no logic.
 */
#include "bindings.h"

void vmtp_kfree_skb(struct sk_buff *skb)
{
	kfree_skb(skb);
}
