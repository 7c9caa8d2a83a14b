// SPDX-License-Identifier: GPL-2.0
/*
 * A peer that never stops: Requests, Responses, Notifies and Probes for the
 * host of the present namespace, which is 10.81.0.1 on tun0, and for entities
 * LE-100000-10.81.0.1 to LE-100007-10.81.0.1, until it is killed. It has no
 * socket of AF_VMTP. Prints a line once it sends.
 */
#include "wire.h"

int main(void)
{
	int tun = link_make(1500);
	struct packet packet;
	unsigned int n = 0;

	if (tun < 0) {
		perror("tun0");
		return 1;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	puts("sending");
	fflush(stdout);
	for (;; n++) {
		__u64 client = little_endian(200000 + n % 500, PEER), server = little_endian(100000 + n % 8, HOST);

		switch (n % 7) {
		case 0 ... 2:
			request_packet(&packet, client, server, n / 500 * 3 + 1);
			if (n % 2)
				carry(&packet, packet.data, 1000, n % 4);
			break;
		case 3:
			request_packet(&packet, server, client, n);
			packet.control = C_RESPONSE;
			break;
		case 4:
			notify_server_packet(&packet, server, client, n / 500 * 3 + 1, ~0U, n % 25);
			break;
		case 5:
			notify_client_packet(&packet, server, 0, n, ~0U, n % 25);
			break;
		default:
			probe_packet(&packet, PEER_MANAGER, 0, server, 1, n);
		}
		send_packet(tun, &packet);
		if (n % 16 == 0)
			drain(tun);
	}
}
