// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * libvmtp: the calls of vmtp.h as functions of a library, for languages that
 * cannot use a C header. C programs have them inline and need not link it.
 */
#define VMTP_LINKAGE	/* external */
#include <vmtp.h>
