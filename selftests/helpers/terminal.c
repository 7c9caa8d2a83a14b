// SPDX-License-Identifier: GPL-2.0
/*
 * A terminal of somebody: terminal USER-NUMBER MODE FILE [utf8]. Makes a pseudo-terminal of that owner and mode, writes
 * its name to FILE.name, and what is shown on it to FILE, octet by octet, until it is killed. What it reads is typed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* The group of terminals, as Debian numbers it. */
#define TTY	5

int main(int argc, char **argv)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), keyboard = STDIN_FILENO, slave, shown;
	struct termios settings;
	char name[64], octets[512];
	ssize_t count;
	FILE *file;

	if (argc < 4 || master < 0 || grantpt(master) || unlockpt(master) || ptsname_r(master, name, sizeof(name)))
		return perror("terminal"), 1;
	slave = open(name, O_RDWR | O_NOCTTY);
	if (slave < 0 || tcgetattr(slave, &settings))
		return perror(name), 1;
	cfmakeraw(&settings);
	if (argc > 4 && !strcmp(argv[4], "utf8"))
		settings.c_iflag |= IUTF8;
	shown = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
	if (tcsetattr(slave, TCSANOW, &settings) || fchown(slave, atoi(argv[1]), TTY) ||
	    fchmod(slave, strtoul(argv[2], NULL, 8)) || shown < 0)
		return perror(name), 1;
	snprintf(octets, sizeof(octets), "%s.name", argv[3]);
	file = fopen(octets, "w");
	fprintf(file, "%s\n", name + strlen("/dev/"));
	fclose(file);
	/* Without a keyboard, when its input has ended, the terminal goes on. */
	for (;;) {
		struct pollfd ways[2] = { { .fd = master, .events = POLLIN }, { .fd = keyboard, .events = POLLIN } };

		if (poll(ways, 2, -1) < 0)
			return perror("poll"), 1;
		if (ways[0].revents) {
			count = read(master, octets, sizeof(octets));
			if (count <= 0)
				return 0;
			if (write(shown, octets, count) != count)
				return 1;
		}
		if (ways[1].revents) {
			count = read(keyboard, octets, sizeof(octets));
			if (count <= 0)
				keyboard = -1;
			else if (write(master, octets, count) != count)
				return 1;
		}
	}
}
