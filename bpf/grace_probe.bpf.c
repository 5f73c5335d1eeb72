/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* For a test of grace periods: a program that runs until it is told to end. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#define ROUNDS 512 /* some twenty seconds in all: the limit is for a test that died */

volatile __u32 begun = 0;
volatile __u32 released = 0;
volatile __u32 ended = 0;

static long
until_released(__u32 i __attribute__((unused)), void *context __attribute__((unused)))
{
	return released != 0;
}

static long
round_of(__u32 i __attribute__((unused)), void *context __attribute__((unused)))
{
	bpf_loop(1 << 23, until_released, NULL, 0);
	return released != 0;
}

SEC("tc")
int
grace_probe(struct __sk_buff *skb __attribute__((unused)))
{
	begun = 1;
	bpf_loop(ROUNDS, round_of, NULL, 0);
	ended = 1;
	return TC_ACT_OK;
}

char grace_probe_license[] SEC("license") = "Dual BSD/GPL";
