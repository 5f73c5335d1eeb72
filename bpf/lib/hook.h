/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* How a hook's program begins. bpf/traced.bpf.c has the same programs inside others. */
#ifndef RIPSTOP_BPF_LIB_HOOK_H
#define RIPSTOP_BPF_LIB_HOOK_H

#ifndef HOOK_PROGRAM
#define HOOK_PROGRAM(name)                                                                         \
	SEC("tc")                                                                                  \
	int name(struct __sk_buff *skb)
#endif

#endif
