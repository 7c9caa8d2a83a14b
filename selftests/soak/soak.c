// SPDX-License-Identifier: GPL-2.0
/*
 * Three hosts use what VMTP has for as long as is asked for, over a network
 * that changes every few seconds: loss, delay, reordering, duplication, damage.
 * Every message is compared, every Request is executed at most once, and a
 * transaction may fail only where its server is closed. A line a minute.
 *
 * usage: soak SECONDS SEED
 */
#include "server.h"

#include <stdarg.h>

unsigned char pattern[2 * VMTP_MESSAGE_SIZE];
volatile bool over, servers_over;
static int errors, namespaces[HOSTS];

void wrong(const char *format, ...)
{
	va_list arguments;
	char text[256];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	/* The first few tell it. */
	if (__sync_fetch_and_add(&errors, 1) < 50)
		printf("✗ %s\n", text);
}

void enter(int host)
{
	if (namespace_enter(namespaces[host])) {
		perror("setns");
		exit(1);
	}
}

/* ---- Clients ---------------------------------------------------------------------- */

enum kind { SMALL, GROUP_SIZED, LARGE, RUN, FORWARDED, TO_GROUP, TO_UNSTABLE, PROBE, KINDS };

static const char *const kind_names[KINDS] = {
	"small", "16 KiB", "4 MiB", "of runs", "forwarded", "to groups", "to restarted", "probes",
};

struct client {
	enum kind kind;
	int host, number, fd;
	__u32 sequence;
	unsigned int seed;
	long done, refused;
	pthread_t thread;
	unsigned char *area;
};

static __u32 below(struct client *client, __u32 n)
{
	return (((__u32)rand_r(&client->seed) << 15) ^ (__u32)rand_r(&client->seed)) % n;
}

static void request(struct client *client, struct vmtp_exchange *exchange, __u64 server, __u32 octets, __u32 wanted)
{
	*exchange = (struct vmtp_exchange){
		.out = {
			.mcb = { .server = server, .code = ANSWER },
			.length = octets,
			.flags = VMTP_MSG_PIECES,
		},
		.in = { .segment = (uintptr_t)client->area, .length = CHUNK, .flags = VMTP_MSG_PIECES },
	};
	exchange->out.mcb.user[CLIENT_NUMBER] = client->number;
	exchange->out.mcb.user[SEQUENCE] = ++client->sequence;
	exchange->out.mcb.user[WANTED] = wanted;
	exchange->out.mcb.user[SEED] = below(client, 1 << 30);
	exchange->out.segment = (uintptr_t)content(exchange->out.mcb.user[SEED]);
}

/* The Response to a Request: all of it is what it must be. `in` has its first piece. */
static void check(struct client *client, const struct vmtp_mcb *asked, struct vmtp_msg *in)
{
	const unsigned char *wanted = content(answer_seed(asked->user[SEED]));
	__u32 done = 0;

	if (in->mcb.function != VMTP_RESPONSE) {
		if (client->kind == TO_UNSTABLE && vmtp_code(&in->mcb) != VMTP_RETRANS_TIMEOUT)
			client->refused++;
		else
			wrong("%s: Client %d: %s", kind_names[client->kind], client->number,
			      vmtp_code_name(vmtp_code(&in->mcb)));
		return;
	}
	if (memcmp(in->mcb.user, asked->user, sizeof(asked->user)))
		wrong("%s: Client %d: the answer to another Request", kind_names[client->kind], client->number);
	for (;;) {
		if (memcmp(client->area, wanted + done, in->received))
			wrong("%s: Client %d: a Response is damaged at %u", kind_names[client->kind], client->number, done);
		done += in->received;
		if (!(in->mcb.code & VMTP_SDA) || done >= in->mcb.segment_size)
			break;
		in->flags = VMTP_MSG_PIECES;
		in->timeout = LONG_MS;
		if (ioctl(client->fd, VMTP_GETREPLY, in) || in->mcb.function != VMTP_RESPONSE) {
			wrong("%s: Client %d: %u octets of %u came", kind_names[client->kind], client->number, done,
			      asked->user[WANTED]);
			return;
		}
	}
	if (done != asked->user[WANTED])
		wrong("%s: Client %d: %u octets for %u", kind_names[client->kind], client->number, done, asked->user[WANTED]);
	client->done++;
}

static void invoke(struct client *client, struct vmtp_exchange *exchange)
{
	if (ioctl(client->fd, VMTP_INVOKE, exchange))
		wrong("%s: Client %d: %s", kind_names[client->kind], client->number, strerror(errno));
	else
		check(client, &exchange->out.mcb, &exchange->in);
}

#define RUN_LENGTH	8

static void run(struct client *client, __u64 server)
{
	struct vmtp_exchange exchanges[RUN_LENGTH];
	struct vmtp_msg in;

	for (int i = 0; i < RUN_LENGTH; i++) {
		request(client, &exchanges[i], server, below(client, 3000), below(client, 3000));
		exchanges[i].out.flags |= VMTP_MSG_START | (i < RUN_LENGTH - 1 ? VMTP_MSG_MORE : 0);
		exchanges[i].out.cookie = i + 1;
		if (ioctl(client->fd, VMTP_INVOKE, &exchanges[i])) {
			wrong("run: Client %d: Request %d: %s", client->number, i, strerror(errno));
			ioctl(client->fd, VMTP_ABORT);
			return;
		}
	}
	for (int i = 0; i < RUN_LENGTH; i++) {
		in = (struct vmtp_msg){
			.segment = (uintptr_t)client->area, .length = CHUNK, .flags = VMTP_MSG_PIECES, .timeout = 3 * LONG_MS,
		};
		if (ioctl(client->fd, VMTP_GETREPLY, &in) || in.cookie != i + 1U) {
			wrong("run: Client %d: Response %d: cookie %llu, %s", client->number, i, in.cookie, strerror(errno));
			ioctl(client->fd, VMTP_ABORT);
			return;
		}
		check(client, &exchanges[i].out.mcb, &in);
	}
}

/* The first Response is the transaction's; what others answer in time is looked at, too. */
static void ask_group(struct client *client)
{
	__u64 heard[HOSTS] = { 0 };
	struct vmtp_exchange exchange;
	struct vmtp_msg in;

	request(client, &exchange, GROUP, below(client, 2000), below(client, 2000));
	if (ioctl(client->fd, VMTP_INVOKE, &exchange)) {
		wrong("group: Client %d: %s", client->number, strerror(errno));
		return;
	}
	in = exchange.in;
	for (int i = 0; i < HOSTS; i++) {
		for (int j = 0; j < i; j++)
			if (heard[j] == in.mcb.server)
				wrong("group: Client %d: one member answers twice", client->number);
		heard[i] = in.mcb.server;
		check(client, &exchange.out.mcb, &in);
		in = (struct vmtp_msg){ .segment = (uintptr_t)client->area, .length = CHUNK, .timeout = 20 };
		if (ioctl(client->fd, VMTP_GETREPLY, &in) || in.mcb.function != VMTP_RESPONSE)
			break;
	}
}

static void probe(struct client *client, __u64 server)
{
	struct vmtp_probe state;

	if (vmtp_probeentity(client->fd, server, &state, 3 * LONG_MS)) {
		wrong("probe: Client %d: %s", client->number, strerror(errno));
	} else if (state.code == VMTP_OK && state.process >> 32 == vmtp_entity_address(server)) {
		client->done++;
	} else if (state.code == VMTP_NONEXISTENT_ENTITY || state.code == VMTP_USER_TIMEOUT) {
		/* A Probe is sent again five times, whatever a socket's retries are. */
		client->refused++;
	} else {
		wrong("probe: Client %d: %s", client->number, vmtp_code_name(state.code));
	}
}

static void *client_thread(void *argument)
{
	struct client *client = argument;
	struct vmtp_exchange exchange;

	enter(client->host);
	client->area = malloc(CHUNK);
	client->fd = open_entity(0);
	set_option(client->fd, VMTP_OPT_RETRIES, RETRIES);
	set_option(client->fd, VMTP_OPT_STREAM, client->kind == RUN);
	while (!over) {
		int other = (client->host + 1 + below(client, HOSTS - 1)) % HOSTS;

		switch (client->kind) {
		case SMALL:
			request(client, &exchange, SERVER(other), below(client, 1500), below(client, 1500));
			invoke(client, &exchange);
			break;
		case GROUP_SIZED:
			request(client, &exchange, SERVER(other), below(client, VMTP_GROUP_SIZE + 1),
				below(client, VMTP_GROUP_SIZE + 1));
			invoke(client, &exchange);
			break;
		case LARGE:
			request(client, &exchange, SERVER(other), 0, 0);
			exchange.out.length = below(client, 8) ? below(client, 300000) : below(client, VMTP_MESSAGE_SIZE + 1);
			exchange.out.mcb.user[WANTED] = below(client, 8) ? below(client, 300000) :
				below(client, VMTP_MESSAGE_SIZE + 1);
			/* More than a packet group comes only into an area that is larger. */
			exchange.in.length = CHUNK;
			invoke(client, &exchange);
			break;
		case RUN:
			run(client, SERVER(other));
			break;
		case FORWARDED:
			request(client, &exchange, SERVER(other), below(client, VMTP_GROUP_SIZE), below(client, 3000));
			exchange.out.mcb.code = PASS_ON;
			exchange.out.mcb.user[PASS_TO] = (other + 1) % HOSTS;
			invoke(client, &exchange);
			break;
		case TO_GROUP:
			ask_group(client);
			break;
		case TO_UNSTABLE:
			request(client, &exchange, UNSTABLE(other), below(client, 20000), below(client, 3000));
			invoke(client, &exchange);
			break;
		case PROBE:
			probe(client, SERVER(other));
			break;
		case KINDS:
			break;
		}
		usleep(1000);
	}
	close(client->fd);
	free(client->area);
	return NULL;
}

/* ---- The network -------------------------------------------------------------------- */

static const char *const networks[] = {
	"delay 0ms",
	"delay 1ms",
	"loss 1%",
	"delay 5ms 2ms loss 3%",
	"delay 2ms reorder 20% 50%",
	"duplicate 10%",
	"corrupt 2%",
	"delay 20ms 5ms loss 5% duplicate 2% corrupt 1%",
	"rate 50mbit limit 2000",
	"delay 1ms loss 20%",
};

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
	char command[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	if (system(command)) {
		fprintf(stderr, "failed: %s\n", command);
		exit(1);
	}
}

/* A bridge with a host at each of its ports. */
static void make_network(void)
{
	shell("ip link add hub type bridge mcast_snooping 0 && ip link set hub up");
	for (int h = 0; h < HOSTS; h++) {
		char path[64];

		shell("ip netns add h%d && ip link add port%d type veth peer name eth0 netns h%d &&"
		      " ip link set port%d master hub up && ip -n h%d link set lo up &&"
		      " ip -n h%d addr add 10.81.0.%d/24 dev eth0 && ip -n h%d link set eth0 up &&"
		      " ip -n h%d route add 224.0.0.0/4 dev eth0 &&"
		      " tc qdisc add dev port%d root netem delay 0ms && tc -n h%d qdisc add dev eth0 root netem delay 0ms",
		      h, h, h, h, h, h, h + 1, h, h, h, h);
		snprintf(path, sizeof(path), "/run/netns/h%d", h);
		namespaces[h] = open(path, O_RDONLY | O_CLOEXEC);
	}
}

/* The way to and from one host becomes another. */
static const char *change_network(unsigned int *seed)
{
	const char *network = networks[rand_r(seed) % (sizeof(networks) / sizeof(networks[0]))];
	int host = rand_r(seed) % HOSTS;

	shell("tc qdisc replace dev port%d root netem %s", host, network);
	if (rand_r(seed) % 2)
		shell("tc -n h%d qdisc replace dev eth0 root netem %s", host, network);
	return network;
}

/* ---- The run --------------------------------------------------------------------------- */

#define CLIENTS	(HOSTS * KINDS)

static struct server servers[2 * HOSTS];
static struct client clients[CLIENTS];

/* What was done since the last time; false if a kind does not get on at all. */
static bool tell(const char *network, long seconds, bool may_stall)
{
	static long before[KINDS];
	bool on = true;

	printf("%5ld s:", seconds);
	for (int kind = 0; kind < KINDS; kind++) {
		long done = 0;

		for (int i = 0; i < CLIENTS; i++)
			if (clients[i].kind == (enum kind)kind)
				done += clients[i].done;
		printf(" %ld %s,", done - before[kind], kind_names[kind]);
		if (done == before[kind] && !may_stall) {
			wrong("none %s in a minute", kind_names[kind]);
			on = false;
		}
		before[kind] = done;
	}
	printf(" %d wrong; last network: %s\n", errors, network);
	return on;
}

int main(int argc, char **argv)
{
	long begin, seconds = argc > 1 ? atol(argv[1]) : 60, told = 0, total = 0, refused = 0;
	unsigned int seed = argc > 2 ? atoi(argv[2]) : 1;
	const char *network = "as it is";

	setvbuf(stdout, NULL, _IOLBF, 0);
	fill(pattern, VMTP_MESSAGE_SIZE, 1);
	memcpy(pattern + VMTP_MESSAGE_SIZE, pattern, VMTP_MESSAGE_SIZE);
	make_network();
	for (int i = 0; i < 2 * HOSTS; i++) {
		servers[i] = (struct server){ .host = i / 2, .unstable = i % 2, .joins = i % 2 == 0 };
		pthread_create(&servers[i].thread, NULL, server_thread, &servers[i]);
	}
	usleep(500000);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){ .kind = i % KINDS, .host = i / KINDS, .number = i, .seed = seed * 1000 + i };
		pthread_create(&clients[i].thread, NULL, client_thread, &clients[i]);
	}
	begin = now_ms();
	while ((now_ms() - begin) / 1000 < seconds) {
		usleep(2000000);
		network = change_network(&seed);
		if ((now_ms() - begin) / 60000 > told) {
			told = (now_ms() - begin) / 60000;
			tell(network, (now_ms() - begin) / 1000, false);
		}
	}
	/* What is open comes to its end over a network that works. */
	for (int h = 0; h < HOSTS; h++)
		shell("tc qdisc replace dev port%d root netem delay 0ms; tc -n h%d qdisc replace dev eth0 root netem delay 0ms",
		      h, h);
	over = true;
	for (int i = 0; i < CLIENTS; i++) {
		pthread_join(clients[i].thread, NULL);
		total += clients[i].done;
		refused += clients[i].refused;
	}
	servers_over = true;
	for (int i = 0; i < 2 * HOSTS; i++)
		pthread_join(servers[i].thread, NULL);
	tell(network, (now_ms() - begin) / 1000, true);
	printf("%ld transactions, all checked; %ld refused by servers that were closed; %d wrong\n", total, refused, errors);
	for (int h = 0; h < HOSTS; h++) {
		enter(h);
		printf("  host %d: %ld packets in, %ld retransmissions, %ld duplicates suppressed, %ld damaged\n", h + 1,
		       counter("InPackets"), counter("Retransmissions"), counter("DropDuplicate"), counter("DropChecksum"));
		if (counter("DropNoMemory"))
			wrong("host %d had no memory %ld times", h + 1, counter("DropNoMemory"));
	}
	return errors || !total ? 1 : 0;
}
