/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What a benchmark asks of the programs of bench.bpf.c: written before a run, by the
 * mapping of their .bss. Writer: e2e/bench/bench_kernel.cc.
 */
#ifndef RIPSTOP_BPF_TESTING_BENCH_QUERY_H
#define RIPSTOP_BPF_TESTING_BENCH_QUERY_H

#include "bpf/abi/abi.h"

enum bench_next { BENCH_EMPTY = 0, BENCH_SUBJECT = 1 };

struct bench_query {
	struct ip_address remote;
	__u32 policy_set;
	__u32 next;     /* enum bench_next: what bench_renew goes on to */
	__u32 new_flow; /* bench_renew gives each frame a source port of its own */
	__u32 turn;     /* how many frames there were */
	__u32 answered; /* every second frame is the answer to the one before */
	__u32 port;     /* the last one it gave, host order */
	__u32 word;     /* out: the verdict read */
	__be16 source_port;
	__be16 destination_port;
	__u32 protocol;
	__u32 resent; /* each frame has this source again, as it was before a rewrite */
	struct ip_address source;
	__u32 tc_index; /* each frame has this one */
};
ABI_ASSERT(sizeof(struct bench_query) == 76);

#endif
