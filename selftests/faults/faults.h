/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Faults on demand: the n-th allocation, or copy from or to user memory, that
 * this thread makes in the kernel fails (Documentation/fault-injection).
 *
 * A packet written to a TUN device is received within write(), by this thread:
 * so its reception can be made to fail as well.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include "wire.h"

static inline void faults_set(const char *file, const char *value)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0) {
		perror(path);
		abort();
	}
	close(fd);
}

/* Whether the kernel's log says of each allocation that fails where it was. */
static inline void faults_tell(bool tell)
{
	faults_set("failslab/verbose", tell ? "2" : "0");
	faults_set("failslab/verbose_ratelimit_interval_ms", "0");
	faults_set("fail_page_alloc/verbose", tell ? "2" : "0");
	faults_set("fail_page_alloc/verbose_ratelimit_interval_ms", "0");
}

/* Allocations of every kind count, and nobody prints a line for each. */
static inline void faults_prepare(void)
{
	faults_tell(false);
	faults_set("failslab/ignore-gfp-wait", "N");
	faults_set("fail_page_alloc/ignore-gfp-wait", "N");
	faults_set("fail_page_alloc/ignore-gfp-highmem", "N");
	faults_set("fail_page_alloc/min-order", "0");
	faults_set("fail_usercopy/verbose", "0");
}

/* Of the thread that calls; a child must not have its parent's. */
static inline int faults_file(void)
{
	static __thread int fd = -1;
	static __thread pid_t owner;

	if (owner != thread_id()) {
		fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
		owner = thread_id();
	}
	if (fd < 0) {
		perror("/proc/thread-self/fail-nth");
		abort();
	}
	return fd;
}

/* The n-th from now on fails. */
static inline void faults_arm(int n)
{
	char text[16];
	int fd = faults_file(), length = snprintf(text, sizeof(text), "%d", n);

	if (pwrite(fd, text, length, 0) != length) {
		perror("fail-nth");
		abort();
	}
}

/* Nothing fails any more. How many were left before the one that was to fail; 0 if that has failed. */
static inline int faults_disarm(void)
{
	char text[16] = "";
	int fd = faults_file();
	/* This may be the one that fails, or the next: then none has failed before. */
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);

	if (pwrite(fd, "0", 1, 0) != 1 && pwrite(fd, "0", 1, 0) != 1) {
		perror("fail-nth");
		abort();
	}
	return length > 0 ? atoi(text) : 1;
}

/* What a call may say that was denied memory, or access to its caller's. */
static inline bool is_shortage(int error)
{
	return error == ENOMEM || error == ENOBUFS || error == EFAULT || error == ENFILE;
}

/*
 * For n = 1, 2 ...: BEFORE without faults; CALL, whose n-th allocation fails;
 * AFTER without faults, which looks at `result`, the value of CALL (less than 0
 * if it failed, with errno), and repairs what is to be repaired. Ends when CALL
 * has less than n allocations.
 */
#define SWEEP(name, before, call, after) do { \
	int n, told = 0; \
	long result = -1; \
	for (n = 1; n < 5000; n++) { \
		int error, left; \
		before; \
		errno = 0; \
		faults_arm(n); \
		result = (call); \
		error = errno; \
		left = faults_disarm(); \
		if (result < 0) { \
			told++; \
			EXPECT_TRUE(is_shortage(error)) { TH_LOG("%s, %d: %s", name, n, strerror(error)); } \
			EXPECT_FALSE(left) { TH_LOG("%s fails without a fault: %s", name, strerror(error)); } \
		} \
		after; \
		if (left) \
			break; \
	} \
	EXPECT_LT(1, n) { TH_LOG("%s: nothing has failed", name); } \
	EXPECT_GT(5000, n) { TH_LOG("%s: there is no end", name); } \
	TH_LOG("%s: %d places, %d of them told", name, n - 1, told); \
} while (0)

#endif /* FAULTS_H */
