// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/fuzz/kernel_node.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "policy/status_macros.h"

namespace ripstop::loader::fuzz {
namespace {

constexpr DatapathSizes kSizes = {.flows = 16384,
                                  .account_flows = 16384,
                                  .account_half_open = 16384,
                                  .fragments = 8192,
                                  .event_bytes = 65536};

absl::Status EnterNamespace() {
  if (unshare(CLONE_NEWNET) != 0) return absl::ErrnoToStatus(errno, "unshare(CLONE_NEWNET)");
  for (const char* family : {"ipv4", "ipv6"}) {
    for (const char* whose : {"all", "default"}) {
      const std::string path =
          absl::StrCat("/proc/sys/net/", family, "/conf/", whose, "/forwarding");
      std::ofstream file(path);
      if (!(file << "1" << std::flush)) return absl::InternalError(absl::StrCat("write ", path));
    }
  }
  FILE* const ip = popen("ip -batch -", "w");
  if (ip == nullptr) return absl::ErrnoToStatus(errno, "popen of ip");
  std::fputs(Scene::SetUpCommands().c_str(), ip);
  if (pclose(ip) != 0) return absl::InternalError("ip -batch: interfaces of the fuzzed node");
  return absl::OkStatus();
}

ip_address Key(const policy::Address& address) {
  ip_address key;
  std::memcpy(&key, address.bytes.data(), sizeof(key));
  return key;
}

// bpf/abi/flows.h: the lower end, by halves as this machine loads them, then by port as it is.
bool IsHigh(const FlowEnd& a, const FlowEnd& b) {
  uint64_t x[2], y[2];
  std::memcpy(x, a.address.bytes.data(), 16);
  std::memcpy(y, b.address.bytes.data(), 16);
  if (x[0] != y[0]) return x[0] > y[0];
  if (x[1] != y[1]) return x[1] > y[1];
  return htons(a.port) > htons(b.port);
}

template <typename Key>
void Empty(int map) {
  Key key;
  while (bpf_map_get_next_key(map, nullptr, &key) == 0) {
    if (bpf_map_delete_elem(map, &key) != 0) return;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<KernelNode>> KernelNode::Create() {
  if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1)
    return absl::PermissionDeniedError("needs CAP_BPF and CAP_NET_ADMIN");
  RETURN_IF_ERROR(EnterNamespace());
  auto node = std::unique_ptr<KernelNode>(new KernelNode());
  ASSIGN_OR_RETURN(node->object_, DatapathObject::Load(kSizes, "", {"to_socket"}));
  node->tables_ = std::make_unique<TableStore>(node->object_.get(), kSizes);
  ASSIGN_OR_RETURN(node->engine_options_, node->tables_->Begin());
  OwnerStore owners(node->object_.get());
  RETURN_IF_ERROR(owners.Set(Scene::AllOwners()));
  for (const bool v4 : {true, false}) {
    for (const policy::Address& address : PlacesOf(v4).nodes) {
      const ip_address key = Key(address);
      vtep_value value;
      if (bpf_map_lookup_elem(node->object_->vteps(), &key, &value) == 0)
        node->vteps_[address] = value.node;
    }
  }
  datapath_state& state = *node->object_->state();
  state.vxlan_port = htons(kVxlanPort);
  state.tunnel_ifindex = kTunnel;
  state.events_per_second = 1000000;
  std::copy(kHostMac.begin(), kHostMac.end(), state.host_mac);
  state.mark_mask = kMarkMask;
  for (uint32_t i = 0; i < kPods; ++i) {
    const uint32_t ifindex = kFirstPod + i;
    const interface_value workload = {.flags = INTERFACE_WORKLOAD};
    if (bpf_map_update_elem(node->object_->interfaces(), &ifindex, &workload, BPF_ANY) != 0)
      return absl::ErrnoToStatus(errno, "interfaces of pods");
  }
  // The class of each run is in its priority, which a run can be given.
  const bpf_insn load = {.code = BPF_LDX | BPF_MEM | BPF_W,
                         .dst_reg = 2,
                         .src_reg = 1,
                         .off = offsetof(__sk_buff, priority)};
  ASSIGN_OR_RETURN(node->entries_[0], EntryProgram::Load(load, node->object_->from_tunnel()));
  ASSIGN_OR_RETURN(node->entries_[1], EntryProgram::Load(load, node->object_->to_host()));
  return node;
}

absl::Status KernelNode::Apply(const policy::TableWrites& writes, uint32_t l4_table) {
  RETURN_IF_ERROR(tables_->Apply(writes));
  ReadNumbers();
  if (in_force_) return absl::OkStatus();
  in_force_ = true;
  return tables_->Commit(l4_table);
}

// Elements of an array map are rounded up to eight bytes.
void KernelNode::ReadNumbers() {
  constexpr size_t kStride = (sizeof(sender_value) + 7) / 8 * 8;
  senders_.clear();
  for (uint16_t number = 1; number <= kSendersMax; ++number) {
    sender_value value;
    std::memcpy(&value, object_->senders() + number * kStride, sizeof(value));
    if (value.ifindex == 0) continue;
    Sender& sender = senders_[number];
    std::memcpy(sender.address.bytes.data(), &value.address, sizeof(value.address));
    sender.ifindex = value.ifindex;
  }
}

void KernelNode::SetSettings(const NodeSettings& settings) {
  object_->state()->flags =
      (settings.host_obeys_policy ? STATE_HOST_OBEYS_POLICY : 0) |
      (settings.reset_unknown ? STATE_RESET_UNKNOWN : 0) | (settings.reject ? STATE_REJECT : 0) |
      (settings.marks ? STATE_MARKS : 0) | (settings.marks_trusted ? STATE_MARKS_TRUSTED : 0) |
      (settings.host_nat ? STATE_HOST_NAT : 0);
}

int KernelNode::ProgramOf(Program program) const {
  switch (program) {
    case Program::kFromWorkload: return object_->from_workload();
    case Program::kToWorkload: return object_->to_workload();
    case Program::kFromHost: return object_->from_host();
    case Program::kFromTunnel: return entries_[0].fd();
    case Program::kFromElsewhere: return object_->from_elsewhere();
    case Program::kToHost: return entries_[1].fd();
  }
  return -1;
}

absl::StatusOr<Outcome> KernelNode::Run(const PacketEvent& event) {
  Outcome outcome;
  outcome.frame.resize(event.frame.size() + 128);
  __sk_buff context = {};
  context.ifindex = event.ifindex;
  context.ingress_ifindex = event.ingress_ifindex;
  context.priority = event.redirected ? TC_INDEX_REDIRECTED : event.sender;
  context.mark = event.mark;
  context.gso_size = event.gso_size;
  context.gso_segs = event.gso_segs;
  __sk_buff after = {};
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = event.frame.data(),
              .data_out = outcome.frame.data(),
              .data_size_in = static_cast<uint32_t>(event.frame.size()),
              .data_size_out = static_cast<uint32_t>(outcome.frame.size()), .ctx_in = &context,
              .ctx_out = &after, .ctx_size_in = sizeof(context), .ctx_size_out = sizeof(after),
              .repeat = 1);
  if (bpf_prog_test_run_opts(ProgramOf(event.program), &options) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("test run: ", Describe(event)));
  outcome.frame.resize(options.data_size_out);
  outcome.action = static_cast<int>(options.retval);
  outcome.reason = static_cast<drop_reason>(after.cb[RUN_DROP_REASON]);
  outcome.sender = after.cb[RUN_SENDER];
  outcome.mark = after.mark;
  return outcome;
}

uint64_t KernelNode::Drops(uint32_t reason) const {
  std::vector<drop_count> counts(libbpf_num_possible_cpus());
  if (bpf_map_lookup_elem(object_->drops(), &reason, counts.data()) != 0) return 0;
  uint64_t total = 0;
  for (const drop_count& count : counts) total += count.packets;
  return total;
}

std::optional<Flow> KernelNode::FlowOf(const FlowName& name) const {
  // Which of the kernel's ends the first of the model's is.
  const int first = IsHigh(name.ends[0], name.ends[1]) ? FLOW_HIGH : FLOW_LOW;
  flow_key key = {};
  key.protocol = name.protocol;
  for (const int end : {0, 1}) {
    const int there = end == 0 ? first : 1 - first;
    key.address[there] = Key(name.ends[end].address);
    key.port[there] = htons(name.ends[end].port);
  }
  flow_value value;
  if (bpf_map_lookup_elem(object_->flows(), &key, &value) != 0 ||
      FLOW_LIFE_STATE(value.life) == FLOW_DEAD)
    return std::nullopt;
  Flow flow;
  flow.initiator = value.initiator == first ? 0 : 1;
  flow.open = FLOW_LIFE_STATE(value.life) == FLOW_OPEN;
  flow.reset = (value.flags & FLOW_RESET) != 0;
  flow.bypass = (value.flags & FLOW_HOST_BYPASS) != 0;
  flow.by_stack = (value.flags & FLOW_BY_STACK) != 0;
  flow.as_sent = (value.flags & FLOW_AS_SENT) != 0;
  flow.has_sender = (value.flags & FLOW_HAS_SENDER) != 0;
  flow.icmp_type = value.icmp_type;
  flow.icmp_code = value.icmp_code;
  flow.asked = value.asked_sequence;
  for (const int end : {0, 1}) {
    const int there = end == 0 ? first : 1 - first;
    const flow_side& from = value.side[there];
    Flow::Side& side = flow.sides[end];
    side.ifindex = from.ifindex;
    std::copy_n(from.mac, side.mac.size(), side.mac.begin());
    side.host = (from.flags & FLOW_SIDE_HOST) != 0;
    side.pod = (from.flags & FLOW_SIDE_POD) != 0;
    if (from.ifindex != 0) side.address_number = from.number;
    side.set_index = from.set_index;
    if (from.set_index != 0) side.epoch = *object_->epoch(from.set_index) - from.epoch;
    side.seen = from.tcp_flags;
    side.number = from.sequence;
    if (name.protocol == IPPROTO_SCTP) side.number = ntohl(side.number);
    side.packets = value.sent[there].packets;
    side.bytes = value.sent[there].bytes;
  }
  if (name.protocol == IPPROTO_SCTP) flow.asked = ntohl(flow.asked);
  return flow;
}

size_t KernelNode::flow_count() const {
  size_t count = 0;
  flow_key key, next;
  const void* from = nullptr;
  while (bpf_map_get_next_key(object_->flows(), from, &next) == 0) {
    key = next;
    from = &key;
    ++count;
  }
  return count;
}

absl::Status KernelNode::ForgetFlows(const std::vector<policy::Address>& addresses) {
  std::vector<ip_address> keys;
  for (const policy::Address& address : addresses) keys.push_back(Key(address));
  return object_->ForgetFlows(keys).status();
}

void KernelNode::Forget() {
  Empty<flow_key>(object_->flows());
  Empty<fragment_key>(object_->fragments());
  for (uint32_t i = 0; i < FLOW_ACCOUNTS; ++i) object_->flow_accounts()[i].counts = 0;
  AllowAnswers();
}

void KernelNode::AllowAnswers() {
  // Of struct answer_budget, which only the programs know: two words.
  const std::vector<uint64_t> blank(2 * libbpf_num_possible_cpus());
  const uint32_t zero = 0;
  bpf_map_update_elem(object_->Map("rs_answers_v1"), &zero, blank.data(), BPF_ANY);
}

}  // namespace ripstop::loader::fuzz
