/* SPDX-License-Identifier: GPL-2.0 */
/* Random choices that a seed repeats, and what both fuzzers do at their end. */
#ifndef FUZZ_H
#define FUZZ_H

#include "wire.h"

static __thread __u64 fuzz_state = 1;

static inline __u32 fuzz(void)
{
	fuzz_state ^= fuzz_state << 13;
	fuzz_state ^= fuzz_state >> 7;
	fuzz_state ^= fuzz_state << 17;
	return (fuzz_state * 0x2545F4914F6CDD1DULL) >> 32;
}

static inline void fuzz_seed(__u64 seed)
{
	fuzz_state = seed * 0x9E3779B97F4A7C15ULL + 1;
	fuzz();
}

/* 0 to n - 1 */
static inline __u32 below(__u32 n)
{
	return fuzz() % n;
}

/* True once in n times. */
static inline bool once_in(__u32 n)
{
	return below(n) == 0;
}

#define ONE_OF(array) ((array)[below(sizeof(array) / sizeof((array)[0]))])

/* Values at which arithmetic goes wrong, or any. */
static inline __u32 odd_word(void)
{
	static const __u32 edges[] = {
		0, 1, 2, 3, 7, 31, 32, 255, 256, 511, 512, 513, 16383, 16384, 16385, 65535, 65536,
		(4 << 20) - 1, 4 << 20, (4 << 20) + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF,
	};

	return once_in(3) ? fuzz() : ONE_OF(edges);
}

struct budget {
	long packets;		/* at most; 0: no limit */
	long end_ms;		/* of now_ms(); 0: no limit */
};

/* Reads [--seconds N] [--count N] [--seed N]. */
static inline __u64 fuzz_arguments(int argc, char **argv, struct budget *budget)
{
	__u64 seed = 1;

	*budget = (struct budget){ };
	for (int i = 1; i + 1 < argc; i += 2) {
		long value = atol(argv[i + 1]);

		if (!strcmp(argv[i], "--seconds"))
			budget->end_ms = now_ms() + value * 1000;
		else if (!strcmp(argv[i], "--count"))
			budget->packets = value;
		else if (!strcmp(argv[i], "--seed"))
			seed = value;
	}
	if (!budget->end_ms && !budget->packets) {
		fprintf(stderr, "usage: %s [--seconds N] [--count N] [--seed N]\n", argv[0]);
		exit(2);
	}
	return seed;
}

static inline bool is_over(const struct budget *budget, long done)
{
	return (budget->packets && done >= budget->packets) ||
	       (budget->end_ms && done % 64 == 0 && now_ms() >= budget->end_ms);
}

#endif /* FUZZ_H */
