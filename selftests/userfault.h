/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory that is not there until the test puts it there: a system call that reads or writes it waits so long, with what
 * it holds. For root. Anybody may have the same with a file system in user space.
 */
#ifndef USERFAULT_H
#define USERFAULT_H

#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct absent {
	int fd;
	void *at;
	size_t octets;
};

/* octets is a multiple of the size of a page. */
static inline bool absent_make(struct absent *absent, size_t octets)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .range.len = octets, .mode = UFFDIO_REGISTER_MODE_MISSING };

	absent->octets = octets;
	absent->at = mmap(NULL, octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	absent->fd = syscall(SYS_userfaultfd, 0);
	range.range.start = (unsigned long)absent->at;
	return absent->at != MAP_FAILED && absent->fd >= 0 && !ioctl(absent->fd, UFFDIO_API, &api) &&
	       !ioctl(absent->fd, UFFDIO_REGISTER, &range);
}

/* Whether somebody waits for it, within this time. */
static inline bool absent_is_wanted(const struct absent *absent, int timeout_ms)
{
	struct pollfd wanted = { .fd = absent->fd, .events = POLLIN };
	struct uffd_msg message;

	return poll(&wanted, 1, timeout_ms) == 1 && read(absent->fd, &message, sizeof(message)) == sizeof(message) &&
	       message.event == UFFD_EVENT_PAGEFAULT;
}

/* From now on it is there, and zero. */
static inline bool absent_end(const struct absent *absent)
{
	return !close(absent->fd);
}

#endif /* USERFAULT_H */
