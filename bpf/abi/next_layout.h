/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* With RIPSTOP_NEXT_LAYOUT (cmake -DRIPSTOP_NEXT_LAYOUT=ON): the maps as a coming release could
 * have them, flows with something appended and what holds the tables by other names. So an upgrade
 * and a downgrade can be tried before there are two releases; to no user is it of use.
 */
#ifndef RIPSTOP_BPF_ABI_NEXT_LAYOUT_H
#define RIPSTOP_BPF_ABI_NEXT_LAYOUT_H

#ifdef RIPSTOP_NEXT_LAYOUT
#define NEXT_LAYOUT_BYTES 16
#define rs_flows_v3 rs_flows_v4
#define rs_accounts_v2 rs_accounts_v3
#define rs_state_v4 rs_state_v5
#define rs_addresses_v2 rs_addresses_v3
#define rs_arena_v2 rs_arena_v3
#else
#define NEXT_LAYOUT_BYTES 0
#endif

#endif
