// SPDX-License-Identifier: GPL-2.0
/*
 * An entity moves to another host while its Clients call it (RFC 1045, 2.1, IV.1):
 * nothing is executed twice, and nothing is lost without an error.
 */
#include "hosts.h"
#include "kselftest_harness.h"

#include <sys/epoll.h>
#include <sys/resource.h>

#define MOVING		little_endian(100000, ADDRESS_OF(1))
#define CLIENTS		1000
#define CALLS		2	/* of each Client */
#define IMAGE_MAX	(16 << 20)

FIXTURE(move)
{
	struct hosts hosts;	/* 0: the Clients, 1: the old host, 2: the new one */
	int old, new;
	unsigned char *image;
};

FIXTURE_SETUP(move)
{
	struct rlimit files = { 4096, 4096 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &files));
	ASSERT_EQ(0, hosts_make(&self->hosts, 3));
	for (int i = 2; i >= 0; i--) {
		ASSERT_EQ(0, hosts_enter(&self->hosts, i));
		ASSERT_EQ(0, setting("probe_clients", PROBE_NEVER));
	}
	self->old = hosts_open(&self->hosts, 1, MOVING);
	ASSERT_GE(self->old, 0);
	ASSERT_EQ(0, hosts_enter(&self->hosts, 2));
	self->new = vmtp_socket(SOCK_CLOEXEC);
	ASSERT_GE(self->new, 0);
	ASSERT_EQ(0, hosts_enter(&self->hosts, 0));
	self->image = malloc(IMAGE_MAX);
}

FIXTURE_TEARDOWN(move)
{
	close(self->old);
	close(self->new);
	free(self->image);
	hosts_end(&self->hosts);
}

static int export(int fd, unsigned char *image, __u32 room, __u32 timeout, __u32 *used)
{
	struct vmtp_image call = { .data = (uintptr_t)image, .length = room, .timeout = timeout };
	int result = ioctl(fd, VMTP_EXPORT, &call);

	*used = call.used;
	return result;
}

static int import(int fd, unsigned char *image, __u32 length)
{
	struct vmtp_image call = { .data = (uintptr_t)image, .length = length };

	return ioctl(fd, VMTP_IMPORT, &call);
}

/* One Request of a Client, received and not answered. */
static long receive(int fd, struct vmtp_mcb *mcb, int timeout)
{
	return vmtp_recvreq(fd, mcb, NULL, 0, timeout);
}

/* Shows: III-0101-e D-14-c */
TEST_F(move, clients_find_the_entity_on_its_new_host)
{
	struct vmtp_probe probe = { .entity = MOVING };
	struct echo echo;
	int client = open_entity(0);
	__u32 used;

	ASSERT_EQ(0, echo_start(&echo, self->old));
	EXPECT_EQ(VMTP_OK, call_null(client, MOVING));
	ASSERT_EQ(0, export(self->old, self->image, IMAGE_MAX, 1000, &used)) { TH_LOG("%s", strerror(errno)); }
	EXPECT_LT(100, used);
	ASSERT_EQ(0, import(self->new, self->image, used)) { TH_LOG("%s", strerror(errno)); }
	EXPECT_EQ(MOVING, entity_of(self->new));
	ASSERT_EQ(0, ioctl(self->old, VMTP_MOVED));
	pthread_join(echo.thread, NULL);
	ASSERT_EQ(0, echo_start(&echo, self->new));

	/* By unicast the old host says so; then it is looked for everywhere. */
	probe.host.family = AF_INET;
	memcpy(probe.host.address, &(__be32){ htonl(ADDRESS_OF(1)) }, 4);
	ASSERT_EQ(0, ioctl(client, VMTP_PROBEENTITY, &probe));
	EXPECT_EQ(VMTP_ENTITY_MIGRATED, probe.code);
	memset(&probe.host, 0, sizeof(probe.host));
	ASSERT_EQ(0, ioctl(client, VMTP_PROBEENTITY, &probe));
	EXPECT_EQ(VMTP_OK, probe.code);
	EXPECT_EQ(htonl(ADDRESS_OF(2)), *(__u32 *)probe.host.address);
	EXPECT_EQ(VMTP_OK, call_null(client, MOVING));
	EXPECT_EQ(1, echo.served);
	/* From then on it goes straight there. */
	EXPECT_EQ(VMTP_OK, call_null(client, MOVING));
	EXPECT_EQ(2, echo.served);
	echo_stop(&echo);
	self->new = -1;
	close(client);
}

/* Shows: 2.5.1-c */
TEST_F(move, what_was_executed_on_the_old_host_is_not_executed_on_the_new)
{
	static unsigned char answer[10000], got[10000];
	struct vmtp_mcb mcb, response;
	int client = open_entity(0);
	__u32 used;

	fill(answer, sizeof(answer), 3);
	/* The Response is on its way, with a segment, and the Client does not get it: its Request comes again. */
	ASSERT_EQ(0, start_null(client, MOVING));
	ASSERT_EQ(0, receive(self->old, &mcb, LONG_MS));
	ASSERT_EQ(0, hosts_loss(&self->hosts, 0, "100%"));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->old, &mcb, answer, sizeof(answer)));
	ASSERT_EQ(0, export(self->old, self->image, IMAGE_MAX, 1000, &used));
	EXPECT_LT(sizeof(answer), used);
	ASSERT_EQ(0, import(self->new, self->image, used));
	ASSERT_EQ(0, ioctl(self->old, VMTP_MOVED));
	ASSERT_EQ(0, hosts_loss(&self->hosts, 0, "0%"));
	ASSERT_EQ(sizeof(got), vmtp_getreply(client, &response, got, sizeof(got), LONG_MS));
	EXPECT_EQ(VMTP_OK, vmtp_code(&response));
	EXPECT_TRUE(is_filled(got, sizeof(got), 3));
	EXPECT_EQ(-1, receive(self->new, &mcb, 100));
	EXPECT_EQ(EAGAIN, errno);
	close(client);
}

TEST_F(move, a_request_in_progress_is_answered_first_and_one_that_waits_goes_along)
{
	struct vmtp_mcb mcb, waiting, response;
	int first = open_entity(0), second = open_entity(0);
	__u32 used;

	ASSERT_EQ(0, start_null(first, MOVING));
	ASSERT_EQ(0, receive(self->old, &mcb, LONG_MS));
	ASSERT_EQ(0, start_null(second, MOVING));
	ASSERT_TRUE(comes(self->old, POLLIN, LONG_MS));
	EXPECT_ERRNO(EBUSY, export(self->old, self->image, IMAGE_MAX, 50, &used));
	/* It goes on as if nothing had been. */
	EXPECT_TRUE(comes(self->old, POLLIN, LONG_MS));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->old, &mcb, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(first, &response, NULL, 0, LONG_MS));
	ASSERT_EQ(0, export(self->old, self->image, IMAGE_MAX, 50, &used));
	EXPECT_EQ(-1, receive(self->old, &waiting, 50));
	ASSERT_EQ(0, import(self->new, self->image, used));
	ASSERT_EQ(0, ioctl(self->old, VMTP_MOVED));
	EXPECT_ERRNO(ESHUTDOWN, receive(self->old, &waiting, 50));
	/* The one that waited is sent again, and executed where the entity is now. */
	ASSERT_EQ(0, receive(self->new, &waiting, LONG_MS));
	EXPECT_EQ(entity_of(second), waiting.client);
	vmtp_response(&waiting, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->new, &waiting, NULL, 0));
	ASSERT_EQ(0, vmtp_getreply(second, &response, NULL, 0, LONG_MS));
	EXPECT_EQ(VMTP_OK, vmtp_code(&response));
	close(first);
	close(second);
}

TEST_F(move, who_is_not_moved_goes_on_and_images_that_are_none_are_refused)
{
	struct vmtp_mcb mcb;
	int client = open_entity(0);
	__u32 used, part;

	ASSERT_EQ(0, start_null(client, MOVING));
	ASSERT_EQ(0, receive(self->old, &mcb, LONG_MS));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->old, &mcb, NULL, 0));
	EXPECT_ERRNO(ENOTCONN, ioctl(self->old, VMTP_MOVED));
	EXPECT_ERRNO(EMSGSIZE, export(self->old, self->image, 10, 0, &used));
	EXPECT_ERRNO(EFAULT, export(self->old, (void *)8, IMAGE_MAX, 0, &part));
	ASSERT_EQ(0, export(self->old, self->image, used, 0, &part));
	EXPECT_EQ(used, part);
	EXPECT_ERRNO(EBUSY, start_null(self->old, entity_of(client)));
	ASSERT_EQ(0, ioctl(self->old, VMTP_RESUME));
	ASSERT_EQ(0, vmtp_getreply(client, &mcb, NULL, 0, LONG_MS));
	ASSERT_EQ(0, start_null(client, MOVING));
	ASSERT_EQ(0, receive(self->old, &mcb, LONG_MS));

	/* Cut at every octet of its head and of its records. */
	for (__u32 length = 0; length < used; length += length < 32 ? 1 : 13)
		EXPECT_ERRNO(EINVAL, import(self->new, self->image, length));
	self->image[0] ^= 1;
	EXPECT_ERRNO(EINVAL, import(self->new, self->image, used));
	self->image[0] ^= 1;
	ASSERT_EQ(0, import(self->new, self->image, used));
	EXPECT_ERRNO(EINVAL, import(self->new, self->image, used));
	/* Whoever is not the administrator makes no entity of another host. */
	ASSERT_EQ(0, close(self->new));
	self->new = vmtp_socket(0);
	ASSERT_EQ(0, syscall(SYS_setresuid, -1, 1000, -1));
	EXPECT_ERRNO(EPERM, import(self->new, self->image, used));
	ASSERT_EQ(0, syscall(SYS_setresuid, -1, 0, -1));
	close(client);
}

/* A Client is served, and the entity exported: its record is frozen. */
static bool freeze_record(struct hosts *hosts, int fd, unsigned char *image, int client)
{
	struct vmtp_mcb mcb;
	__u32 used;
	int records;

	if (start_null(client, MOVING) || receive(fd, &mcb, LONG_MS))
		return false;
	vmtp_response(&mcb, VMTP_OK);
	if (vmtp_sendreply(fd, &mcb, NULL, 0) || vmtp_getreply(client, &mcb, NULL, 0, LONG_MS) ||
	    export(fd, image, IMAGE_MAX, 0, &used) || hosts_enter(hosts, 1))
		return false;
	records = lines_of("transactions");
	return records == 1 && !hosts_enter(hosts, 0);
}

TEST_F(move, who_is_closed_without_having_moved_is_served_again_under_its_name)
{
	int client = open_entity(0);
	struct echo echo;

	ASSERT_TRUE(freeze_record(&self->hosts, self->old, self->image, client));
	close(self->old);
	self->old = hosts_open(&self->hosts, 1, MOVING);
	ASSERT_GE(self->old, 0);
	ASSERT_EQ(0, echo_start(&echo, self->old));
	EXPECT_EQ(VMTP_OK, call_null(client, MOVING));
	EXPECT_EQ(1, echo.served);
	echo_stop(&echo);
	self->old = -1;
	close(client);
}

TEST_F(move, the_records_of_who_is_closed_without_having_moved_expire)
{
	int client = open_entity(0), records = 1;

	ASSERT_EQ(0, hosts_enter(&self->hosts, 1));
	ASSERT_EQ(0, setting("packet_lifetime_ms", 500));
	ASSERT_EQ(0, hosts_enter(&self->hosts, 0));
	ASSERT_TRUE(freeze_record(&self->hosts, self->old, self->image, client));
	close(self->old);
	self->old = -1;
	ASSERT_EQ(0, hosts_enter(&self->hosts, 1));
	for (long end = now_ms() + LONG_MS; records && now_ms() < end; usleep(10000))
		records = lines_of("transactions");
	EXPECT_EQ(0, records);
	ASSERT_EQ(0, hosts_enter(&self->hosts, 0));
	close(client);
}

/* EXPORT, to an image of its own. */
static long export_old(void *argument)
{
	unsigned char *image = malloc(IMAGE_MAX);
	__u32 used;
	int result = export(*(int *)argument, image, IMAGE_MAX, LONG_MS / 4, &used), error = errno;

	free(image);
	errno = error;
	return result;
}

TEST_F(move, an_export_that_waits_keeps_only_what_moves_the_entity_waiting)
{
	struct vmtp_membership member = { .group = vmtp_entity(VMTP_ENTITY_GROUP, 7, 0xE0000105) };
	int client = open_entity(0);
	struct waiter exporting;
	struct vmtp_mcb mcb;
	__u32 used;

	ASSERT_EQ(0, start_null(client, MOVING));
	ASSERT_EQ(0, receive(self->old, &mcb, LONG_MS));
	ASSERT_TRUE(waiter_start(&exporting, export_old, &self->old));
	/* To join takes the lock of the machine's network configuration: whoever has that waits for nobody. */
	EXPECT_EQ(0, setsockopt(self->old, SOL_VMTP, VMTP_OPT_JOIN, &member, sizeof(member)));
	EXPECT_ERRNO(EBUSY, export(self->old, self->image, IMAGE_MAX, 0, &used));
	EXPECT_ERRNO(EBUSY, import(self->old, self->image, IMAGE_MAX));
	EXPECT_ERRNO(EBUSY, ioctl(self->old, VMTP_RESUME));
	EXPECT_ERRNO(EBUSY, ioctl(self->old, VMTP_MOVED));
	EXPECT_FALSE(waiter_is_over(&exporting));
	vmtp_response(&mcb, VMTP_OK);
	ASSERT_EQ(0, vmtp_sendreply(self->old, &mcb, NULL, 0));
	EXPECT_EQ(0, waiter_end(&exporting));
	EXPECT_EQ(0, ioctl(self->old, VMTP_RESUME));
	close(client);
}

/* A Client whose Request is in progress calls again once that is answered. */
static bool goes_on(int server, struct vmtp_mcb *in_progress, int client)
{
	struct vmtp_mcb mcb;

	vmtp_response(in_progress, VMTP_OK);
	if (vmtp_sendreply(server, in_progress, NULL, 0) || vmtp_getreply(client, &mcb, NULL, 0, LONG_MS) ||
	    start_null(client, MOVING) || receive(server, &mcb, LONG_MS))
		return false;
	vmtp_response(&mcb, VMTP_OK);
	return !vmtp_sendreply(server, &mcb, NULL, 0) && !vmtp_getreply(client, &mcb, NULL, 0, LONG_MS) &&
	       vmtp_code(&mcb) == VMTP_OK;
}

static void on_signal(int number)
{
	(void)number;
}

TEST_F(move, a_signal_ends_the_wait_for_a_request_in_progress)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	int client = open_entity(0);
	struct waiter exporting;
	struct vmtp_mcb mcb;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_EQ(0, start_null(client, MOVING));
	ASSERT_EQ(0, receive(self->old, &mcb, LONG_MS));
	ASSERT_TRUE(waiter_start(&exporting, export_old, &self->old));
	ASSERT_EQ(0, pthread_kill(exporting.thread, SIGUSR1));
	EXPECT_EQ(EINTR, waiter_end(&exporting));
	EXPECT_TRUE(goes_on(self->old, &mcb, client));
	close(client);
}

/* ---- Under load ------------------------------------------------------------------------------------ */

static unsigned char executed[CLIENTS][CALLS];

struct load {
	int fd;
	bool stop;
	pthread_t thread;
};

/* Answers every Request with its number, and remembers that it did. */
static void *serve(void *argument)
{
	struct load *load = argument;
	struct vmtp_mcb mcb;

	while (vmtp_recvreq(load->fd, &mcb, NULL, 0, 0) >= 0) {
		__u32 client = mcb.user[2], call = mcb.user[3];

		if (client < CLIENTS && call < CALLS)
			__atomic_fetch_add(&executed[client][call], 1, __ATOMIC_RELAXED);
		vmtp_response(&mcb, VMTP_OK);
		mcb.user[0] = client;
		mcb.user[1] = call;
		vmtp_sendreply(load->fd, &mcb, NULL, 0);
	}
	return NULL;
}

static int call_number(int fd, __u32 client, __u32 call)
{
	struct vmtp_mcb mcb;

	vmtp_request(&mcb, MOVING, APPLICATION);
	mcb.user[2] = client;
	mcb.user[3] = call;
	return start(fd, &mcb, NULL, 0);
}

TEST_F_TIMEOUT(move, a_thousand_transactions_in_flight_are_executed_once, 120)
{
	static int clients[CLIENTS], done[CLIENTS];
	struct epoll_event event = { .events = EPOLLIN }, events[64];
	int poller = epoll_create1(0), open = CLIENTS, errors = 0, twice = 0, lost = 0, here = 0;
	long last_error = 0;
	struct load load = { .fd = self->old };
	bool moved = false;
	__u32 used = 0;

	ASSERT_EQ(0, set_option(self->old, VMTP_OPT_REQUEST_QUEUE, 4096));
	ASSERT_EQ(0, set_option(self->new, VMTP_OPT_REQUEST_QUEUE, 4096));
	ASSERT_EQ(0, hosts_loss(&self->hosts, 1, "5%"));
	ASSERT_EQ(0, hosts_loss(&self->hosts, 2, "5%"));
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = open_entity(0);
		ASSERT_GE(clients[i], 0);
		ASSERT_EQ(0, set_option(clients[i], VMTP_OPT_RETRIES, 20));
		event.data.u32 = i;
		ASSERT_EQ(0, epoll_ctl(poller, EPOLL_CTL_ADD, clients[i], &event));
	}
	/* All have one open when it begins to move. */
	for (int i = 0; i < CLIENTS; i++)
		ASSERT_EQ(0, call_number(clients[i], i, 0));
	ASSERT_EQ(0, pthread_create(&load.thread, NULL, serve, &load));
	while (open) {
		int count = epoll_wait(poller, events, 64, LONG_MS);

		ASSERT_LT(0, count) { TH_LOG("%d Clients wait for nothing", open); }
		for (int i = 0; i < count; i++) {
			__u32 client = events[i].data.u32;
			struct vmtp_mcb mcb = { 0 };

			if (vmtp_getreply(clients[client], &mcb, NULL, 0, 1) < 0 || mcb.function == VMTP_FAILURE) {
				if (mcb.function != VMTP_FAILURE || vmtp_code(&mcb) == VMTP_USER_TIMEOUT)
					continue;
				errors++;
				last_error = vmtp_code(&mcb);
			} else {
				EXPECT_EQ(client, mcb.user[0]);
				EXPECT_EQ(done[client], mcb.user[1]);
				if (!executed[client][done[client]])
					lost++;
			}
			if (++done[client] == CALLS) {
				open--;
				epoll_ctl(poller, EPOLL_CTL_DEL, clients[client], NULL);
			} else {
				ASSERT_EQ(0, call_number(clients[client], client, done[client]));
			}
			here++;
		}
		if (!moved && here > CLIENTS / 4) {
			moved = true;
			ASSERT_EQ(0, export(self->old, self->image, IMAGE_MAX, LONG_MS, &used)) {
				TH_LOG("%s", strerror(errno));
			}
			ASSERT_EQ(0, import(self->new, self->image, used)) { TH_LOG("%s", strerror(errno)); }
			ASSERT_EQ(0, ioctl(self->old, VMTP_MOVED));
			pthread_join(load.thread, NULL);
			load.fd = self->new;
			ASSERT_EQ(0, pthread_create(&load.thread, NULL, serve, &load));
		}
	}
	EXPECT_TRUE(moved);
	for (int i = 0; i < CLIENTS; i++) {
		for (int call = 0; call < CALLS; call++)
			twice += executed[i][call] > 1;
		close(clients[i]);
	}
	EXPECT_EQ(0, twice);
	EXPECT_EQ(0, lost);
	TH_LOG("image of %u octets; %d transactions, %d failed with an error (last %ld)", used, CLIENTS * CALLS, errors,
	       last_error);
	/* All of them look for one entity: they are told by one another's Probes. */
	EXPECT_GE(CLIENTS / 4, counter("OutProbes")) { TH_LOG("%ld Probes", counter("OutProbes")); }
	/* Where a Probe is lost each time the entity is not found, and its Clients are told. */
	EXPECT_GE(CLIENTS * CALLS / 50, errors);
	shutdown(self->new, SHUT_RDWR);
	pthread_join(load.thread, NULL);
	close(poller);
}

TEST_HARNESS_MAIN
