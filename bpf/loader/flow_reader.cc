// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/flow_reader.h"

#include <bpf/bpf.h>

#include <cerrno>

#include "absl/status/status.h"
#include "bpf/loader/datapath_object.h"

namespace ripstop::loader {
namespace {

constexpr uint32_t kPart = 512;
constexpr uint32_t kBucketMax = 1u << 20;  // entries of one bucket: a part has whole buckets

bool IsCurrent(const DatapathObject& object, const flow_value& flow) {
  for (const flow_side& side : flow.side) {
    if (side.set_index == 0) continue;
    if (side.set_index >= EPOCHS_MAX) return false;
    if (__atomic_load_n(object.epoch(side.set_index), __ATOMIC_RELAXED) != side.epoch) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<FlowPart> ReadFlows(const DatapathObject& object, uint32_t from) {
  FlowPart part;
  for (uint32_t room = kPart; room <= kBucketMax; room *= 2) {
    std::vector<flow_key> keys(room);
    std::vector<flow_value> values(room);
    uint32_t count = room, before = from;
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    const int error =
        bpf_map_lookup_batch(object.flows(), from == 0 ? nullptr : &before, &part.next, keys.data(),
                             values.data(), &count, &options) == 0
            ? 0
            : errno;
    if (error == ENOSPC) continue;  // for the first bucket
    if (error != 0 && error != ENOENT) return absl::ErrnoToStatus(error, "rs_flows_v3: read");
    if (error == ENOENT) part.next = 0;
    for (uint32_t i = 0; i < count; ++i) {
      if (FLOW_LIFE_STATE(values[i].life) == FLOW_DEAD) continue;
      part.flows.push_back({keys[i], values[i], IsCurrent(object, values[i])});
    }
    return part;
  }
  return absl::ResourceExhaustedError("rs_flows_v3: too many flows in one bucket to be read");
}

absl::StatusOr<bool> EndFlow(const DatapathObject& object, const FlowRecord& flow) {
  end_request request = {};
  request.key = flow.key;
  request.life = flow.value.life;
  LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &request, .ctx_size_in = sizeof(request));
  if (bpf_prog_test_run_opts(object.flow_end(), &options) != 0) {
    return absl::ErrnoToStatus(errno, "run flow_end");
  }
  return request.ended != 0;
}

}  // namespace ripstop::loader
