// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/packet_tracer.h"

#include <arpa/inet.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "agent/policy/asked_addresses.h"
#include "agent/policy/kernel_words.h"
#include "agent/policy/rule_words.h"
#include "bpf/loader/table_store.h"
#include "bpf/loader/tables_reader.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr absl::Duration kTurn = absl::Milliseconds(100);
// Packets that are described at a time: the loop has others to serve.
constexpr size_t kPart = 128;

absl::Status SetEnd(const PolicyFeed& feed, const char* field, const std::string& text,
                    trace_end* ret) {
  ASSIGN_OR_RETURN(const std::optional<Addresses> addresses, AddressesOf(feed, field, text));
  if (!addresses.has_value()) return absl::OkStatus();
  if (addresses->size() > TRACE_ADDRESSES_MAX) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " '", text, "' has ", addresses->size(), " addresses, more than the ",
                     TRACE_ADDRESSES_MAX, " of a trace; ask for one of them"));
  }
  for (const policy::Address& address : *addresses) {
    std::memcpy(&ret->addresses[ret->count++], address.bytes.data(), sizeof(ip_address));
  }
  return absl::OkStatus();
}

absl::StatusOr<trace_verdict> VerdictNamed(const std::string& text) {
  if (text.empty()) return TRACE_ANY_VERDICT;
  if (text == "drop") return TRACE_DROPPED;
  if (text == "allow") return TRACE_NOT_DROPPED;
  return absl::InvalidArgumentError(absl::StrCat("verdict '", text, "': want allow or drop"));
}

absl::StatusOr<uint32_t> ReasonNamed(const std::string& text) {
  if (text.empty()) return uint32_t{DROP_NONE};
  for (uint32_t reason = DROP_NONE + 1; reason < DROP_REASONS_MAX; ++reason) {
    if (text == loader::DropReasonName(reason)) return reason;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("reason '", text, "': no drop has it; `ripstopctl drops --all` lists them"));
}

std::string Flags(uint8_t flags) {
  constexpr const char* kNames[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};
  std::vector<const char*> set;
  for (int i = 0; i < 8; ++i) {
    if (flags & (1 << i)) set.push_back(kNames[i]);
  }
  return absl::StrJoin(set, ",");
}

std::string Details(const trace_record& r) {
  if (r.flags & TRACE_LATER_FRAGMENT) return "later fragment";
  if (r.flags & TRACE_HAS_ICMP) return absl::StrCat("type ", r.icmp_type, " code ", r.icmp_code);
  return r.protocol == policy::kProtocolTcp ? Flags(r.tcp_flags) : "";
}

bool IsAtWorkload(const trace_record& r) {
  return r.hook == TRACE_FROM_WORKLOAD || r.hook == TRACE_TO_WORKLOAD;
}

bool IsDrop(const trace_record& r) { return r.action == TC_ACT_SHOT || r.reason != DROP_NONE; }

const char* Verdict(const trace_record& r) {
  if (IsDrop(r)) return "Drop";
  const bool judged = r.egress_verdict != 0 || r.ingress_verdict != 0;
  return judged || r.action == TC_ACT_REDIRECT || IsAtWorkload(r) ? "Allow" : "Pass";
}

// `to_pod`: the destination is an endpoint of this node.
const char* Next(const trace_record& r, bool to_pod) {
  if (IsDrop(r)) return r.action == TC_ACT_SHOT ? "" : "answer";
  if (r.hook == TRACE_TO_WORKLOAD) return "pod";
  if (r.hook == TRACE_TO_HOST) return "out";
  if (r.action != TC_ACT_REDIRECT) return "host stack";
  return to_pod ? "pod" : "route";
}

int64_t UnixNs(uint64_t monotonic_ns) {
  timespec clock = {};
  clock_gettime(CLOCK_MONOTONIC, &clock);
  const int64_t now = int64_t{clock.tv_sec} * 1'000'000'000 + clock.tv_nsec;
  return absl::GetCurrentTimeNanos() - (now - static_cast<int64_t>(monotonic_ns));
}

}  // namespace

absl::StatusOr<trace_filter> PacketTracer::FilterOf(const v1::TraceRequest& request) const {
  const v1::FlowFilter& asked = request.filter();
  trace_filter filter = {};
  RETURN_IF_ERROR(SetEnd(policy_->feed(), "pod", asked.pod(), &filter.ends[TRACE_POD]));
  RETURN_IF_ERROR(SetEnd(policy_->feed(), "from", asked.from(), &filter.ends[TRACE_FROM]));
  RETURN_IF_ERROR(SetEnd(policy_->feed(), "to", asked.to(), &filter.ends[TRACE_TO]));
  if (!asked.protocol().empty()) {
    ASSIGN_OR_RETURN(filter.protocol, ProtocolNamed(asked.protocol()));
    filter.has_protocol = 1;
  }
  if (asked.port() > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("port ", asked.port(), ": want a number from 1 to 65535"));
  }
  filter.port = htons(static_cast<uint16_t>(asked.port()));
  if (!asked.state().empty()) {
    return absl::InvalidArgumentError("state: a packet has none; `ripstopctl conntrack list` asks");
  }
  ASSIGN_OR_RETURN(const trace_verdict verdict, VerdictNamed(request.verdict()));
  filter.verdict = static_cast<uint8_t>(verdict);
  ASSIGN_OR_RETURN(filter.reason, ReasonNamed(request.reason()));
  if (request.snap_bytes() > TRACE_SNAP_MAX) {
    return absl::InvalidArgumentError(absl::StrCat("snap length ", request.snap_bytes(), ": want ",
                                                   TRACE_SNAP_MAX, " bytes at most"));
  }
  filter.snap = request.snap_bytes();
  return filter;
}

std::string PacketTracer::RuleText(uint32_t word) const {
  if (word == 0) return "";
  // A number of another generation names a rule of an engine that is gone.
  if (!policy_->committed()) return "a rule of an earlier agent";
  const auto rule = policy_->engine().Rule(word & VERDICT_RULE_MASK);
  return rule.has_value() ? FullRuleName(*rule) : "a rule no longer in force";
}

void PacketTracer::Describe(const loader::TracedPacket& packet, v1::TracedPacket* ret) const {
  const trace_record& r = packet.record;
  ret->set_time_ns(UnixNs(r.time_ns));
  ret->set_hook(loader::TraceHookName(r.hook));
  ret->set_ifindex(r.ifindex);
  ret->set_packet(r.packet);
  bool to_pod = false;
  if (r.family != 0) {
    const policy::Address from = loader::FromKey(r.source), to = loader::FromKey(r.destination);
    const auto source = policy_->feed().OwnerOf(from), target = policy_->feed().OwnerOf(to);
    ret->set_ip_version(r.family);
    ret->set_protocol(ProtocolName(r.protocol));
    ret->set_source(from.ToString());
    if (source.has_value()) ret->set_source_name(source->name);
    ret->set_source_port(ntohs(r.source_port));
    ret->set_destination(to.ToString());
    if (target.has_value()) ret->set_destination_name(target->name);
    ret->set_destination_port(ntohs(r.destination_port));
    ret->set_ttl(r.ttl);
    ret->set_details(Details(r));
    to_pod = target.has_value() && target->local.has_value();
    const auto& near = r.hook == TRACE_FROM_WORKLOAD ? source : target;
    if (IsAtWorkload(r) && near.has_value() && near->local.has_value() &&
        near->local->ifindex == r.ifindex)
      ret->set_endpoint(near->name);
  }
  ret->set_length(r.length);
  ret->set_gso_bytes(r.gso_size);
  ret->set_verdict(Verdict(r));
  if (IsDrop(r)) ret->set_reason(loader::DropReasonName(r.reason));
  ret->set_egress_rule(RuleText(r.egress_verdict));
  ret->set_ingress_rule(RuleText(r.ingress_verdict));
  ret->set_next(Next(r, to_pod));
  ret->set_data(packet.bytes.data(), packet.bytes.size());
  ret->set_headless((r.flags & TRACE_HEADLESS) != 0);
}

// The maps that a datapath has may be others later, so they are not kept beyond their traces.
absl::StatusOr<std::shared_ptr<loader::TracedPrograms>> PacketTracer::Programs() {
  const std::lock_guard lock(mutex_);
  if (auto loaded = programs_.lock(); loaded != nullptr) return loaded;
  ASSIGN_OR_RETURN(auto loaded, dataplane_->LoadTraced());
  programs_ = loaded;
  return loaded;
}

absl::Status PacketTracer::Enter(const std::shared_ptr<loader::TracedPrograms>& programs) {
  if (running_ == 0) RETURN_IF_ERROR(dataplane_->SetTraced(programs));
  ++running_;
  return absl::OkStatus();
}

void PacketTracer::Leave() {
  if (--running_ == 0) dataplane_->SetTraced(nullptr).IgnoreError();  // Repair goes on with it
}

absl::Status PacketTracer::Run(const v1::TraceRequest& request, const TraceListener& listener) {
  ASSIGN_OR_RETURN(auto filter, loop_->Call([&] { return FilterOf(request); }));
  RETURN_IF_ERROR(filter.status());
  ASSIGN_OR_RETURN(const auto programs, Programs());
  ASSIGN_OR_RETURN(const auto trace, programs->Begin(*filter));
  RETURN_IF_ERROR(loop_->CallStatus([&] { return Enter(programs); }));
  const absl::Cleanup leave = [this] {
    // Once the loop has stopped the dataplane does that as it goes.
    loop_
        ->CallStatus([this] {
          Leave();
          return absl::OkStatus();
        })
        .IgnoreError();
  };
  return Follow(*trace, request, listener);
}

absl::Status PacketTracer::Follow(loader::PacketTrace& trace, const v1::TraceRequest& request,
                                  const TraceListener& listener) {
  if (!listener.tell({})) return absl::OkStatus();
  const absl::Time end = request.for_ms() == 0 ? absl::InfiniteFuture()
                                               : absl::Now() + absl::Milliseconds(request.for_ms());
  uint64_t told_lost = 0;
  while (!listener.gone()) {
    const absl::Duration left = end - absl::Now();
    ASSIGN_OR_RETURN(const std::vector<loader::TracedPacket> packets,
                     trace.Take(std::clamp(left, absl::ZeroDuration(), kTurn)));
    v1::TraceReply reply;
    reply.set_lost(trace.lost());
    for (size_t begin = 0; begin < packets.size(); begin += kPart) {
      const size_t end = std::min(packets.size(), begin + kPart);
      RETURN_IF_ERROR(loop_->CallStatus([&] {
        for (size_t i = begin; i < end; ++i) Describe(packets[i], reply.add_packets());
        return absl::OkStatus();
      }));
    }
    std::map<uint32_t, std::string> names;
    for (v1::TracedPacket& packet : *reply.mutable_packets()) {
      std::string& name = names[packet.ifindex()];
      if (name.empty()) name = InterfaceName(packet.ifindex());
      packet.set_interface(name);
    }
    const bool news = !packets.empty() || reply.lost() != told_lost;
    told_lost = reply.lost();
    if (news && !listener.tell(reply)) return absl::OkStatus();
    if (packets.empty() && left <= absl::ZeroDuration()) return absl::OkStatus();
    // What goes on for longer than was asked is not all to be told.
    if (left <= -kTurn) return absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace ripstop::agent
