/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's harness, with a time limit for each test that holds in guests
 * without KVM, several at a time, and in the debug kernel, too: 30 s are meant
 * for a real processor. A program as a whole has that of `settings`.
 */
#include_next "kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 180
