// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin for QEMU's TCG that writes down which pieces of code a guest
 * executes between two marks, for profile.py. The marks are no-ops in the
 * guest's program (selftests/bench/bench.h). A record is the address of a
 * translation block, how many instructions it has, and how it ends; one of
 * zeros is a mark.
 *
 * Debian has no header for plugins; these are the declarations that are
 * needed of QEMU's include/qemu/qemu-plugin.h, API version 4.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

int qemu_plugin_version = 4;

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*call)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*call)(unsigned int, void *), int flags,
					  void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*call)(unsigned int, void *),
					    int flags, void *data);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*call)(plugin_id, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t length);

/* What ends a block, as profile.py reads it. */
enum end { END_OTHER, END_CALL, END_RETURN };

struct record {
	uint64_t address;
	uint32_t instructions;
	uint32_t end;
};

/* nopl MARK(%rax), in bench.h: the last octet says begin or end. */
static const unsigned char mark[] = { 0x0f, 0x1f, 0x80, 'V', 'M', 'T' };

static FILE *output;
static int running;

static void executed(unsigned int cpu, void *data)
{
	(void)cpu;
	if (running && fwrite(data, sizeof(struct record), 1, output) != 1)
		abort();
}

static void marked(unsigned int cpu, void *data)
{
	static const struct record zeros;

	running = data != NULL;
	executed(cpu, (void *)&zeros);
	fflush(output);
}

static enum end end_of(const struct qemu_plugin_insn *insn)
{
	unsigned char code[16] = { 0 };
	size_t length = qemu_plugin_insn_data(insn, code, sizeof(code)), at = 0;

	/* Prefixes: notrack, segment, operand size, REX. */
	while (at + 1 < length && (code[at] == 0x3e || code[at] == 0x2e || code[at] == 0x66 || (code[at] & 0xf0) == 0x40))
		at++;
	if (code[at] == 0xe8 || (code[at] == 0xff && (code[at + 1] >> 3 & 7) == 2))
		return END_CALL;
	if (code[at] == 0xc3 || code[at] == 0xc2 || code[at] == 0xcb)
		return END_RETURN;
	return END_OTHER;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb);
	struct record *record = malloc(sizeof(*record));
	struct qemu_plugin_insn *insn = NULL;
	unsigned char code[16];

	(void)id;
	if (!record)
		abort();
	for (size_t i = 0; i < count; i++) {
		insn = qemu_plugin_tb_get_insn(tb, i);
		if (qemu_plugin_insn_data(insn, code, sizeof(code)) == sizeof(mark) + 1 && !memcmp(code, mark, sizeof(mark)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, 0, code[sizeof(mark)] ? record : NULL);
	}
	*record = (struct record){ qemu_plugin_tb_vaddr(tb), (uint32_t)count, insn ? end_of(insn) : END_OTHER };
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, 0, record);
}

static void ended(plugin_id id, void *data)
{
	(void)id;
	(void)data;
	fclose(output);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "to=", 3))
		return 1;
	output = fopen(argv[0] + 3, "wb");
	if (!output)
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
