// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/probe_programs.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bpf/abi/state.h"
#include "bpf/datapath.skel.h"
#include "bpf/loader/datapath_object.h"
#include "bpf/loader/mapped_pages.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

// What the programs read and never write; any version.
constexpr std::string_view kShared[] = {
    "rs_addresses_v", "rs_arena_v",   "rs_epochs_v",     "rs_state_v", "rs_vteps_v", "rs_owners_v",
    "rs_external_v",  "rs_senders_v", "rs_interfaces_v", "rs_pools_v", "rs_exits_v", "rs_nat_v"};
// A packet begins one flow, two where it is translated. Beside them room for those that are known.
constexpr uint32_t kFlows = 64;

// Those from which another flow may be refused, unless one of the latest makes room for it.
std::vector<uint32_t> FullAccounts(const DatapathObject& object) {
  const uint32_t flows = object.state()->account_flows, half = object.state()->account_half_open;
  std::vector<uint32_t> full;
  for (uint32_t account = 0; account < FLOW_ACCOUNTS; ++account) {
    const uint64_t counts = object.flow_accounts()[account].counts;
    if (counts / FLOW_COUNT_HALF_OPEN >= half || static_cast<uint32_t>(counts) >= flows)
      full.push_back(account);
  }
  return full;
}

absl::Status Size(bpf_map* map, uint32_t entries) {
  const int error = bpf_map__set_max_entries(map, entries);
  if (error == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(-error, absl::StrCat("probe: size of ", bpf_map__name(map)));
}

}  // namespace

bool IsSharedWithProbe(std::string_view map) {
  return std::any_of(std::begin(kShared), std::end(kShared),
                     [map](std::string_view shared) { return map.starts_with(shared); });
}

absl::StatusOr<std::unique_ptr<ProbePrograms>> ProbePrograms::Load(
    const DatapathObject& object, const std::vector<const char*>& programs) {
  const LibbpfMessages messages;
  auto made = std::unique_ptr<ProbePrograms>(new ProbePrograms());
  made->skeleton_ = datapath__open();
  if (made->skeleton_ == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("probe: open the object: ", messages.text()));
  }
  bpf_map* map;
  bpf_object__for_each_map(map, made->skeleton_->obj) {
    if (!IsSharedWithProbe(bpf_map__name(map))) continue;
    if (int error = bpf_map__reuse_fd(map, object.Map(bpf_map__name(map))); error != 0)
      return absl::ErrnoToStatus(-error, absl::StrCat("probe: use map ", bpf_map__name(map)));
  }
  const std::vector<uint32_t> full = FullAccounts(object);
  RETURN_IF_ERROR(Size(made->skeleton_->maps.rs_flows_v3,
                       kFlows + 2 * FLOW_EVICTION_TRIES * static_cast<uint32_t>(full.size())));
  // Ten megabytes, which only who may be refused has to have.
  if (full.empty()) RETURN_IF_ERROR(Size(made->skeleton_->maps.rs_half_open_v1, 1));
  RETURN_IF_ERROR(Size(made->skeleton_->maps.rs_masquerade_v1, kFlows));
  bpf_program* program;
  bpf_object__for_each_program(program, made->skeleton_->obj) {
    const std::string_view name = bpf_program__name(program);
    bpf_program__set_autoload(program,
                              std::any_of(programs.begin(), programs.end(),
                                          [name](const char* wanted) { return name == wanted; }));
  }
  if (int error = datapath__load(made->skeleton_); error != 0)
    return LoadFailed(error, messages.text());
  RETURN_IF_ERROR(made->CopyAccounts(object));
  for (uint32_t account : full) RETURN_IF_ERROR(made->CopyLatest(object, account));
  return made;
}

ProbePrograms::~ProbePrograms() { datapath__destroy(skeleton_); }

// So that a pod that has as many flows as it may is refused here too.
absl::Status ProbePrograms::CopyAccounts(const DatapathObject& object) const {
  constexpr size_t kBytes = FLOW_ACCOUNTS * sizeof(flow_account);
  void* base = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                    bpf_map__fd(skeleton_->maps.rs_accounts_v2), 0);
  if (base == MAP_FAILED) return absl::ErrnoToStatus(errno, "probe: map rs_accounts_v2");
  const MappedPages accounts(base, kBytes);
  std::memcpy(accounts.base(), object.flow_accounts(), kBytes);
  return absl::OkStatus();
}

// Those of the latest flows on the account that the next one would ask for room, whichever limit it
// meets.
absl::Status ProbePrograms::CopyLatest(const DatapathObject& object, uint32_t account) const {
  const int from = object.Map(bpf_map__name(skeleton_->maps.rs_half_open_v1));
  const uint32_t begun = object.flow_accounts()[account].begun;
  const uint32_t one = object.state()->account_half_open;
  for (const uint32_t limit : {one, 4 * one}) {
    const uint32_t first = begun - std::min(limit, FLOW_HALF_OPEN_RING);
    for (uint32_t i = 0; i < FLOW_EVICTION_TRIES; ++i) {
      const uint32_t index = account * FLOW_HALF_OPEN_RING + (first + i) % FLOW_HALF_OPEN_RING;
      flow_key key;
      flow_value value;
      if (bpf_map_lookup_elem(from, &index, &key) != 0 ||
          bpf_map_update_elem(bpf_map__fd(skeleton_->maps.rs_half_open_v1), &index, &key,
                              BPF_ANY) != 0)
        return absl::ErrnoToStatus(errno, "probe: copy the latest flows of an account");
      if (bpf_map_lookup_elem(object.flows(), &key, &value) != 0) continue;  // gone
      if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.rs_flows_v3), &key, &value, BPF_ANY) != 0)
        return absl::ErrnoToStatus(errno, "probe: copy a flow that may make room");
    }
  }
  return absl::OkStatus();
}

absl::Status ProbePrograms::AddFlow(const flow_key& key, const flow_value& value) {
  if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.rs_flows_v3), &key, &value, BPF_ANY) == 0)
    return absl::OkStatus();
  return absl::ErrnoToStatus(errno, "probe: copy the known flow");
}

bool ProbePrograms::HasFlow(const flow_key& key) const {
  flow_value value;
  return bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.rs_flows_v3), &key, &value) == 0 &&
         FLOW_LIFE_STATE(value.life) != FLOW_DEAD;
}

// A test run cannot be given a traffic class, by which from_host tells from_tunnel who sent the
// outer packet: a program before it sets one.
absl::StatusOr<int> ProbePrograms::ProgramOf(const Run& run) {
  const bpf_program* found = bpf_object__find_program_by_name(skeleton_->obj, run.program);
  if (found == nullptr || bpf_program__fd(found) < 0)
    return absl::InternalError(absl::StrCat("probe: program ", run.program, " is not loaded"));
  const int program = bpf_program__fd(found);
  if (run.tunnel_node == 0) return program;
  ASSIGN_OR_RETURN(entry_, EntryProgram::LoadWith(run.tunnel_node, program));
  return entry_.fd();
}

// Of the one CPU that wrote to it since the last time.
std::vector<uint8_t> ProbePrograms::TakeWalk() const {
  const bpf_map* map = nullptr;
  bpf_map* one;
  bpf_object__for_each_map(one, skeleton_->obj) {
    if (absl::StartsWith(bpf_map__name(one), "rs_walk_v")) map = one;
  }
  const int cpus = libbpf_num_possible_cpus();
  if (map == nullptr || cpus < 1) return {};
  const size_t stride = (bpf_map__value_size(map) + 7) / 8 * 8;
  std::vector<uint8_t> all(stride * static_cast<size_t>(cpus));
  const uint32_t zero = 0;
  if (bpf_map_lookup_elem(bpf_map__fd(map), &zero, all.data()) != 0) return {};
  const std::vector<uint8_t> blank(all.size());
  bpf_map_update_elem(bpf_map__fd(map), &zero, blank.data(), BPF_ANY);
  for (auto at = all.begin(); at != all.end(); at += static_cast<ptrdiff_t>(stride)) {
    const auto end = at + static_cast<ptrdiff_t>(stride);
    if (std::any_of(at, end, [](uint8_t byte) { return byte != 0; })) return {at, end};
  }
  return {};
}

absl::StatusOr<ProbePrograms::Outcome> ProbePrograms::Test(const Run& run) {
  ASSIGN_OR_RETURN(const int program, ProgramOf(run));
  TakeWalk();
  Frame out(run.frame.size() + 128);
  __sk_buff context = {}, after = {};
  context.ifindex = run.ifindex;
  context.ingress_ifindex = run.ingress_ifindex;
  context.mark = run.mark;
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = run.frame.data(), .data_out = out.data(),
              .data_size_in = static_cast<uint32_t>(run.frame.size()),
              .data_size_out = static_cast<uint32_t>(out.size()), .ctx_in = &context,
              .ctx_out = &after, .ctx_size_in = sizeof(context), .ctx_size_out = sizeof(after),
              .repeat = 1);
  if (bpf_prog_test_run_opts(program, &options) != 0) {
    return absl::ErrnoToStatus(
        errno, absl::StrCat("probe: run ", run.program, " at interface ", run.ifindex));
  }
  Outcome outcome;
  outcome.action = static_cast<int>(options.retval);
  outcome.reason = static_cast<drop_reason>(after.cb[RUN_DROP_REASON]);
  outcome.egress_word = after.cb[RUN_EGRESS_VERDICT];
  outcome.ingress_word = after.cb[RUN_INGRESS_VERDICT];
  outcome.mark = after.mark;
  outcome.walk = TakeWalk();
  return outcome;
}

absl::StatusOr<uint32_t> ProbePrograms::OffsetOf(const std::string& member) const {
  const btf* const types = bpf_object__btf(skeleton_->obj);
  int id = btf__find_by_name_kind(types, "walk", BTF_KIND_STRUCT);
  uint32_t bits = 0;
  for (const absl::string_view name : absl::StrSplit(member, '.')) {
    const btf_type* const type =
        id > 0 ? btf__type_by_id(types, static_cast<uint32_t>(id)) : nullptr;
    const struct btf_member* found = nullptr;
    for (int i = 0; type != nullptr && btf_is_composite(type) && i < btf_vlen(type); ++i) {
      const struct btf_member* const one = btf_members(type) + i;
      if (name != btf__name_by_offset(types, one->name_off)) continue;
      found = one;
      bits += btf_member_bit_offset(type, static_cast<uint32_t>(i));
    }
    if (found == nullptr) return absl::InternalError(absl::StrCat("probe: walk has no ", member));
    id = btf__resolve_type(types, found->type);
  }
  return bits / 8;
}

}  // namespace ripstop::loader
