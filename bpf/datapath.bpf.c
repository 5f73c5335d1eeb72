/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The datapath: one object, so that its programs share their maps. */
#include <linux/bpf.h>
#include <linux/if_packet.h>

#include <bpf/bpf_helpers.h>

#include "bpf/hooks/arena_used.h"
#include "bpf/hooks/flow_end.h"
#include "bpf/hooks/flow_sweep.h"
#include "bpf/hooks/from_elsewhere.h"
#include "bpf/hooks/from_host.h"
#include "bpf/hooks/from_tunnel.h"
#include "bpf/hooks/from_workload.h"
#include "bpf/hooks/to_host.h"
#include "bpf/hooks/to_socket.h"
#include "bpf/hooks/to_workload.h"

char datapath_license[] SEC("license") = "Dual BSD/GPL"; /* the helpers used are GPL only */
