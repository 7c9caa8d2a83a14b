/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests and Responses of known length on a connection, TCP's or SCTP's, that
 * both ends have told not to wait for more data. The server has a process for
 * each connection.
 */
#ifndef STREAM_H
#define STREAM_H

#include "bench.h"

/* A connection's socket, connected or listening, with the protocol's no-delay option set, which connections inherit. */
static inline int stream_open(int protocol, int option, bool listens)
{
	struct sockaddr_in address = server_address();
	int fd = socket(AF_INET, SOCK_STREAM, protocol), on = 1;

	if (fd < 0 || setsockopt(fd, protocol, option, &on, sizeof(on)))
		err(1, "stream");
	if (listens) {
		if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
		    bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1024))
			err(1, "stream server");
	} else if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		err(1, "stream client");
	}
	return fd;
}

/* Takes so many octets: SCTP gives a message in pieces, and knows no MSG_WAITALL. */
static inline bool stream_take(int fd, size_t octets)
{
	size_t done = 0;

	while (done < octets) {
		ssize_t got = recv(fd, segment + done, octets - done, MSG_WAITALL);

		if (got <= 0)
			return false;
		done += got;
	}
	return true;
}

static inline bool stream_put(int fd, size_t octets)
{
	return !octets || send(fd, segment, octets, 0) == (ssize_t)octets;
}

/* One octet stands for a message without data. */
static inline size_t stream_octets(size_t octets)
{
	return octets ? octets : 1;
}

static inline void stream_serve(int listening, const struct load *load)
{
	for (;;) {
		int fd = accept(listening, NULL, NULL);

		if (fd < 0)
			err(1, "stream server");
		if (child()) {
			close(fd);
			continue;
		}
		while (stream_take(fd, stream_octets(load->out)))
			if (!stream_put(fd, stream_octets(load->in)))
				break;
		_exit(0);
	}
}

static inline bool stream_transact(int fd, const struct load *load)
{
	if (!stream_put(fd, stream_octets(load->out)) || !stream_take(fd, stream_octets(load->in)))
		err(1, "stream client");
	return true;
}

#endif /* STREAM_H */
